"""Classes of covers for recipes that take labels."""

import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import datasets
import numpy as np

from .columns import LABEL_COLUMNS, value_text

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"  # class 0
RARE = 10  # covers; smaller classes may be misspelt ones
SPELLED_ALIKE = 0.7  # similarity of two names, of which one may be misspelt; "rokc" has 0.75 to "rock"
SHOWN = 10  # of such pairs in a warning
MOST_COMPARED = 300  # classes; comparing each with each takes seconds from here on
SMALLEST_MIXTURE = 100  # covers; fewer are too few to estimate a mixture


def find_label_column(columns: Sequence[str], name: str, field: str = "label_column") -> str:
    """`name`, or for "auto" the column with the most usual name. Raises ValueError if there is none."""
    if name == "auto":
        found = next((column for column in LABEL_COLUMNS if column in columns), None)
        if found is None:
            raise ValueError(
                f"{field} auto finds one of {', '.join(LABEL_COLUMNS)}, got only {', '.join(columns)}; "
                "name the column, or put pictures into one folder for each class"
            )
        return found
    if name not in columns:
        near = get_close_matches(name, columns, n=1)
        question = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{field} must be one of {', '.join(columns)}; got {name!r}{question}")
    return name


def class_numbers(values: Sequence[Any], feature: Any = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of each value as (N,) int64, and the names of the classes, "unknown" first."""
    names = class_names(values, feature)
    classes = (UNKNOWN, *sorted(set(names) - {UNKNOWN}))
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[name] for name in names], np.int64), classes


def warn_of_spellings(numbers: np.ndarray, classes: Sequence[str]) -> None:
    """Warn of classes with few covers whose names, ignoring case, are close to those of others at least as large."""
    if len(classes) > MOST_COMPARED:
        return
    counts = np.bincount(numbers, minlength=len(classes)).tolist()
    words = [number for number in range(1, len(classes)) if not re.search(r"\d", classes[number])]  # "1980s", "1990s"
    by_size = sorted(words, key=lambda number: -counts[number])
    names = [classes[number].casefold() for number in by_size]
    pairs = []
    for place, number in enumerate(by_size):
        larger = names[:place] if counts[number] < RARE else []
        for name in get_close_matches(names[place], larger, n=1, cutoff=SPELLED_ALIKE):
            other = by_size[names.index(name)]
            pairs.append(f"{classes[number]!r} ({counts[number]}), as {classes[other]!r} ({counts[other]})")
    if pairs:
        more = f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        logger.warning(
            "classes with fewer than %d covers are spelled much like others: %s%s; upper and lower case count; correct "
            "the labels if these are the same",
            RARE, "; ".join(pairs[:SHOWN]), more,
        )  # fmt: skip


def class_names(values: Sequence[Any], feature: Any = None) -> list[str]:
    """N values of a label column -> the N names of their classes; "unknown" for missing values."""
    if isinstance(feature, datasets.ClassLabel):
        values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
    return [class_name(value) for value in values]


def counts_by_name(columns: Sequence[np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> dict[str, list[int]]:
    """Number of covers of each class for each name: columns of names (N,), labels (N,) -> {name: K counts}, sorted.

    `classes` are the K names of labels 0 to K - 1; label 0, no class, is not counted. Names that are already classes,
    or have fewer than SMALLEST_MIXTURE covers, are left out. Raises ValueError for a name that two columns have.
    """
    found: dict[str, list[int]] = {}
    for names in columns:
        counts = {
            str(name): np.bincount(labels[(names == name) & (labels > 0)], minlength=len(classes)).tolist()
            for name in np.unique(names)
            if name not in classes
        }
        if both := sorted(found.keys() & counts.keys()):
            raise ValueError(f"mixture_column must hold different names in each column, got {both[0]!r} in two")
        found |= counts
    return {name: count for name, count in sorted(found.items()) if sum(count) >= SMALLEST_MIXTURE}


def class_of_variant(name: str) -> str:
    """The class that a variant is named after, "pale sky" for "pale sky 2"; "" for other names."""
    found = re.fullmatch(r"(.+) \d+", name)
    return found[1] if found else ""


def class_name(value: Any) -> str:
    """The class name for a value of a label column: the first of a list; None, NaN and "" are "unknown"."""
    return value_text(value) or UNKNOWN
