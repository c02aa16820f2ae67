"""Counts of a build: what became of its files."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .metadata import LABELS
from .selection import KEPT, STEP_NAMES, Candidates, Choice
from .shards import borrowed_labels

EXAMPLE_ROWS = 32  # of each step


@dataclass
class Summary:
    """Counts of a build."""

    files: dict[str, Counter]  # source -> outcome -> count
    notes: Counter  # of kept covers
    splits: dict[str, int]
    groups: int
    labels: dict[str, int]  # of kept covers, borrowed ones included
    genres: Counter
    years: Counter
    sides: Counter  # the smaller side of the originals, by range
    formats: Counter
    lost_sides: list[tuple[int, int]]  # width, height of the originals that were too small or not square
    examples: dict[str, list[int]] = field(default_factory=dict)  # step -> rows

    @property
    def kept(self) -> int:
        """Covers in the data set."""
        return sum(self.splits.values())

    @property
    def total(self) -> int:
        """Files in all sources."""
        return sum(map(Counter.total, self.files.values()))

    @property
    def pictures(self) -> int:
        """Files in all sources, except those that only describe others."""
        return self.total - sum(outcomes["label_file"] for outcomes in self.files.values())


def summarize(files: Candidates, choice: Choice, sources: list[str], split: dict[str, np.ndarray]) -> Summary:
    """Count everything, and use the first rows as examples of each step."""
    owner = np.repeat(files.sources, np.diff(files.starts))
    outcomes = {}
    for index, name in enumerate(sources):
        codes, counts = np.unique(choice.reasons[owner == index], return_counts=True)
        outcomes[name] = Counter({_outcome(code): int(count) for code, count in zip(codes, counts, strict=True)})
    kept = choice.reasons == KEPT
    bits = {name: files.notes >> np.uint64(code) & np.uint64(1) == 1 for code, name in enumerate(STEP_NAMES)}
    examples = {}
    for code, name in enumerate(STEP_NAMES):
        rows = np.flatnonzero((choice.reasons == code) | (kept & bits[name]))[:EXAMPLE_ROWS]
        if len(rows):
            examples[name] = rows.tolist()

    genres: Counter = Counter()
    years: Counter = Counter()
    sides: Counter = Counter()
    formats: Counter = Counter()
    sized = np.isin(choice.reasons, [STEP_NAMES.index(step) for step in ("too_small", "not_square")])
    lost_sides: list[tuple[int, int]] = []
    borrowed = borrowed_labels(files, choice)
    labels: Counter = Counter()
    for start, covers in files.each_shard([*LABELS, "source_width", "source_height", "source_format"]):
        for row, cover in enumerate(covers, start):
            if sized[row]:
                lost_sides.append((cover["source_width"], cover["source_height"]))
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
        lost_sides=lost_sides,
        examples=examples,
    )


def _outcome(code: int) -> str:
    return "kept" if code == KEPT else STEP_NAMES[code]


def _side_range(side: int) -> str:
    edges = [0, 64, 128, 200, 256, 300, 400, 512, 640, 800, 1000, 1500]
    low = max(edge for edge in edges if edge <= side)
    high = edges[edges.index(low) + 1] - 1 if low < edges[-1] else None
    return f"{low:>4} to {high}" if high else f"{low:>4} and more"
