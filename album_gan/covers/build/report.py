"""report.html: what is kept, what is rejected and why, with small examples, and how to keep more."""

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ...page_style import stylesheet
from ..recommended_settings import settings_for
from .candidates import EXAMPLES, preview
from .cleaning import STEPS, Cleaning
from .counts import Summary
from .selection import Candidates, Choice

GENRES_SHOWN = 30
FOLDER = "DIR"  # placeholder for the output folder, whose name must not change the bytes of a build
NAME_SHOWN = 70  # characters, the last ones of a file's name, shown under its picture
NOTE = "This page shows the pictures themselves: share it only if you may share them."
CROPS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.45, 0.6)  # 4:3 loses a quarter, 3:2 a third
SIDES = (96, 64, 48, 32)
MOST = 0.8  # of the files that the strongest option value would keep
ALLOWED = {
    "near_blank": "if they are covers of one colour",
    "near_duplicate": "if these are different pictures",
    "placeholder": "if these are covers",
}
REMEDIES = {  # for steps without an option
    "truncated": "copy or download these files again",
    "corrupt": "copy or download these files again",
    "empty": "copy or download these files again",
    "unreadable": "check the permissions of these files, and the disk; the same command retries them",
    "unreadable_labels": "save these as tables with a column file_name, CSV in UTF-8; unpack archives that hold them",
    "link": "copy the files themselves into the pile",
    "hidden": "remove the leading dot from the names of files you want",
    "too_many_bytes": "save these smaller",
    "too_many_pixels": "save these smaller",
    "exact_duplicate": "nothing is lost: one of each is used",
}

STYLE = """
.note{border-left:4px solid var(--line);padding:.4rem 1rem}
.split{display:flex;height:1.1rem;border-radius:.55rem;overflow:hidden;margin:1rem 0 .4rem;background:var(--line)}
.split span{background:var(--good)}
table{width:100%;table-layout:fixed}td{padding:.3rem .6rem .3rem 0;overflow-wrap:anywhere}
td.name{width:11rem}td.n{width:4.5rem;text-align:right}td.bars{width:8rem}
td.why,h3 span{color:var(--muted);font-weight:400}
td code{white-space:normal}
.bar{display:inline-block;height:.75rem;border-radius:.2rem;background:var(--curve-2);min-width:1px}
.bar.kept{background:var(--good)}.bar.out{background:var(--curve-1)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:0 3rem}
.grid td.name{width:9rem}.grid td.bars{width:auto}
.shown{display:flex;flex-wrap:wrap;gap:.6rem}
.shown figure{padding:.4rem;width:96px;border-radius:4px;background:var(--panel)}.shown figure.pair{width:198px}
.shown img{width:96px;height:96px;object-fit:contain;border-radius:2px;margin-right:2px}
.shown figure img:last-of-type{margin:0}figcaption{font-size:12px;overflow-wrap:anywhere}
pre{background:var(--panel);padding:.8rem 1rem;border-radius:4px;overflow-x:auto;white-space:pre-wrap}
@media(max-width:40rem){.grid{display:block}td.bars{display:none}td.name{width:8rem}}
"""


def report_page(
    summary: Summary,
    files: Candidates,
    choice: Choice,
    settings: Cleaning,
    command: str,
    thumbnails: bool,
) -> str:
    """The report as HTML. File names are untrusted text: everything is escaped."""
    kept, total = summary.kept, summary.pictures
    left_out = total - kept
    parts = [
        f"<h1>{kept:,} covers from {total:,} files</h1>"
        f"<div class=split><span style='width:{kept / max(total, 1):.2%}'></span></div>"
        f"<p>{kept / max(total, 1):.1%} of the files are used, {left_out:,} left out. "
        f"{summary.splits['train']:,} covers are for training, {summary.splits['test']:,} held out for evaluation, in "
        f"{summary.groups:,} groups; no group is in both.</p>"
        "<p class=fine>files.csv.gz lists the outcome for each file.</p>"
    ]
    parts += [f"<p class=note>{html.escape(NOTE)}</p>"] if thumbnails else []
    for name, counts in summary.files.items():
        rows = [(step, count, _why(step)) for step, count in counts.most_common()]
        parts.append(f"<h2>{html.escape(name)}: {counts.total():,} files</h2>{_rows(rows, counts.total(), noted=True)}")
    parts.append(_remedies(summary, settings, command))
    noted = [(step, count, STEPS[step][1]) for step, count in summary.notes.most_common()]
    parts.append(f"<h2>Used after a repair, or with a flag</h2>{_rows(noted, kept, noted=True)}")
    parts.append("<h2>Contents</h2><div class=grid>")
    tables: list[tuple[str, Mapping]] = [
        ("Smaller side of the originals, pixels", dict(sorted(summary.sides.items()))),
        ("File format", dict(summary.formats.most_common())),
        ("Labels present", summary.labels),
        ("Decade", dict(sorted(summary.years.items(), key=lambda item: str(item[0])))),
        ("Genre", dict(summary.genres.most_common(GENRES_SHOWN))),
    ]
    for title, values in tables:
        rows = [("(none)" if value is None else value, count, "") for value, count in values.items()]
        parts.append(f"<div><h3>{title}</h3>{_rows(rows, kept)}</div>")
    parts.append("</div>")
    if thumbnails:
        parts.append(f"<h2>Examples</h2>{_examples(summary, files, choice)}")
    used = ", ".join(f"{name} {value}" for name, value in vars(settings).items() if value != ())
    parts.append(f"<h2>How it was made</h2><p><code>{html.escape(command)}</code>, with {html.escape(used)}.</p>")
    parts.append(_next(summary, settings.resolution))
    head = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
    )
    style = f"<style>{stylesheet()}{STYLE}</style>"
    return f"{head}<title>{kept:,} covers</title>{style}<main class=reading>" + "\n".join(parts) + "</main>\n"


