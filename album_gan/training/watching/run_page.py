"""progress.html: a page in a run's folder that shows how it goes, and refreshes itself. It needs no server."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from ...inference.atomic import write_atomic
from ...inference.model_store import find_model

REFRESH = 15  # seconds
POINTS = 300  # of a curve
WON, WON_IN_A_ROW = 0.005, 3  # a discriminator loss as small as this, in so many lines of the log, says that it won
STRIP = 12  # moments of the film strip
COLOURS = ("#7cc4ff", "#ffb86b", "#8ee28e", "#ff8fa3", "#c9a6ff", "#ffe27a", "#7ee0d6", "#d0d0d0")

STYLE = """
body { background: #14161a; color: #e8e6e1; font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem } p { margin: .3rem 0; max-width: 46rem }
img { image-rendering: auto; max-width: 100% } svg { width: 100%; height: auto; background: #1c1f25 }
.pair { display: grid; grid-template-columns: 2fr 1fr; gap: 1rem; align-items: start }
.strip { display: flex; gap: .5rem; overflow-x: auto } figure { margin: 0; flex: none }
.strip img { width: 10rem } figcaption, .fine { color: #a9a69f; font-size: .85rem }
.alarm { border-left: 4px solid #ff8fa3; background: #2a1c20; padding: .6rem 1rem; margin: 1rem 0 }
.calm { border-left: 4px solid #8ee28e; background: #1b261c; padding: .6rem 1rem; margin: 1rem 0 }
"""


@dataclass(frozen=True)
class Status:
    """What the log does not say: images at the newest picture, seconds until the next, and where the run stands."""

    images: int = 0
    next_picture: float | None = None  # None for a run that is over
    stands: str = ""


def write_page(
    output_dir: Path,
    title: str,
    records: Sequence[dict[str, Any]],
    status: Status = Status(),
    seconds: int = REFRESH,
) -> None:
    """Draw the page from the lines of log.jsonl and the pictures that are there; `seconds` 0 for a run that is over."""
    losses = [record for record in records if "step" in record]
    evaluations = [record for record in records if "kid" in record]
    alarms = [record for record in records if "alarm" in record]
    images = max([status.images, *(record["images"] for record in records[-1:])])
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{images:,} covers shown{_speed(losses)}.</p>", _stands(status)]
    parts += [_sheet(output_dir, status), _alarm(alarms, losses, evaluations), _losses(losses), _kid(evaluations)]
    parts += [_nearest(output_dir), _strip(output_dir)]
    refresh = f'<meta http-equiv="refresh" content="{seconds}">' if seconds else ""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )
    write_atomic(output_dir / "progress.html", page)


def _speed(losses: Sequence[dict[str, Any]]) -> str:
    if not losses:
        return ""
    waiting = losses[-1].get("waiting_for_data", 0)
    slow = f"; {waiting:.0%} of the time waits for data: raise dataloader_num_workers" if waiting > 0.1 else ""
    return f", {losses[-1]['images_per_second']:,} a second now{slow}"


def _stands(status: Status) -> str:
    return f"<p>{escape(status.stands)}</p>" if status.stands else ""


def _alarm(
    alarms: Sequence[dict[str, Any]], losses: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]]
) -> str:
    if not alarms:
        last = losses[-WON_IN_A_ROW:]
        won = [name for name in (last[-1] if last else ()) if name.startswith("discriminator/")
               and len(last) == WON_IN_A_ROW and all(abs(one.get(name, 1)) < WON for one in last)]  # fmt: skip
        if won:
            return (
                f'<p class="alarm">{escape(", ".join(won))} is near zero: the discriminator tells real from fake with '
                "ease. Early in a run that is usual; if it stays, the generator learns nothing.</p>"
            )
        checked = "" if evaluations else " Most checks come with the first evaluation."
        return f'<p class="calm">No alarm so far.{checked}</p>'
    latest = alarms[-1]
    alarm = {name: escape(text) for name, text in latest["alarm"].items()}
    return (
        f'<div class="alarm"><b>{alarm["name"]}</b>, at {latest["images"]:,} covers; {len(alarms)} so far. '
        f"<br>{alarm['saw']}<br>{alarm['means']}<br>Try: {alarm['attempt']}</div>"
    )


def _sheet(output_dir: Path, status: Status) -> str:
    coming = status.next_picture
    soon = f" The next picture comes in {coming:.0f} s." if coming is not None and coming < math.inf else ""
    if not (output_dir / "samples" / "now.png").exists():
        return f"<h2>Covers</h2><p>The first picture is on its way.{soon}</p>"
    # Once an address, so that a browser does not show an old one.
    before = (
        '<figure><img src="samples/before.png" alt="the first samples"><figcaption>at the start</figcaption></figure>'
    )
    before = before if (output_dir / "samples" / "before.png").exists() else ""
    return (
        "<h2>Covers</h2><p>The same 64 seeds on every sheet: what changes is the generator. This is how it draws "
        f"after {status.images:,} covers.{soon}</p>"
        f'<div class="pair"><img src="samples/now.png?{status.images}" alt="the latest samples">{before}</div>'
    )


def _nearest(output_dir: Path) -> str:
    if not (output_dir / "samples" / "nearest.png").exists():
        return ""
    return (
        "<h2>Did it copy?</h2><p>Above what it drew, beneath each the training cover that is most like it, among up to "
        '2,000. Alike in colour is usual; alike in every detail is a copy.</p><img src="samples/nearest.png" '
        'alt="samples, and the nearest training covers">'
    )


def _strip(output_dir: Path) -> str:
    moments = sorted((output_dir / "history").glob("[0-9]*.webp"))
    spread = {moments[round(i * (len(moments) - 1) / (STRIP - 1))] for i in range(STRIP)} if moments else ()
    figures = "".join(
        f'<figure><img src="history/{moment.name}" alt="samples after {int(moment.stem):,} covers">'
        f"<figcaption>{int(moment.stem):,}</figcaption></figure>"
        for moment in sorted(spread)
    )
    return (
        "<h2>Film strip</h2><p>From the first noise to now. Look for variety: when pictures in one sheet begin to look "
        f'alike, the generator collapses.</p><div class="strip">{figures}</div>'
    )


def _kid(evaluations: Sequence[dict[str, Any]]) -> str:
    text = (
        "<h2>Distance to real covers</h2><p>kid compares samples with covers that nobody trained on: lower is better, "
        "and the floor is what two piles of real covers have between them. It is the number to trust; losses are not. "
        "recall is the share of real covers that something drawn comes near to: higher is more varied.</p>"
    )
    if not evaluations:
        return text + '<p class="fine">Not measured yet.</p>'
    last, best = evaluations[-1], min(evaluations, key=lambda one: one["kid"])
    curves = {"kid": [(one["images"], one["kid"]) for one in evaluations]}
    curves["floor"] = [(one["images"], one["kid_floor"]) for one in evaluations]
    bundled = [point for point in bundled_kids() if point[0] <= 2 * last["images"]]
    curves |= {"the bundled run": bundled} if bundled else {}
    recall = {"recall": [(one["images"], one["recall"]) for one in evaluations]}
    return (
        f"{text}{_chart(curves)}{_chart(recall)}<p>Now {last['kid']:.4f}, recall {last['recall']:.3f}; best "
        f"{best['kid']:.4f} at {best['images']:,} covers, kept in best/.</p>"
    )


@cache
def bundled_kids() -> list[tuple[int, float]]:
    """(images, kid) of the bundled model's own training."""
    try:
        lines = (find_model("bundled") / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [(record["images"], record["kid"]) for record in map(json.loads, lines) if "kid" in record]


def _losses(losses: Sequence[dict[str, Any]]) -> str:
    text = (
        "<h2>Losses</h2><p>Are large losses bad? No: two networks play against each other, so neither loss goes to "
        "zero when the covers get good, and their size means little. Read them for changes only: steady is healthy; "
        "one that shoots up or sticks at zero says that one player has won, and then nothing is learned any more.</p>"
    )
    for side in ("discriminator", "generator"):
        names = dict.fromkeys(name for record in losses for name in record if name.startswith(f"{side}/"))
        curves = {
            name: [(record["images"], record[name]) for record in losses if name in record] for name in list(names)[:8]
        }
        text += f'<p class="fine">{side}</p>{_chart(curves)}' if curves else ""
    return text


def _chart(curves: dict[str, list[tuple[float, float]]], width: int = 900, height: int = 180) -> str:
    """Curves over images shown, as SVG; each of the curves has one point at least."""
    points = [point for curve in curves.values() for point in curve]
    right = max(x for x, _ in points) or 1
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = (high - low) or 1
    lines, names = [], []
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        shown = curve[:: max(1, len(curve) // POINTS)]
        places = " ".join(
            f"{60 + x / right * (width - 80):.1f},{10 + (high - y) / span * (height - 50):.1f}" for x, y in shown
        )
        lines.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(shown) == 1:
            x, y = places.split(",")
            lines.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        names.append(f'<tspan fill="{colour}" dx="14">{escape(name.rpartition("/")[2])}</tspan>')
    text = 'font-size="12" fill="#a9a69f"'
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(", ".join(curves))} over covers shown">'
        f'{"".join(lines)}<text x="6" y="18" {text}>{high:.3g}</text>'
        f'<text x="6" y="{height - 40}" {text}>{low:.3g}</text>'
        f'<text x="46" y="{height - 10}" {text}>0{"".join(names)}</text>'
        f'<text x="{width - 10}" y="{height - 10}" text-anchor="end" {text}>{right:,} covers</text></svg>'
    )
