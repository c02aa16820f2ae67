"""Parquet files with pictures in them as a source."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..columns import IMAGE_COLUMNS, METADATA_COLUMNS
from ..folders import holds_bytes
from .metadata import labels_from, labels_from_name
from .source_file import MAX_BYTES, Entry

ROWS = 64  # read at once


def parquet_entries(path: Path, image_column: str | None) -> Iterator[Entry]:
    """One entry a row. ValueError where no column holds pictures."""
    try:
        with pq.ParquetFile(path) as file:
            column = find_image_column(file.schema_arrow, image_column)
            wanted = {name for names in METADATA_COLUMNS.values() for name in names}
            columns = [column] + [n for n in file.schema_arrow.names if n.lower() in wanted and n != column]
            classes = _class_names(file.schema_arrow)
            number = 0
            for batch in file.iter_batches(ROWS, columns=columns):
                for row in batch.to_pylist():
                    picture = row.pop(column)
                    inside, data = _bytes_of(picture)
                    name = f"{number:08d}" + (f"/{inside}" if inside else "")
                    number += 1
                    for key, names in classes.items():
                        if isinstance(row.get(key), int):
                            row[key] = names[row[key]] if 0 <= row[key] < len(names) else None
                    labels = {**labels_from_name(inside), **labels_from(row)}
                    if data is None:
                        yield Entry(name, 0, labels=labels, reason="unreadable")
                    else:
                        reason = "too_many_bytes" if len(data) > MAX_BYTES else None
                        yield Entry(name, len(data), lambda data=data: data, labels, reason)
    except (pa.ArrowException, OSError):
        yield Entry("(the rest of the file)", 0, reason="unreadable")


def find_image_column(schema: pa.Schema, wanted: str | None) -> str:
    """The column that holds pictures: the wanted one, or the first with bytes under a usual name or in a struct."""
    holding = [field.name for field in schema if holds_bytes(field.type)]
    if wanted is not None:
        if wanted not in holding:
            raise ValueError(f"image_column must be one of {', '.join(holding) or 'none'}, got {wanted!r}; choose one")
        return wanted
    for name in IMAGE_COLUMNS:
        if name in holding:
            return name
    if not holding:
        raise ValueError(f"the table must have a column of pictures, got only {', '.join(schema.names)}; try another")
    return holding[0]


def _bytes_of(picture) -> tuple[str, bytes | None]:
    if isinstance(picture, dict):
        return str(picture.get("path") or ""), picture.get("bytes")
    return "", picture


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Columns whose numbers stand for names, as `datasets` notes them in its files."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted.get("info", {}).get("features", {})
        return {key: value["names"] for key, value in features.items() if value.get("_type") == "ClassLabel"}
    except (ValueError, AttributeError, KeyError):
        return {}