def _why(step: str) -> str:
    return STEPS[step][1] if step in STEPS else ""


def _remedies(summary: Summary, settings: Cleaning, command: str) -> str:
    """How to keep more files, and how many; a line for each reason that has a remedy."""
    counts = sum(summary.files.values(), Counter())
    lines = []
    for step, count in counts.most_common():
        remedy = remedy_of(step, count, summary.lost_sides, settings)
        if remedy:
            name = step.replace("_", " ")
            lines.append(f"<tr><td class=name>{name}<td class=n>{count:,}<td>{remedy}")
    if not lines:
        return ""
    again = (
        "<p>Add the option to the command. It cleans all files again, except with <code>--allow near_duplicate</code> "
        f"or <code>--allow placeholder</code>:</p><pre>{html.escape(command)}"
    )
    return f"<h2>To keep more files</h2><table>{''.join(lines)}</table>{again} ...</pre>"


def remedy_of(step: str, count: int, sides: Sequence[tuple[int, int]], settings: Cleaning) -> str:
    """What to do about files rejected for this reason, as HTML; empty if nothing helps."""
    if step == "not_square":
        lost = [1 - min(side) / max(side) for side in sides if min(side) >= settings.min_size]
        return _option("--max-crop", lost, [crop for crop in CROPS if crop > settings.max_crop])
    if step == "too_small":
        small = [-min(side) for side in sides if min(side) < settings.min_size]
        return _option("--min-size", small, [-side for side in SIDES if side < settings.min_size])
    if step in ALLOWED:
        return f"<code>--allow {step}</code> would keep up to {count:,}, {ALLOWED[step]}"
    return REMEDIES.get(step, "")


def _option(option: str, values: Sequence[float], limits: Sequence[float]) -> str:
    """The smallest of `limits` that keeps most of what the last one would keep, and how many files that is."""
    counts = [(limit, sum(value <= limit for value in values)) for limit in limits]
    best = next((one for one in counts if one[1] >= MOST * counts[-1][1]), (0, 0))
    limit, saved = best
    return f"<code>{option} {abs(limit):g}</code> would keep up to {saved:,}" if saved else ""


def _next(summary: Summary, side: int) -> str:
    """The command to train on the data set, whose covers have this side in pixels, or are smaller."""
    options, why = settings_for(summary.splits["train"], "CPUs", gpu=False, side=side)
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    train = f"album-gan train --train_data_dir {FOLDER} {' '.join(words)} --output_dir runs/mine"
    return (
        f"<h2>Next</h2><p>Train on it, where {FOLDER} is the folder of this page. {html.escape(why)}</p>"
        f"<pre>{html.escape(train)}</pre>"
        "<p>On a GPU, or to see first how long it takes: add <code>--dry_run</code>.</p>"
    )


def _rows(rows: list[tuple[str, int, str]], total: int, noted: bool = False) -> str:
    """A table of names, counts, shares as bars, and notes, if `noted`: then the bars of all such tables align."""
    lines = []
    for name, count, note in rows:
        share = count / max(total, 1)
        shown = "used" if name == "kept" else str(name).replace("_", " ")
        kind = "kept" if name == "kept" else "out" if STEPS.get(name, "")[:1] == ("reject",) else ""
        lines.append(
            f"<tr><td class=name>{html.escape(shown)}<td class=n>{count:,}<td class=n>{share:.1%}"
            f"<td class=bars><span class='bar {kind}' style='width:{min(share, 1):.2%}'></span>"
            + (f"<td class=why>{html.escape(note)}" if noted else "")
        )
    return f"<table>{''.join(lines)}</table>" if lines else "<p>None.</p>"


def _examples(summary: Summary, files: Candidates, choice: Choice) -> str:
    shown_rows = np.unique([row for rows in summary.examples.values() for row in rows]).astype(np.int64)
    shown_rows = np.unique(np.concatenate([shown_rows, choice.kept_as[shown_rows]]))
    shown_rows = shown_rows[shown_rows >= 0]
    pictures, names = {}, {}
    table = files.take(shown_rows, ["name", "detail", "jpeg", "example"]).to_pylist()
    for row, cover in zip(shown_rows.tolist(), table, strict=True):
        pictures[row] = preview(Image.open(io.BytesIO(cover["jpeg"]))) if cover["jpeg"] else cover["example"]
        names[row] = cover["name"] + (f" ({cover['detail']})" if cover["detail"] else "")
    parts = []
    for step, rows in summary.examples.items():
        figures = []
        for row in sorted(rows, key=lambda row: pictures[row] is None)[:EXAMPLES]:
            kept = int(choice.kept_as[row])
            both = kept >= 0 and kept != row
            shown = _picture(pictures[row]) + (_picture(pictures[kept]) if both else "")
            caption = html.escape(names[row][-NAME_SHOWN:])
            if both:
                caption += f"<br>used: {html.escape(names[kept][-NAME_SHOWN:])}"
            figures.append(
                f"<figure class={'pair' if both else 'one'}>{shown}<figcaption>{caption}</figcaption></figure>"
            )
        title = f"{step.replace('_', ' ')} <span>{html.escape(STEPS[step][1])}</span>"
        parts.append(f"<h3>{title}</h3><div class=shown>{''.join(figures)}</div>")
    return "".join(parts)


def _picture(jpeg: bytes | None) -> str:
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'>" if jpeg else ""
