"""Checks of what people type, click and send; each raises a ValueError of one clear line. Knows no web framework."""

import json
from typing import NamedTuple

from album_gan.inference.latents import DEFAULT_TRUNCATION, MAX_TRUNCATION, Chosen, read_seeds, seed_of, typed_for

MAX_COVERS = 64  # per call
MAX_FRAMES = 240
MAX_PINS = 8
MAX_EDIT = 3.0  # in both directions
MAX_SIDE = 4096  # pixels of a picture that people upload
FORMATS = ("mp4", "gif", "webp")


class Cover(NamedTuple):
    """What one cover of a model depends on, and the words that were typed for its seed, if any."""

    seed: int
    truncation: float = DEFAULT_TRUNCATION
    label: str | None = None
    typed: str = ""

    @property
    def name(self) -> str:
        """What it is called: what was typed, or the seed's readable name."""
        return Chosen(self.seed, self.typed).name


def check_truncation(value: str | float) -> float:
    """0 to 1.5 in hundredths; ValueError otherwise."""
    try:
        truncation = round(float(value), 2)
    except (TypeError, ValueError, OverflowError):
        truncation = float("nan")
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation must be from 0 to {MAX_TRUNCATION}, got {str(value)[:20]!r}; 1 is plain")
    return truncation


def check_seeds(text: str) -> list[Chosen]:
    """A list or any words, as `read_seeds` -> up to 64 seeds with what was typed for them; ValueError otherwise."""
    chosen = read_seeds(str(text or "")[:4000])
    if len(chosen) > MAX_COVERS:
        raise ValueError(f"seeds must be at most {MAX_COVERS} a call, got {len(chosen)}; ask in several calls")
    return chosen


def check_several(text: str) -> list[Chosen]:
    """As `check_seeds`, for what needs two or more: where that finds one name, its commas separate covers."""
    chosen = check_seeds(text)
    if len(chosen) == 1 and "," in chosen[0].typed:
        return check_seeds(";".join(item for item in chosen[0].typed.split(",") if item.strip()))
    return chosen


def check_wall(wall: dict) -> list[Chosen]:
    """The seeds of a wall as a browser sent it back, with what was typed for them."""
    try:
        seeds = [seed_of(seed) for seed in wall["seeds"][:MAX_COVERS]]
        typed = [str(words)[:200] for words in wall.get("typed") or [""] * len(seeds)]
        return [Chosen(seed, typed_for(seed, words)) for seed, words in zip(seeds, typed, strict=False)]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the wall is unreadable; reload the page") from None


def check_archive(text: str) -> list[Cover]:
    """JSON [[seed, truncation, label, typed], ...], typed optional -> up to 64 covers; ValueError otherwise."""
    try:
        rows = [(seed, truncation, label, *typed[:1]) for seed, truncation, label, *typed in json.loads(text)]
    except (TypeError, ValueError, RecursionError):
        raise ValueError('covers must be JSON such as [[42, 1, ""]], of seed, truncation and label') from None
    if not 0 < len(rows) <= MAX_COVERS:
        raise ValueError(f"covers must be 1 to {MAX_COVERS}, got {len(rows)}; ask in several calls")
    covers = [(seed_of(seed), check_truncation(by), label or None, *typed) for seed, by, label, *typed in rows]
    return [Cover(*rest[:3], typed_for(rest[0], str((rest[3:] or [""])[0])[:200])) for rest in covers]


def check_format(name: str) -> str:
    """One of `FORMATS`; ValueError otherwise."""
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {str(name)[:20]!r}")
    return name


def check_edits(text: str, names: list[str]) -> dict[str, float]:
    """JSON of the names of edits and amounts from -3 to 3; ValueError otherwise."""
    try:
        amounts = {str(name): float(amount) for name, amount in json.loads(text[:2000] or "{}").items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError('edits must be JSON such as {"darker": 1.5}') from None
    for name, amount in amounts.items():
        if name not in names or not abs(amount) <= MAX_EDIT:
            raise ValueError(
                f"edits must be of {', '.join(names)}, from -{MAX_EDIT:g} to {MAX_EDIT:g}; got {name[:40]!r}"
            )
    return amounts


def whole_number(value: float | None, name: str, low: int, high: int, example: str) -> int:
    """`value` as an int from `low` to `high`; ValueError, with an example, otherwise."""
    try:
        number = int(value)
        if number == value and low <= number <= high:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be a whole number from {low} to {high}, got {str(value)[:20]!r}; {example}")
