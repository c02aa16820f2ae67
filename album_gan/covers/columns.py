"""Usual column names of covers and their metadata; and column values as text."""

import math
from typing import Any

import numpy as np

IMAGE_COLUMNS = ("image", "img", "cover", "picture", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes")
METADATA_COLUMNS = {
    "genre": ("genre", "label", "genres", "style", "class", "cls"),
    "artist": ("artist", "artist_name", "performer", "band"),
    "title": ("title", "album", "album_name", "album_title", "release", "name"),
    "year": ("year", "release_year", "date", "release_date"),
}
LABEL_COLUMNS = METADATA_COLUMNS["genre"]  # where `label_column="auto"` searches, in this order


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
