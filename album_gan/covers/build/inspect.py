"""A summary of a data set of covers."""

import hashlib
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ...inference.atomic import write_atomic
from ..columns import find_image_column, value_text
from ..decoding import decode
from ..folders import METADATA_FILES, visible_files
from .metadata import LABELS

SHEET_COLUMNS, SHEET_ROWS, SHEET_SIZE = 12, 8, 96  # covers across and down, pixels of each
VALUES_SHOWN, SIZES_SHOWN = 6, 4


def inspect(folder: Path, sheet: Path | None, image_column: str | None = None) -> list[str]:
    """Lines that describe the Parquet files below `folder`; writes a sample of the covers to `sheet`, a PNG.

    The sample is chosen by a hash of file name and row, so it is the same each time. Raises ValueError if there are
    no covers.
    """
    paths = [path for path in visible_files(folder) if path.suffix == ".parquet" and path.name not in METADATA_FILES]
    if not paths:
        raise ValueError(f"DIR must hold parquet files with covers, found none in {folder}; see album-gan covers build")
    tables = []
    sample: list[tuple[bytes, Path, int]] = []  # hash, file, row
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                column = find_image_column(file.schema_arrow, image_column)
                described = [name for name in (*LABELS, "group", "width", "height") if name in names]
                table = file.read(columns=described).to_pandas()
                count = file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is not a readable Parquet file: {error}; build or download it again") from error
        tables.append(table.reindex(range(count)).assign(split=path.name.partition("-")[0].partition(".")[0]))
        sample += [(hashlib.sha256(f"{path.name} {row}".encode()).digest(), path, row) for row in range(count)]
        sample = sorted(sample)[: SHEET_COLUMNS * SHEET_ROWS]
    covers = pd.concat(tables).reindex(columns=[*LABELS, "group", "width", "height", "split"])

    splits = ", ".join(f"{count:,} {name}" for name, count in covers["split"].value_counts(sort=False).items())
    lines = [f"{len(covers):,} covers: {splits}"]
    lines.append(f"{sum(path.stat().st_size for path in paths) / 1e6:,.1f} MB in {len(paths)} files")
    if covers["group"].notna().any():
        lines.append(f"{covers['group'].nunique():,} groups of editions")
    sizes = covers[["width", "height"]].dropna().astype(int).value_counts()
    if len(sizes):
        common = ", ".join(f"{count:,} of {width}x{height}" for (width, height), count in sizes[:SIZES_SHOWN].items())
        more = f", {len(sizes) - SIZES_SHOWN:,} more" if len(sizes) > SIZES_SHOWN else ""
        lines.append(f"sizes: {common}{more}")
    for label in LABELS:
        values = covers[label].map(value_text).dropna().value_counts()
        common = ", ".join(f"{value} {count:,}" for value, count in values[:VALUES_SHOWN].items())
        known = values.sum()
        lines.append(f"{label}: {known:,} ({known / max(len(covers), 1):.0%})" + (f": {common}" if known else ""))
    if sheet is not None:
        _draw_sheet(sample, column, sheet)
        lines.append(f"{len(sample)} of them in {sheet}: other people's covers, do not publish")
    return lines


def _draw_sheet(sample: list[tuple[bytes, Path, int]], column: str, sheet: Path) -> None:
    image = Image.new("RGB", (SHEET_COLUMNS * SHEET_SIZE, SHEET_ROWS * SHEET_SIZE), "white")
    cells = {(path, row): cell for cell, (_, path, row) in enumerate(sample)}
    for path in sorted({path for path, _ in cells}):
        with pq.ParquetFile(path) as file:
            pictures = (value for batch in file.iter_batches(128, columns=[column]) for value in batch[column])
            for row, value in enumerate(pictures):
                if (path, row) not in cells:
                    continue
                picture = value.as_py()
                try:
                    pixels = decode((picture["bytes"] if isinstance(picture, dict) else picture) or b"", SHEET_SIZE)
                except ValueError:
                    continue  # a white cell
                down, across = divmod(cells[path, row], SHEET_COLUMNS)
                image.paste(Image.fromarray(pixels), (across * SHEET_SIZE, down * SHEET_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomic(sheet, buffer.getvalue())
