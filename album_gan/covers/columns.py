"""Usual column names of covers and their metadata; the column of pictures; and column values as text."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

IMAGE_COLUMNS = ("image", "img", "cover", "picture", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
METADATA_COLUMNS = {
    "genre": ("genre", "label", "genres", "style", "class", "cls"),
    "artist": ("artist", "artist_name", "performer", "band"),
    "title": ("title", "album", "album_name", "album_title", "release", "name"),
    "year": ("year", "release_year", "date", "release_date"),
}
LABEL_COLUMNS = METADATA_COLUMNS["genre"]  # where `label_column="auto"` searches, in this order


class NoPicturesError(ValueError):
    """A table has no column of pictures."""


def image_columns(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """Columns of pictures, the likeliest first, and other columns of bytes, which may be checksums.

    Pictures are bytes with one of the usual names, or structs with a field `bytes`, as `datasets` stores them.
    """
    held = {field.name: field.type for field in schema if _holds_bytes(field.type)}
    usual = [name for name in IMAGE_COLUMNS if name in held]
    structs = [name for name, kind in held.items() if pa.types.is_struct(kind) and name not in usual]
    return [*usual, *structs], [name for name in held if name not in (*usual, *structs)]


def find_image_column(schema: pa.Schema, name: str | None) -> str:
    """The column of pictures: `name`, which may be any column of bytes, or the likeliest one.

    Raises NoPicturesError, a ValueError, if no column holds bytes, and ValueError if `name` does not.
    """
    pictures, others = image_columns(schema)
    candidates = [*pictures, *others]
    if not candidates:
        raise NoPicturesError(
            f"the table must have a column of pictures, got only {', '.join(schema.names)}; try another"
        )
    if name is None:
        return candidates[0]
    if name not in candidates:
        raise ValueError(f"image_column must be one of {', '.join(candidates)}, got {name!r}; choose one")
    return name


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column's values are bytes, or structs with a field `bytes`."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def value_text(value: Any) -> str | None:
    """A column's value as one line of text: the first of a list, whole floats as integers; None for NaN and ""."""
    while isinstance(value, (list, tuple, np.ndarray)):
        value = value[0] if len(value) else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # class numbers become floats in tables with missing values
    if value is None or isinstance(value, dict) or (isinstance(value, float) and math.isnan(value)):
        return None
    return " ".join(str(value).split()) or None
