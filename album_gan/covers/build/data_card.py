"""README.md of a data set of covers: where they come from, what was removed, how they may be used."""

from collections import Counter

from .cleaning import STEPS, Cleaning
from .counts import Summary

PLACEHOLDER_ID = "THIS_FOLDER_OR_HUB_ID"  # `hub_files.push` puts the data set's name on the Hub in its place


def data_card(summary: Summary, settings: Cleaning, rights: str | None, splits: list[str]) -> str:
    """README.md of the data set, with the front matter that the Hub and `datasets` read."""
    paths = "".join(f"\n      - split: {name}\n        path: data/{name}-*.parquet" for name in splits)
    kept, rejected = summary.kept, summary.pictures - summary.kept
    reasons = sum(summary.files.values(), Counter())
    del reasons["kept"], reasons["label_file"]
    table = "\n".join(f"| {step} | {count:,} | {STEPS[step][1]} |" for step, count in reasons.most_common())
    notes = "\n".join(f"| {step} | {count:,} | {STEPS[step][1]} |" for step, count in summary.notes.most_common())
    labels = "\n".join(f"| {name} | {count:,} | {count / max(kept, 1):.0%} |" for name, count in summary.labels.items())
    origins = "\n".join(
        f"| {_cell(name)} | {counts.total() - counts['label_file']:,} | {counts['kept']:,} |"
        for name, counts in summary.files.items()
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

{kept:,} square covers of at most {settings.resolution} pixels, from {summary.pictures:,} files; {rejected:,} were
rejected. {summary.splits["train"]:,} are for training, {summary.splits["test"]:,} held out for evaluation, by hash of
`group`: no group is in both.

## Rights

{_one_line(rights) if rights else "Not stated."}

Covers are works of their artists, designers, photographers and labels. Anyone who publishes this data set, or a
model trained on it, is responsible for doing so.

## Sources

| source | files | kept |
| --- | ---: | ---: |
{origins}

## Rejected

| reason | files | meaning |
| --- | ---: | --- |
{table}

## Kept, but repaired or flagged (column `notes`)

| step | covers | meaning |
| --- | ---: | --- |
{notes}

## Labels

| label | covers | share |
| --- | ---: | ---: |
{labels}

Labels come from columns, neighbouring files and file names, unchanged; for a cover without labels, from a copy of it
(`labels_borrowed`).

## How it was made

With `album-gan covers build`. Pictures were rotated upright, put on white where transparent, converted to sRGB,
cropped to the centre square where at most {settings.max_crop:.0%} was lost, scaled down to
{settings.resolution} pixels ({settings.resampling}; never up; at least {settings.min_size}), and saved as JPEG with
quality {settings.quality}.
Two files are one cover if their bytes are equal, or if two 64-bit hashes each differ in at most 12 bits and the
pictures, once aligned, agree in detail and colour. The largest original is kept. `group` joins possible editions of
one cover, and covers with the same artist and title.
{switched}
```python
from datasets import load_dataset

covers = load_dataset("{PLACEHOLDER_ID}", split="train")
```
"""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")
