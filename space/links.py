"""What a link shows: ?tab=&seeds=&truncation=&label=&model=, of which anything may be missing or wrong."""

import json
import re
from collections.abc import Mapping

from album_gan import AlbumCoverPipeline
from album_gan.inference.latents import DEFAULT_TRUNCATION, name_of
from album_gan.space.session import WALL_SIZE
from album_gan.space.theme import STATIC
from album_gan.space.validation import MAX_PINS, check_seeds, check_truncation

TABS = ("generate", "interpolate", "upscale", "edit", "learn")


def opening_wall(fingerprint: str) -> tuple[list[int], bool]:
    """The seeds of the wall that opens the page, and whether they were picked by hand: a pick is for one model only."""
    stage = json.loads((STATIC / "stage.json").read_text(encoding="utf-8"))
    picked = stage["model"] == fingerprint
    return (stage["seeds"] if picked else list(range(WALL_SIZE))), picked


def wall_value(
    fingerprint: str, seeds: list[int], truncation: float, label: str | None = None, note: str = "", opened=None
) -> dict:
    """What wall.js shows. `opened` {"note", "words", "meant", "at"} opens the first cover, once for each `at`."""
    return {
        "seeds": seeds,
        "names": [name_of(seed) for seed in seeds],
        "truncation": truncation,
        "label": label or "",
        "model": fingerprint,
        "note": note,
        "opened": opened,
    }


def view_of_link(pipe: AlbumCoverPipeline, query: Mapping[str, str], count: int) -> dict:
    """The page's view for a link's fields; each field that is wrong is ignored, the others still count.

    `interpolate` and `upscale` are what people typed there, names or any words; None leaves these tabs as they are.
    `count` covers are on the wall where the link names none.
    """
    tab = query.get("tab") if query.get("tab") in TABS else TABS[0]
    text = query.get("seeds", "").strip()
    truncation = _valid(check_truncation, query.get("truncation"), DEFAULT_TRUNCATION)
    seeds = _valid(check_seeds, text, []) if text and tab == "generate" else []
    label = query.get("label") if query.get("label") in pipe.labels else ""
    opening, picked = opening_wall(pipe.fingerprint)
    note = "Hand-picked" if picked and not seeds and truncation == DEFAULT_TRUNCATION else ""
    return {
        "tab": tab,
        "truncation": truncation,
        "label": label,
        "wall": wall_value(pipe.fingerprint, seeds or opening[:count], truncation, label, note),
        "interpolate": ", ".join(_names(text)[:MAX_PINS]) if text and tab == "interpolate" else None,
        "upscale": (_names(text) or [""])[0][:200] if text and tab == "upscale" else None,
        "notice": _notice(query.get("model", ""), pipe.fingerprint),
    }


def _names(text: str) -> list[str]:
    """Seeds as names, and words as they are."""
    names = []
    for item in filter(None, map(str.strip, text[:2000].split(","))):
        names += map(name_of, _valid(check_seeds, item, [])) if _valid(check_seeds, item, []) else [item]
    return names


def _valid(check, value, default):
    try:
        return check(value)
    except ValueError:
        return default


def _notice(model: str, fingerprint: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}", model) or model == fingerprint:
        return ""
    return f"This link is from another model ({model}). This one, {fingerprint}, draws other covers."
