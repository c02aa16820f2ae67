"""progress.html: a self-refreshing page in a run's folder that shows its progress, without a server."""

import json
import math
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from ...inference.atomic import write_atomic
from ...inference.model_store import find_model, history_sheets
from ...metrics.measures import KERNEL_DISTANCE, MEASURES, ruler, ruler_line
from ...page_style import stylesheet
from .charts import chart, ruler_chart

REFRESH = 15  # seconds, or sooner when a picture is due
WON, WON_IN_A_ROW = 0.005, 3  # a discriminator loss this small in this many log lines means that it has won
LOSSES_WON_AT_ZERO = tuple(f"discriminator/{name}" for name in ("cross_entropy", "hinge", "relativistic"))
LOSSES_OF_OPPONENTS = (
    "Are large losses bad? No: two networks compete, so neither loss goes to zero as the covers get better, and their "
    "size means little. Only changes matter: steady is healthy; a loss that shoots up or sticks at zero means that one "
    "network has won, and nothing more is learned."
)
LOSSES_OF_A_CRITIC = (
    "The discriminator is a critic here: minus its Wasserstein loss estimates the distance between generated and real "
    "covers, in units that the critic chooses. So it approaches zero as the covers get better; a loss that shoots up "
    "means that training diverges."
)
STRIP = 12  # snapshots in the film strip

STYLE = """
svg { width: 100%; height: auto; background: var(--panel); border-radius: 4px }
svg text { fill: var(--muted); font: 13px var(--font) }
label { display: inline-flex; align-items: center; gap: .5rem; min-height: 2rem }
label input { width: 1.5rem; height: 1.5rem }
.stands { font-size: 1.25rem; max-width: none }
.pair { display: grid; grid-template-columns: 2fr 1fr; gap: 1rem; align-items: start }
.pair img { width: 100% } .pair img, .strip img { border-radius: 4px }
.strip { display: flex; gap: .5rem; overflow-x: auto } .strip figure { flex: none } .strip img { width: 10rem }
.alarm, .calm { border-left: 4px solid var(--good); background: var(--panel); padding: .6rem 1rem; margin: 1rem 0 }
.alarm { border-color: var(--bad) }
@media (max-width: 40rem) {
  .pair { grid-template-columns: 1fr } svg text { font-size: 21px } svg.ruler { display: none }
}
"""
REFRESHING = """
<script>
const refresh = document.querySelector("#refresh");
try { refresh.checked = sessionStorage.getItem("refresh") !== "off"; } catch { /* it is on, then */ }
refresh.onchange = () => { try { sessionStorage.setItem("refresh", refresh.checked ? "on" : "off"); } catch { } };
setTimeout(function again() {
  if (refresh.checked) location.reload(); else setTimeout(again, 1000);
}, 1000 * refresh.dataset.seconds);
</script>
"""
COUNTDOWN = """
<script>
const soon = document.querySelector("#soon"), until = Date.now() + 1000 * soon.dataset.seconds;
const count = setInterval(() => {
  const left = Math.round((until - Date.now()) / 1000);
  soon.textContent = left > 0 ? `in ${left} s` : "now";
  if (left <= 0) clearInterval(count);
}, 1000);
</script>
"""


@dataclass(frozen=True)
class Status:
    """Values not in the log: images at the newest picture, seconds until the next, and a description of the run."""

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
    """Write the page from log records and existing pictures; `seconds` is 0 for a finished run."""
    losses = [record for record in records if "step" in record]
    evaluations = [record for record in records if "kid" in record]
    alarms = [record for record in records if "alarm" in record]
    images = max([status.images, *(record["images"] for record in records[-1:])])
    coming = status.next_picture if status.next_picture is not None and status.next_picture < math.inf else None
    if seconds and coming is not None:
        seconds = min(seconds, math.ceil(coming) + 2)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _stands(status),
        f"<p>{images:,} images seen{_speed(losses, over=not seconds)}.</p>",
    ]
    if seconds:
        box = f'<input type="checkbox" id="refresh" data-seconds="{seconds}" checked>'
        parts.append(f'<label class="fine">{box} refresh automatically</label>')
    parts += [_sheet(output_dir, status, coming), _alarm(alarms, losses, evaluations), _losses(losses)]
    parts += [_kernel_distance(evaluations, output_dir), _nearest(output_dir), _strip(output_dir)]
    parts += [_afterwards(output_dir, seconds)]
    refresh = f'<meta http-equiv="refresh" content="{seconds}">' if seconds else ""
    scripts = (REFRESHING if seconds else "") + (COUNTDOWN if coming is not None else "")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><noscript>{refresh}</noscript>'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{stylesheet()}{STYLE}</style></head>"
        f'<body><main class="reading">{"".join(parts)}</main>{scripts}</body></html>\n'
    )
    write_atomic(output_dir / "progress.html", page)


