"""The class of each cover: rules for the names and numbers that callers pass.

This file is published with the weights, next to `pipeline.py`.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .arguments import is_collection
from .latents import classes_of

MOST_IN_A_MENU = 64  # classes; more are left to their mixtures


@dataclass(frozen=True)
class ClassLabels:
    """A model's classes. Class n is the n-th of `names`; 0 is a cover of any class."""

    names: list[str]
    counts: list[int]  # training covers of class 0, 1, ...; empty where the model does not record them
    mixtures: dict[str, list[int]]  # further names and their own `counts`, from which each seed draws a class

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ClassLabels":
        """Those in a generator's config; all empty for an unconditional model."""
        mixtures = {name: list(counts) for name, counts in (config.get("mixtures") or {}).items()}
        return cls(list(config.get("classes") or ()), list(config.get("class_counts") or ()), mixtures)

    @property
    def choices(self) -> list[str]:
        """All names that a label may have: classes, then mixtures."""
        return [*self.names, *self.mixtures]

    @property
    def menu(self) -> list[str]:
        """Those of `choices` to offer in a menu: mixtures, then classes. Of too many classes only the mixtures."""
        too_many = self.mixtures and len(self.names) > MOST_IN_A_MENU
        return [*self.mixtures, *([] if too_many else self.names)]

    def check(self, label: Any) -> None:
        """Raise ValueError unless the label is one of `choices`, or None or "" for each seed's own class."""
        if label is None or (isinstance(label, str) and label in ("", *self.choices)):
            return
        wrong = repr(str(label)[:40])
        if not self.choices:
            raise ValueError(f"label must be left out, as this model has no classes, got {wrong}")
        folded = {name.casefold(): name for name in self.choices}
        near = get_close_matches(str(label).casefold(), folded, n=1)
        question = f"; did you mean {folded[near[0]]!r}?" if near else ""
        raise ValueError(f"label must be one of {', '.join(self.menu)}, got {wrong}{question}")

    def of_seeds(self, seeds: list[int], label: str | None = None) -> list[int]:
        """The class number, 0 to len(names), of each seed's cover, under one of `choices` or without a label.

        Raises ValueError as `check`.
        """
        self.check(label)
        if label and label in self.names:
            return [self.names.index(label) + 1] * len(seeds)
        counts = self.mixtures[label] if label else self.counts
        return classes_of(seeds, counts) if counts else [0] * len(seeds)

    def asked(self, label: str | None, class_labels: Any, count: int) -> list[str | None]:
        """The name of `choices` that each of `count` covers is asked to be of, or None.

        `label` is one of `choices` or None. `class_labels` is one value for all covers or one for each: a name, an
        index into `names`, or None. Raises ValueError for both at once, unknown values, and a wrong number of them.
        """
        if class_labels is None:
            self.check(label)
            class_labels = label
        elif label:
            raise ValueError(f"covers need label or class_labels, got {label!r} and {class_labels!r}; pass one of them")
        each = list(class_labels) if is_collection(class_labels) else [class_labels] * count
        if len(each) != count:
            raise ValueError(f"class_labels must be one for all or one for each of {count} covers, got {len(each)}")
        return [self._name(value) for value in each]

    def numbers(self, names: Sequence[str | None], seeds: Sequence[int] | None) -> list[int]:
        """The class number, 0 to len(self.names), of each cover; `seeds` is None for covers drawn from latents.

        `names` are of `choices`, or None. Raises ValueError for others, and for a mixture for covers without seeds.
        """
        for name in set(names):
            self.check(name)
        if seeds is not None:
            classes = {name: self.of_seeds(list(seeds), name) for name in set(names)}
            return [classes[name][row] for row, name in enumerate(names)]
        mixed = next((name for name in names if name in self.mixtures and name not in self.names), None)
        if mixed:
            raise ValueError(
                f"label {mixed} is a mixture of classes, sampled by seed, but these covers have no seeds; "
                f"pass seeds, or a class such as {self.names[0]}"
            )
        return [self.names.index(name) + 1 if name else 0 for name in names]

    def _name(self, value: Any) -> str | None:
        """A value of `class_labels` as a name."""
        if value is None or isinstance(value, str):
            self.check(value)
            return value or None
        try:
            index = operator.index(value)  # of Python, numpy or torch
        except TypeError:
            raise ValueError(f"class_labels must be names or whole numbers, got {value!r}") from None
        known = len(self.names)
        if not 0 <= index < known:
            raise ValueError(f"class_labels must be below {known}, the number of this model's classes, got {index}")
        return self.names[index]
