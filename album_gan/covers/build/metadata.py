"""Genre, artist, title and year of a cover, from whatever says them: columns, neighbouring files, names."""

import csv
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from ..columns import METADATA_COLUMNS

LABELS = ("genre", "artist", "title", "year")
MAX_LENGTH = 300  # characters of a label


def labels_from(fields: Mapping) -> dict[str, str | int]:
    """The labels among the fields of a row, under any of their usual names, whatever the case."""
    lower = {str(key).lower(): value for key, value in fields.items()}
    found = {}
    for label, names in METADATA_COLUMNS.items():
        for name in names:
            value = _year(lower.get(name)) if label == "year" else _text(lower.get(name))
            if value is not None:
                found[label] = value
                break
    return found


def labels_from_name(name: str, archive: str = "") -> dict[str, str | int]:
    """Best effort from the name of a file: "Artist - Title.jpg", and the one-million-cover dump's own scheme.

    `archive` is the name of the archive that the file lies in. The third of the dump's fields is taken for the
    artist; nobody has written its scheme down.
    """
    stem = PurePosixPath(name).stem
    if archive.startswith("album_covers_"):
        fields = stem.split("_")
        return labels_from({"artist": fields[2].replace("-", " ")}) if len(fields) > 2 else {}
    artist, dash, title = stem.partition(" - ")
    return labels_from({"artist": artist, "title": title}) if dash else {}


def labels_of_table(text: str, jsonl: bool) -> dict[str, dict]:
    """file_name -> labels, from the text of a metadata.csv or metadata.jsonl; broken lines are left out."""
    rows = {}
    try:
        for row in map(_json, text.splitlines()) if jsonl else csv.DictReader(text.splitlines()):
            if row and isinstance(row.get("file_name"), str):
                rows[row["file_name"]] = labels_from({k: v for k, v in row.items() if k})
    except csv.Error:
        pass
    return rows


def labels_of_json(data: bytes) -> dict[str, str | int]:
    """Labels in a JSON file of its own, as webdataset has them; none where it is broken."""
    return labels_from(_json(data) or {})


def _json(text: str | bytes) -> dict | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value) -> str | None:
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if value is None or isinstance(value, (dict, list, tuple, bytes, float)):
        return None
    text = " ".join(str(value).encode("utf-8", "replace").decode().split())
    return text[:MAX_LENGTH] or None


def _year(value) -> int | None:
    found = re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", str(value)) if value is not None else None
    return int(found[0]) if found else None