def _speed(losses: Sequence[dict[str, Any]], over: bool) -> str:
    if not losses:
        return ""
    waiting = losses[-1].get("waiting_for_data", 0)
    slow = f"; {waiting:.0%} of the time is spent waiting: raise dataloader_num_workers" if waiting > 0.1 else ""
    return f", {losses[-1]['images_per_second']:,} per second {'at the end' if over else 'now'}{slow}"


def _stands(status: Status) -> str:
    return f'<p class="stands">{escape(status.stands)}</p>' if status.stands else ""


def _alarm(
    alarms: Sequence[dict[str, Any]], losses: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]]
) -> str:
    if not alarms:
        last = losses[-WON_IN_A_ROW:]
        won = [name for name in (last[-1] if last else ()) if name in LOSSES_WON_AT_ZERO
               and len(last) == WON_IN_A_ROW and all(abs(one.get(name, 1)) < WON for one in last)]  # fmt: skip
        if won:
            return (
                f'<p class="alarm">{escape(", ".join(won))} is near zero: the discriminator easily tells real from '
                "fake. Early in a run that is usual; if it persists, the generator learns nothing.</p>"
            )
        checked = "" if evaluations else " Most checks run with the first evaluation."
        return f'<p class="calm">No alarms so far.{checked}</p>'
    latest = {one["alarm"]["name"]: one for one in alarms}  # of each kind
    return "".join(
        _alarm_box(one, sum(other["alarm"]["name"] == name for other in alarms))
        for name, one in sorted(latest.items(), key=lambda item: item[1]["images"], reverse=True)
    )


def _alarm_box(record: dict[str, Any], times: int) -> str:
    """An alarm from the log, raised `times` times."""
    alarm = {name: escape(text) for name, text in record["alarm"].items()}
    often = f"; {times} times so far" if times > 1 else ""
    return (
        f'<div class="alarm"><b>{alarm["name"]}</b>, at {record["images"]:,} images{often}. '
        f"<br>{alarm['saw']}<br>{alarm['means']}<br>Try: {alarm['attempt']}</div>"
    )


def _sheet(output_dir: Path, status: Status, coming: float | None) -> str:
    soon = ""
    if coming is not None:
        soon = f' Next sheet <span id="soon" data-seconds="{coming:.0f}">in {coming:.0f} s</span>.'
    if not (output_dir / "samples" / "now.png").exists():
        return f"<h2>Covers</h2><p>The first sheet will appear soon.{soon}</p>"
    before = (
        '<figure><img src="samples/before.png" alt="the first samples"><figcaption>at the start</figcaption></figure>'
    )
    before = before if (output_dir / "samples" / "before.png").exists() else ""
    # A separate URL for each sheet, so that a browser does not show a cached one.
    return (
        "<h2>Covers</h2><p>The same 64 seeds on every sheet: only the generator changes. These are its covers "
        f"after {status.images:,} images.{soon}</p>"
        f'<div class="pair"><img src="samples/now.png?{status.images}" alt="the latest samples">{before}</div>'
    )


def _nearest(output_dir: Path) -> str:
    if not (output_dir / "samples" / "nearest.png").exists():
        return ""
    return (
        "<h2>Did it copy?</h2><p>Top: samples. Below each: the most similar of up to 2,000 training covers. Similar "
        'colours are normal; identical details mean a copy.</p><img src="samples/nearest.png" '
        'alt="samples, and the nearest training covers">'
    )


