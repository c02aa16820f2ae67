"""report.html: what was kept, what was rejected, and why, with small examples of each; and the data set's card."""

import base64
import html
import io
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from .cleaning import STEPS, Cleaning
from .metadata import LABELS
from .selection import KEPT, STEP_NAMES, Candidates, Choice
from .shards import borrowed_labels

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


@dataclass
class Summary:
    """Numbers of a build."""

    files: dict[str, Counter]  # source -> outcome -> count
    notes: Counter  # of kept covers
    splits: dict[str, int]
    groups: int
    labels: dict[str, int]  # of kept covers, borrowed ones included
    genres: Counter
    years: Counter
    sides: Counter  # the smaller side of the originals, by range
    formats: Counter
    examples: dict[str, list[int]] = field(default_factory=dict)  # step -> rows

    @property
    def kept(self) -> int:
        return sum(self.splits.values())

    @property
    def total(self) -> int:
        return sum(map(Counter.total, self.files.values()))


def summarise(files: Candidates, choice: Choice, sources: list[str], split: dict[str, np.ndarray]) -> Summary:
    """Count everything, and choose the first rows that show each step."""
    owner = np.repeat(files.sources, np.diff(files.starts))
    outcomes = {}
    for index, name in enumerate(sources):
        codes, counts = np.unique(choice.reasons[owner == index], return_counts=True)
        outcomes[name] = Counter({_outcome(code): int(count) for code, count in zip(codes, counts, strict=True)})
    kept = choice.reasons == KEPT
    bits = {name: files.notes >> np.uint64(code) & np.uint64(1) == 1 for code, name in enumerate(STEP_NAMES)}
    examples = {}
    for code, name in enumerate(STEP_NAMES):
        rows = np.flatnonzero((choice.reasons == code) | (kept & bits[name]))[: 4 * EXAMPLES]
        if len(rows):
            examples[name] = rows.tolist()

    genres, years, sides, formats = Counter(), Counter(), Counter(), Counter()
    borrowed = borrowed_labels(files, choice)
    labels = Counter()
    for start, covers in files.each_shard([*LABELS, "source_width", "source_height", "source_format"]):
        for row, cover in enumerate(covers, start):
            if not kept[row]:
                continue
            cover |= borrowed.get(row, {})
            labels.update(label for label in LABELS if cover[label] is not None)
            genres[cover["genre"]] += 1
            years[cover["year"] and f"{cover['year'] // 10 * 10}s"] += 1
            sides[_side_range(min(cover["source_width"], cover["source_height"]))] += 1
            formats[cover["source_format"]] += 1
    return Summary(
        files=outcomes,
        notes=Counter({name: int((shown & kept).sum()) for name, shown in bits.items() if (shown & kept).any()}),
        splits={name: len(rows) for name, rows in split.items()},
        groups=len(np.unique(choice.groups[kept])),
        labels={label: labels[label] for label in LABELS},
        genres=genres,
        years=years,
        sides=sides,
        formats=formats,
        examples=examples,
    )


def _outcome(code: int) -> str:
    return "kept" if code == KEPT else STEP_NAMES[code]


def _side_range(side: int) -> str:
    edges = [0, 64, 128, 200, 256, 300, 400, 512, 640, 800, 1000, 1500]
    low = max(edge for edge in edges if edge <= side)
    high = edges[edges.index(low) + 1] - 1 if low < edges[-1] else None
    return f"{low:>4} to {high}" if high else f"{low:>4} and more"


def report_page(summary: Summary, files: Candidates, choice: Choice, settings: Cleaning, thumbnails: bool) -> str:
    """The page. Names of files are strangers' text: everything is escaped."""
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
    for title, counts in (
        ("Smaller side of the originals, pixels", dict(sorted(summary.sides.items()))),
        ("Kind of file", dict(summary.formats.most_common())),
        ("Labels that are there", summary.labels),
        ("Decade", dict(sorted(summary.years.items(), key=lambda item: str(item[0])))),
        ("Genre", dict(summary.genres.most_common(GENRES_SHOWN))),
    ):
        rows = [("(none)" if value is None else value, count, "") for value, count in counts.items()]
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
    wanted = np.unique([row for rows in summary.examples.values() for row in rows]).astype(np.int64)
    wanted = np.unique(np.concatenate([wanted, choice.kept_as[wanted]]))
    wanted = wanted[wanted >= 0]
    pictures, names = {}, {}
    table = files.take(wanted, ["name", "detail", "jpeg", "example"]).to_pylist()
    for row, cover in zip(wanted.tolist(), table, strict=True):
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


def card(summary: Summary, sources: list[str], settings: Cleaning, rights: str | None, splits: list[str]) -> str:
    """README.md of the data set, with the front matter that the Hub and `datasets` read."""
    paths = "".join(f"\n      - split: {name}\n        path: data/{name}-*.parquet" for name in splits)
    kept, rejected = summary.kept, summary.total - summary.kept
    reasons = sum(summary.files.values(), Counter())
    del reasons["kept"]
    table = "\n".join(f"| {step} | {count:,} | {STEPS[step][1]} |" for step, count in reasons.most_common())
    notes = "\n".join(f"| {step} | {count:,} | {STEPS[step][1]} |" for step, count in summary.notes.most_common())
    labels = "\n".join(f"| {name} | {count:,} | {count / max(kept, 1):.0%} |" for name, count in summary.labels.items())
    origins = "\n".join(
        f"| {_cell(name)} | {counts.total():,} | {counts['kept']:,} |" for name, counts in summary.files.items()
    )
    switched = "".join(
        f"Steps {text}: {', '.join(steps)}.\n"
        for text, steps in (("that reject", settings.reject), ("left out", settings.allow))
        if steps
    )
    return f"""---
pretty_name: Album covers
task_categories:
  - unconditional-image-generation
tags:
  - album-covers
  - album-gan
configs:
  - config_name: default
    data_files:{paths}
---

# Album covers

{kept:,} square covers of at most {settings.resolution} pixels, from {summary.total:,} files; {rejected:,} were
rejected. {summary.splits["train"]:,} are to train on, {summary.splits["test"]:,} held out for evaluation, by hash of
`group`: no group is on both sides.

## Rights

{_plain(rights) if rights else "Not stated."}

Covers are works of their artists, designers, photographers and labels. Whoever publishes this data set, or what
was trained on it, answers for it.

## Sources

| source | files | kept |
| --- | ---: | ---: |
{origins}

## Rejected

| reason | files | meaning |
| --- | ---: | --- |
{table}

## Kept, but mended or flagged (column `notes`)

| step | covers | meaning |
| --- | ---: | --- |
{notes}

## Labels

| label | covers | share |
| --- | ---: | ---: |
{labels}

Labels come from columns, neighbouring files and names of files, as found; where a cover had none, from a copy of it
(`labels_borrowed`).

## How it was made

With `album-gan covers build`. Pictures were turned upright, laid on white where transparent, converted to sRGB,
cropped to the centre square where at most {settings.max_crop:.0%} was lost, scaled down with Lanczos to
{settings.resolution} pixels (never up; at least {settings.min_size}), and saved as JPEG of quality {settings.quality}.
Two files are one cover if their bytes are equal, or if two 64-bit hashes each differ in at most 12 bits and the
pictures, laid over each other, agree in detail and colour. The largest original is kept. `group` joins what may be
editions of one cover, and what has the same artist and title.
{switched}
```python
from datasets import load_dataset

covers = load_dataset("THIS_FOLDER_OR_HUB_ID", split="train")
```
"""


def _plain(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
