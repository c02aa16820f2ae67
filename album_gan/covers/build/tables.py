"""Parquet files of pictures as a source."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..columns import METADATA_COLUMNS, find_image_column
from .metadata import labels_from, labels_from_name
from .source_file import MAX_BYTES, Entry, why_unreadable

ROWS = 64  # per batch


def parquet_entries(path: Path, image_column: str | None) -> Iterator[Entry]:
    """One entry per row. Raises ValueError if `image_column`, or any column without it, holds no pictures."""
    names = {name for aliases in METADATA_COLUMNS.values() for name in aliases}
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            column = find_image_column(schema, image_column)
            columns = [column, *(name for name in schema.names if name.lower() in names and name != column)]
            classes = _class_names(schema)
            rows = (row for batch in file.iter_batches(ROWS, columns=columns) for row in batch.to_pylist())
            for number, row in enumerate(rows):
                inside, data = _bytes_of(row.pop(column))
                name = f"{number:08d}" + (f"/{inside}" if inside else "")
                for key, class_names in classes.items():
                    row[key] = _class_name(row.get(key), class_names)
                labels = {**labels_from_name(inside), **labels_from(row)}
                if data is None:
                    yield Entry(name, 0, labels=labels, reason="unreadable")
                else:
                    reason = "too_many_bytes" if len(data) > MAX_BYTES else None
                    yield Entry(name, len(data), partial(bytes, data), labels, reason)
    except (pa.ArrowException, OSError) as error:
        yield Entry("(the rest of the file)", 0, reason="unreadable", detail=why_unreadable(error))


def _bytes_of(picture: Any) -> tuple[str, bytes | None]:
    if isinstance(picture, dict):
        return str(picture.get("path") or ""), picture.get("bytes")
    return "", picture


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Columns of class numbers, or lists of them, with their class names, from the metadata that `datasets` writes."""
    try:
        record = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = record.get("info", {}).get("features", {})
        single = {key: value.get("feature", value) for key, value in features.items()}
        return {key: value["names"] for key, value in single.items() if value.get("_type") == "ClassLabel"}
    except (ValueError, AttributeError, KeyError):
        return {}


def _class_name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    return value
