"""A model's training history from its log, downsampled for charts."""

import json
from pathlib import Path
from typing import Any

from ..inference.model_store import history_sheets

POINTS = 160  # of each curve


def course_of(folder: Path) -> dict[str, Any]:
    """Snapshots, losses, kernel distances and alarms of a model's training, from the files next to its weights.

    `moments` are numbers of covers seen, one for each sheet in history/; `losses` maps names to lists of [covers,
    value], averaged over neighbouring log lines. Missing parts are empty.
    """
    moments = [int(sheet.stem) for sheet in history_sheets(folder)]
    file = folder / "log.jsonl"
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    names = sorted({name for record in records for name in record if name.startswith(("discriminator/", "generator/"))})
    return {
        "moments": moments,
        "losses": {name: _thinned([[r["images"], r[name]] for r in records if name in r]) for name in names},
        "kid": [[r["images"], round(r["kid"], 5)] for r in records if "kid" in r],
        "alarms": [{"images": r["images"], **r["alarm"]} for r in records if "alarm" in r],
    }


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Reduce to at most POINTS points by averaging neighbours."""
    size = -(-len(points) // POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [[group[-1][0], round(sum(value for _, value in group) / len(group), 4)] for group in groups]
