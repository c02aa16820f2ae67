"""The view that a link describes: ?tab=&seeds=&truncation=&label=&model=, any of which may be missing or invalid."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from album_gan import AlbumCoverPipeline
from album_gan.inference.latents import DEFAULT_TRUNCATION, Chosen, name_of
from album_gan.page_style import opening_wall
from album_gan.space.validation import MAX_PINS, check_seeds, check_several, check_truncation

TABS = ("generate", "interpolate", "upscale", "edit", "learn")


def read_query(text: str) -> dict[str, str]:
    """The fields of a query string, with or without the leading question mark; empty if it has too many."""
    try:
        return dict(parse_qsl(text.removeprefix("?")))
    except ValueError:
        return {}


def wall_value(
    fingerprint: str,
    covers: Sequence[int | Chosen],
    truncation: float,
    label: str | None = None,
    note: str = "",
    opened=None,
) -> dict:
    """The value that wall.js shows. `opened` {"note", "meant", "at"} opens the first cover, once for each `at`."""
    chosen = [cover if isinstance(cover, Chosen) else Chosen(cover) for cover in covers]
    return {
        "seeds": [seed for seed, _ in chosen],
        "names": [name_of(seed) for seed, _ in chosen],
        "typed": [typed for _, typed in chosen],
        "truncation": truncation,
        "label": label or "",
        "model": fingerprint,
        "note": note,
        "opened": opened,
    }


def view_of_link(pipe: AlbumCoverPipeline, query: Mapping[str, str], count: int) -> dict:
    """The page's view for a link's fields; invalid fields are ignored.

    `interpolate` and `upscale` are the texts for these tabs, names or any words; None leaves them unchanged. Without
    seeds the wall has `count` covers. `notice` (HTML, "" if none) says that the link is from another model, or why its
    seeds cannot be used.
    """
    tab = query.get("tab") if query.get("tab") in TABS else TABS[0]
    text = query.get("seeds", "").strip()
    truncation = _valid(check_truncation, query.get("truncation"), DEFAULT_TRUNCATION)
    chosen, problem = _seeds_of(text, check_several if tab == "interpolate" else check_seeds)
    seeds = chosen if tab == "generate" else []
    label = query.get("label") if query.get("label") in pipe.all_labels else ""
    opening, picked = opening_wall(pipe.fingerprint)
    note = "Hand-picked" if picked and not (seeds or label) and truncation == DEFAULT_TRUNCATION else ""
    return {
        "tab": tab,
        "truncation": truncation,
        "label": label,
        "wall": wall_value(pipe.fingerprint, seeds or opening[:count], truncation, label, note),
        "interpolate": join_names(chosen[:MAX_PINS]) if chosen and tab == "interpolate" else None,
        "upscale": next((one.name for one in chosen), "")[:200] if text and tab == "upscale" else None,
        "notice": _other_model(query.get("model", ""), pipe.fingerprint) or problem,
    }


def join_names(chosen: Sequence[Chosen]) -> str:
    """Join names into a text that `read_seeds` parses; semicolons separate them, since words may contain commas."""
    return ("; " if any(one.typed for one in chosen) else ", ").join(one.name for one in chosen)


def _valid(check, value, default):
    try:
        return check(value)
    except ValueError:
        return default


def _seeds_of(text: str, check: Callable[[str], list[Chosen]]) -> tuple[list[Chosen], str]:
    """The seeds that a text chooses, none if it is empty; and why it cannot be used (HTML, "" if it can)."""
    try:
        return check(text) if text else [], ""
    except ValueError as error:
        return [], html.escape(str(error), quote=False)


def _other_model(model: str, fingerprint: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}", model) or model == fingerprint:
        return ""
    return f"This link is from another model ({model}). This one, {fingerprint}, draws other covers."