def _strip(output_dir: Path) -> str:
    moments = history_sheets(output_dir)
    spread = {moments[round(i * (len(moments) - 1) / (STRIP - 1))] for i in range(STRIP)} if moments else ()
    figures = "".join(
        f'<figure><img src="history/{moment.name}" alt="samples after {int(moment.stem):,} images">'
        f"<figcaption>{int(moment.stem):,}</figcaption></figure>"
        for moment in sorted(spread)
    )
    return (
        "<h2>Film strip</h2><p>From the start to now. Look for diversity: when the pictures in a sheet start to look "
        'alike, the generator is collapsing.</p><div class="strip" tabindex="0" role="group" aria-label="Film strip">'
        f"{figures}</div>"
    )


def _kernel_distance(evaluations: Sequence[dict[str, Any]], output_dir: Path) -> str:
    name, means, recall = KERNEL_DISTANCE.name, KERNEL_DISTANCE.means, MEASURES["recall"]
    text = (
        f"<h2>Distance to real covers</h2><p>The {escape(name)} is the {escape(means)}. Trust this number, "
        f"not the losses. The {recall.name} is the {escape(recall.means)}.</p>"
    )
    if not evaluations:
        return text + '<p class="fine">Not measured yet.</p>'
    last, best = evaluations[-1], min(evaluations, key=lambda one: one["kid"])
    kept = ", kept in best/" if _images_of(output_dir / "best") == best["images"] else ""

    def curve(key: str) -> list[tuple[float, float]]:
        return [(one["images"], MEASURES[key].scale * one[key]) for one in evaluations]

    bundled: list[tuple[float, float]] = [
        (images, KERNEL_DISTANCE.scale * kid) for images, kid in bundled_kernel_distances()
    ]
    reached = [point for point in bundled if point[0] <= 2 * last["images"]]
    curves = {
        name: curve("kid"),
        **({"the bundled run": reached} if reached else {}),
        "real covers": curve("kid_floor"),
    }
    known = {mark: KERNEL_DISTANCE.scale * value for mark, value in ruler().items()}
    now, beside = KERNEL_DISTANCE.show(last["kid"]), f"{name} of reference pictures, at 128 px: {ruler_line()}."
    return (
        f"{text}{ruler_chart(known, KERNEL_DISTANCE.scale * last['kid'], name)}{chart(curves)}"
        f'{chart({recall.name: curve("recall")})}<p class="fine">{escape(beside)}</p>'
        f"<p>Now {now}, {_beside_bundled(last)}; recall {last['recall']:.3f}. "
        f"Best {KERNEL_DISTANCE.show(best['kid'])} at {best['images']:,} images{kept}.</p>"
    )


def _images_of(checkpoint: Path) -> int | None:
    """How many images a checkpoint has seen, without checking its weights; None if it is not there, or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))["images"]
    return None


def _beside_bundled(evaluation: dict[str, Any]) -> str:
    """The point at which the bundled run was as good, from its log."""
    course = bundled_kernel_distances()
    passed = [images for images, kid in course if kid <= evaluation["kid"]]
    if not passed:
        return "better than the bundled run ever got"
    first = passed[0] == course[0][0]
    return f"{'as the bundled run before' if first else 'like the bundled run at'} {passed[0]:,} images"


@cache
def bundled_kernel_distances() -> list[tuple[int, float]]:
    """(images, kernel distance) of the bundled model's own training."""
    try:
        lines = (find_model("bundled") / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [(record["images"], record["kid"]) for record in map(json.loads, lines) if "kid" in record]


def _losses(losses: Sequence[dict[str, Any]]) -> str:
    estimates_distance = any("discriminator/wasserstein" in record for record in losses)
    text = f"<h2>Losses</h2><p>{LOSSES_OF_A_CRITIC if estimates_distance else LOSSES_OF_OPPONENTS}</p>"
    for side in ("discriminator", "generator"):
        names = dict.fromkeys(name for record in losses for name in record if name.startswith(f"{side}/"))
        curves = {
            name.removeprefix(f"{side}/"): [(record["images"], record[name]) for record in losses if name in record]
            for name in list(names)[:8]
        }
        text += f"<h3>{side}</h3>{chart(curves)}" if curves else ""
    return text


def _afterwards(output_dir: Path, seconds: int) -> str:
    """Next commands to type, once the run is over."""
    if seconds:
        return ""
    folder = escape(shlex.quote(str(output_dir)))
    return (
        f"<h2>Next</h2><p>See the covers: <code>album-gan demo --model {folder}</code></p>"
        f"<p>Publish them: <code>album-gan push {folder} --repo-id YOUR_NAME/album-covers</code></p>"
    )
