"""What is in a data set of covers, at a glance."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ...inference.atomic import write_atomic
from ..decoding import decode
from .metadata import LABELS
from .tables import find_image_column

SHEET_COLUMNS, SHEET_ROWS, SHEET_SIZE = 12, 8, 96  # covers across and down, pixels of each


def inspect(folder: Path, sheet: Path | None, image_column: str | None = None) -> list[str]:
    """Lines that describe the Parquet files below `folder`; `sheet` is a PNG to draw a sample of the covers into.

    Covers of the sample are chosen by the hash of their place: the same ones each time. Raises ValueError where
    there are none.
    """
    paths = sorted(path for path in folder.rglob("*.parquet") if ".candidates" not in path.parts)
    if not paths:
        raise ValueError(f"DIR must hold parquet files with covers, found none in {folder}; see album-gan covers build")
    files = Counter()
    groups, known, values, sides = set(), Counter(), {label: Counter() for label in LABELS}, Counter()
    sample: list[tuple[bytes, Path, int]] = []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                column = find_image_column(schema, image_column)
                wanted = [name for name in (*LABELS, "group", "width", "height", "notes") if name in schema.names]
                table = file.read(columns=wanted)
                count = file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is no Parquet file that can be read: {error}; build or fetch it again") from error
        files[path.name.partition("-")[0].partition(".")[0]] += count
        for row in table.to_pylist():
            groups.add(row.get("group"))
            sides[(row.get("width"), row.get("height"))] += 1
            for label in LABELS:
                if row.get(label) is not None:
                    known[label] += 1
                    values[label][row[label]] += 1
        sample += [(hashlib.sha256(f"{path.name} {row}".encode()).digest(), path, row) for row in range(count)]
        sample = sorted(sample)[: SHEET_COLUMNS * SHEET_ROWS]

    total = files.total()
    lines = [f"{total:,} covers: " + ", ".join(f"{count:,} {name}" for name, count in files.items())]
    lines.append(f"{sum(path.stat().st_size for path in paths) / 1e6:,.1f} MB in {len(paths)} files")
    if groups - {None}:
        lines.append(f"{len(groups - {None}):,} groups of editions")
    if set(sides) - {(None, None)}:
        common = ", ".join(f"{count:,} of {w}x{h}" for (w, h), count in sides.most_common(4) if w)
        lines.append(f"sizes: {common}" + (f", {len(sides) - 4:,} more" if len(sides) > 4 else ""))
    for label in LABELS:
        common = ", ".join(f"{value} {count:,}" for value, count in values[label].most_common(6))
        share = known[label] / max(total, 1)
        lines.append(f"{label}: {known[label]:,} ({share:.0%})" + (f": {common}" if known[label] else ""))
    if sheet is not None:
        _draw_sheet(sample, column, sheet)
        lines.append(f"{len(sample)} of them in {sheet}: other people's covers, do not publish")
    return lines


def _draw_sheet(sample: list[tuple[bytes, Path, int]], column: str, sheet: Path) -> None:
    picture = Image.new("RGB", (SHEET_COLUMNS * SHEET_SIZE, SHEET_ROWS * SHEET_SIZE), "white")
    place = {key: number for number, (key, _, _) in enumerate(sample)}
    for path in sorted({path for _, path, _ in sample}):
        rows = sorted((row, key) for key, of, row in sample if of == path)
        first = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(128, columns=[column]):
                while rows and rows[0][0] < first + len(batch):
                    row, key = rows.pop(0)
                    value = batch[column][row - first].as_py()
                    data = value.get("bytes") if isinstance(value, dict) else value
                    try:
                        pixels = decode(data or b"", SHEET_SIZE)
                    except ValueError:
                        continue  # a white place on the sheet
                    at = place[key]
                    corner = (at % SHEET_COLUMNS * SHEET_SIZE, at // SHEET_COLUMNS * SHEET_SIZE)
                    picture.paste(Image.fromarray(pixels), corner)
                first += len(batch)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomic(sheet, buffer.getvalue())
