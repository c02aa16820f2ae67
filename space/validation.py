"""What visitors may ask for, and how a wrong wish is answered: one clear line, never a trace."""

import functools
import html
import inspect
import re
from typing import NamedTuple

import gradio as gr

from album_gan.inference.latents import DEFAULT_TRUNCATION, MAX_TRUNCATION, parse_seeds, seed_for_any_text, seed_of

MAX_COVERS = 64  # a call
MAX_FRAMES = 240
MAX_PINS = 8
FORMATS = ("mp4", "gif", "webp")


class Cover(NamedTuple):
    """What one cover of a model depends on."""

    seed: int
    truncation: float = DEFAULT_TRUNCATION
    label: str | None = None


def check_truncation(value: str | float) -> float:
    """0 to 1.5 in hundredths; ValueError otherwise."""
    try:
        truncation = round(float(value), 2)
    except (TypeError, ValueError, OverflowError):
        truncation = float("nan")
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation must be from 0 to {MAX_TRUNCATION}, got {str(value)[:20]!r}; 1 is plain")
    return truncation


def check_seeds(text: str) -> list[int]:
    """ "1,2,7-9" or names -> up to 64 seeds; ValueError otherwise."""
    seeds = parse_seeds(str(text or "")[:4000])
    if len(seeds) > MAX_COVERS:
        raise ValueError(f"seeds must be at most {MAX_COVERS} a call, got {len(seeds)}; ask in several calls")
    return seeds


def seeds_of_anything(text: str) -> list[int]:
    """As `check_seeds`, but an item that is neither seed, range nor name chooses a seed by its words."""
    items = [item for item in (text or "").split(",") if item.strip()]
    exact = [item if re.fullmatch(r"[\d\s-]+", item) else str(seed_for_any_text(item)[0]) for item in items]
    return check_seeds(",".join(exact)) if exact else []


def seeds_on(wall: dict) -> list[int]:
    """The seeds of a wall that came back from a browser, which may send anything."""
    try:
        return [seed_of(seed) for seed in wall["seeds"][:MAX_COVERS]]
    except (KeyError, TypeError):
        raise ValueError("the wall is unreadable; reload the page") from None


def whole_number(value: float | None, name: str, low: int, high: int, example: str) -> int:
    """`value` as an int from `low` to `high`; ValueError, with an example, otherwise."""
    try:
        number = int(value)
        if number == value and low <= number <= high:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be a whole number from {low} to {high}, got {str(value)[:20]!r}; {example}")


def told(handler):
    """Show a handler's ValueError to the person at the page or the API as one clear line."""

    def clear(error: ValueError) -> gr.Error:
        # The page shows messages as HTML, and they quote what was typed.
        return gr.Error(html.escape(str(error), quote=False), print_exception=False)

    @functools.wraps(handler)
    def called(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except ValueError as error:
            raise clear(error) from error

    @functools.wraps(handler)
    def stepped(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except ValueError as error:
            raise clear(error) from error

    return stepped if inspect.isgeneratorfunction(handler) else called
