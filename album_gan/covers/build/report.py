"""report.html: what was kept, what was rejected, and why, with small examples of each."""

import base64
import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from .cleaning import STEPS, Cleaning
from .counts import Summary
from .selection import Candidates, Choice

EXAMPLES, EXAMPLE_SIZE = 8, 96  # of each step; pixels
GENRES_SHOWN = 30
NAME_SHOWN = 70  # last characters of a file's name under its picture
WARNING = "Contains other people's covers. Do not publish."

STYLE = """
:root{color-scheme:light dark;--ink:#1d1d1f;--soft:#6b6b70;--line:#e3e3e6;--ground:#fff;--card:#f5f5f7;--kept:#2f7d4f;
--gone:#b4462f;--bar:#4d6fa8}
@media(prefers-color-scheme:dark){:root{--ink:#ececee;--soft:#9c9ca3;--line:#333338;--ground:#151517;--card:#212124;
--kept:#57b583;--gone:#e07a5f;--bar:#7f9fd6}}
body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1.5rem;color:var(--ink);
background:var(--ground)}
h1{font-size:2.4rem;line-height:1.15;margin:1.2rem 0 .3rem}h2{margin:2.6rem 0 .6rem;font-size:1.3rem}
h3{margin:1.6rem 0 .4rem;font-size:1rem}p{margin:.3rem 0}.soft,h3 span,td:last-child{color:var(--soft);font-weight:400}
.warning{background:#7a1020;color:#fff;padding:.6rem 1rem;border-radius:.5rem;font-weight:600}
.split{display:flex;height:1.1rem;border-radius:.55rem;overflow:hidden;margin:1rem 0 .4rem;background:var(--gone)}
.split span{background:var(--kept)}
table{border-collapse:collapse;width:100%;table-layout:fixed}
td{padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td.name{width:13rem}td.n{width:5rem;text-align:right;font-variant-numeric:tabular-nums}td.bars{width:12rem}
.bar{display:inline-block;height:.75rem;border-radius:.2rem;background:var(--bar);min-width:1px}
.bar.kept{background:var(--kept)}.bar.gone{background:var(--gone)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(26rem,1fr));gap:0 3rem}
.grid td.name{width:9rem}.grid td.bars{width:auto}
.shown{display:flex;flex-wrap:wrap;gap:.6rem}
figure{margin:0;padding:.4rem;width:96px;border-radius:.5rem;background:var(--card)}figure.pair{width:198px}
img{width:96px;height:96px;object-fit:contain;border-radius:.2rem;margin-right:2px}figure img:last-of-type{margin:0}
figcaption{font-size:11px;line-height:1.35;overflow-wrap:anywhere;color:var(--soft)}code{font-size:.9em}
@media(max-width:40rem){.grid{display:block}td.bars{display:none}td.name{width:9rem}}
"""


def report_page(summary: Summary, files: Candidates, choice: Choice, settings: Cleaning, thumbnails: bool) -> str:
    """The report as HTML. File names are untrusted text: everything is escaped."""
    kept, total = summary.kept, summary.total
    parts = [f"<p class=warning>{html.escape(WARNING)}</p>"] if thumbnails else []
    parts.append(
        f"<h1>{kept:,} covers from {total:,} files</h1>"
        f"<div class=split><span style='width:{kept / max(total, 1):.2%}'></span></div>"
        f"<p>{kept / max(total, 1):.1%} of the files are kept, {total - kept:,} rejected. "
        f"{summary.splits['train']:,} covers are to train on, {summary.splits['test']:,} held out for evaluation, in "
        f"{summary.groups:,} groups; no group is on both sides.</p>"
        "<p class=soft>What became of each single file is in files.csv.gz.</p>"
    )
    for name, counts in summary.files.items():
        rows = [(step, count, STEPS[step][1] if step in STEPS else "") for step, count in counts.most_common()]
        parts.append(f"<h2>{html.escape(name)}: {counts.total():,} files</h2>{_rows(rows, counts.total())}")
    noted = [(step, count, STEPS[step][1]) for step, count in summary.notes.most_common()]
    parts.append(f"<h2>Kept, but mended or flagged</h2>{_rows(noted, kept)}")
    parts.append("<h2>What is in it</h2><div class=grid>")
    tables: list[tuple[str, Mapping]] = [
        ("Smaller side of the originals, pixels", dict(sorted(summary.sides.items()))),
        ("Kind of file", dict(summary.formats.most_common())),
        ("Labels that are there", summary.labels),
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
    parts.append(f"<h2>How it was made</h2><p><code>album-gan covers build</code> with {html.escape(used)}.</p>")
    head = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    return f"{head}<title>{kept:,} covers</title><style>{STYLE}</style>" + "\n".join(parts) + "\n"


def _rows(rows: list[tuple[str, int, str]], total: int) -> str:
    """A table of names, counts, shares as bars, and notes."""
    lines = []
    for name, count, note in rows:
        share = count / max(total, 1)
        kind = "kept" if name == "kept" else "gone" if STEPS.get(name, "")[:1] == ("reject",) else ""
        lines.append(
            f"<tr><td class=name>{html.escape(str(name)).replace('_', ' ')}<td class=n>{count:,}<td class=n>{share:.1%}"
            f"<td class=bars><span class='bar {kind}' style='width:{min(share, 1):.2%}'></span>"
            + (f"<td>{html.escape(note)}" if any(note for _, _, note in rows) else "")
        )
    return f"<table>{''.join(lines)}</table>" if lines else "<p>None.</p>"


def _examples(summary: Summary, files: Candidates, choice: Choice) -> str:
    shown_rows = np.unique([row for rows in summary.examples.values() for row in rows]).astype(np.int64)
    shown_rows = np.unique(np.concatenate([shown_rows, choice.kept_as[shown_rows]]))
    shown_rows = shown_rows[shown_rows >= 0]
    pictures, names = {}, {}
    table = files.take(shown_rows, ["name", "detail", "jpeg", "example"]).to_pylist()
    for row, cover in zip(shown_rows.tolist(), table, strict=True):
        pictures[row] = _small(cover["jpeg"]) if cover["jpeg"] else cover["example"]
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
                caption += f"<br>kept: {html.escape(names[kept][-NAME_SHOWN:])}"
            figures.append(
                f"<figure class={'pair' if both else 'one'}>{shown}<figcaption>{caption}</figcaption></figure>"
            )
        title = f"{step.replace('_', ' ')} <span>{html.escape(STEPS[step][1])}</span>"
        parts.append(f"<h3>{title}</h3><div class=shown>{''.join(figures)}</div>")
    return "".join(parts)


def _small(jpeg: bytes) -> bytes:
    image = Image.open(io.BytesIO(jpeg))
    image.thumbnail((EXAMPLE_SIZE, EXAMPLE_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def _picture(jpeg: bytes | None) -> str:
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'>" if jpeg else ""
