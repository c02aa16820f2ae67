"""Validation of user input; each check raises ValueError with one clear line. Independent of web frameworks."""

import json
from typing import NamedTuple

from album_gan.inference.latents import (
    DEFAULT_TRUNCATION,
    MAX_TRUNCATION,
    Chosen,
    read_seeds,
    seed_for_any_text,
    seed_of,
    typed_for,
)
from album_gan.media.video import ENDINGS

MAX_COVERS = 64  # per call
MAX_TEXT = 20_000  # characters of a list: 64 names of 200, and more
MAX_FRAMES = 240
MAX_PINS = 8
MAX_EDIT = 3.0  # in both directions
MAX_SIDE = 4096  # pixels of an uploaded picture
FORMATS = tuple(ending.removeprefix(".") for ending in ENDINGS)
LARGE_FRAME = 512  # pixels of a film for a projector; 0.1 s a frame on two cores


class Cover(NamedTuple):
    """Everything that determines a model's cover, and the words typed for its seed, if any."""

    seed: int
    truncation: float = DEFAULT_TRUNCATION
    label: str | None = None
    typed: str = ""

    @property
    def name(self) -> str:
        """The typed words, or the seed's readable name."""
        return Chosen(self.seed, self.typed).name


def check_truncation(value: str | float) -> float:
    """Parse a truncation from 0 to 1.5, rounded to hundredths. Raises ValueError."""
    try:
        truncation = round(float(value), 2)
    except (TypeError, ValueError, OverflowError):
        truncation = float("nan")
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation must be from 0 to {MAX_TRUNCATION}, got {str(value)[:20]!r}; 1 is the default")
    return truncation


def check_seeds(text: str) -> list[Chosen]:
    """Parse a list or any words, as `read_seeds`: up to 64 seeds with the words typed for them. Raises ValueError."""
    text = str(text or "")
    if len(text) > MAX_TEXT:
        raise ValueError(f"seeds must be at most {MAX_TEXT} characters, got {len(text)}; ask in several calls")
    return read_seeds(text, MAX_COVERS)


def check_seed(text: str) -> Chosen:
    """As `check_seeds` where one cover is needed. Raises ValueError for none or several."""
    chosen = check_seeds(text)
    if len(chosen) > 1:
        raise ValueError(f"seed must be one number or name, got {len(chosen)}; take one of them")
    return chosen[0]


def check_several(text: str) -> list[Chosen]:
    """As `check_seeds` where two or more covers are needed: commas separate those of a lone name without semicolon."""
    chosen = check_seeds(text)
    if len(chosen) == 1 and "," in chosen[0].typed and ";" not in text:
        return check_seeds(";".join(item for item in chosen[0].typed.split(",") if item.strip()))
    return chosen


def check_wall(wall: dict) -> list[Chosen]:
    """The seeds of a wall as sent by a browser, with the words typed for them. Raises ValueError."""
    try:
        seeds = [seed_of(seed) for seed in wall["seeds"][:MAX_COVERS]]
        typed = [str(words)[:200] for words in wall.get("typed") or [""] * len(seeds)]
        return [Chosen(seed, typed_for(seed, words)) for seed, words in zip(seeds, typed, strict=False)]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the wall is unreadable; reload the page") from None


def check_archive(text: str) -> list[Cover]:
    """Parse JSON [[seed, truncation, label, typed], ...], typed optional: up to 64 covers. Raises ValueError."""
    try:
        rows = [(seed, by, str(label or ""), *map(str, typed[:1])) for seed, by, label, *typed in json.loads(text)]
        if not all(isinstance(seed, (int, str)) for seed, *_ in rows):
            raise ValueError
    except (TypeError, ValueError, RecursionError):
        raise ValueError('covers must be JSON such as [[42, 1, ""]], of seed, truncation and label') from None
    if not 0 < len(rows) <= MAX_COVERS:
        raise ValueError(f"covers must be 1 to {MAX_COVERS}, got {len(rows)}; ask in several calls")
    return [_cover_of(*row) for row in rows]


def _cover_of(seed: int | str, truncation: float, label: str, typed: str = "") -> Cover:
    """A cover by its seed, or by the words typed for it, which a browser may send in place of the seed."""
    by_words = bool(typed) and str(seed) == typed
    number = seed_for_any_text(typed)[0] if by_words else seed_of(seed)
    return Cover(number, check_truncation(truncation), label or None, typed_for(number, typed[:200]))


def check_format(name: str) -> str:
    """Return the name if it is one of `FORMATS`. Raises ValueError otherwise."""
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {str(name)[:20]!r}")
    return name


def check_frame_size(value: str | float | None, resolution: int) -> int | None:
    """Parse the size of a film's frames, `resolution` (the model's) to 512 pixels; None if they are not enlarged.

    Raises ValueError.
    """
    if value in (None, ""):
        return None
    size = whole_number(value, "size", resolution, max(resolution, LARGE_FRAME), f"{LARGE_FRAME} suits a projector")
    return None if size == resolution else size


def check_edits(text: str, names: list[str]) -> dict[str, float]:
    """Parse JSON {name of an edit: amount from -3 to 3}. Raises ValueError."""
    try:
        amounts = {str(name): float(amount) for name, amount in json.loads(text[:2000] or "{}").items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError('edits must be JSON such as {"darker": 1.5}') from None
    for name, amount in amounts.items():
        if name not in names:
            raise ValueError(f"edits must be of {', '.join(names)}, got {name[:40]!r}")
        if not abs(amount) <= MAX_EDIT:
            raise ValueError(f"edits must be from -{MAX_EDIT:g} to {MAX_EDIT:g}, got {amount:g} of {name!r}")
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
