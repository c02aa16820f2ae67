"""Genre, artist, title and year of a cover, from columns, sidecar files and file names."""

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ..columns import METADATA_COLUMNS, value_text

LABELS = ("genre", "artist", "title", "year")
MAX_LENGTH = 300  # characters of a label
DASH = " [-\u2013\u2014] "  # hyphen, en dash, em dash
PART_WORD = (  # of names such as "Cover - Front" and "Scan 3", which say what a picture shows, not whose it is
    r"(?:covers?|front|back|rear|folder|album|art|artwork|scans?|images?|img|pictures?|photos?|booklet|inlay|tray|sleeve"
    r"|jacket|cd|dis[ck]|vinyl|label|thumb)"
)
PART_NAME = re.compile(rf"[\W\d_]*(?:{PART_WORD}[\W\d_]*)+", re.IGNORECASE)
SIDECARS = (".json", ".cls", ".txt")  # of webdataset and img2dataset: next to a picture, with the same name


def labels_from(fields: Mapping[str, Any]) -> dict[str, str | int]:
    """The labels among the fields of a row, by any of their usual names, ignoring case."""
    lower = {str(key).lower(): value for key, value in fields.items()}
    found: dict[str, str | int] = {}
    for label, names in METADATA_COLUMNS.items():
        for name in names:
            value = _year(lower.get(name)) if label == "year" else _label(lower.get(name))
            if value is not None:
                found[label] = value
                break
    return found


def labels_from_name(name: str, archive: str = "") -> dict[str, str | int]:
    """Best effort from the name of a file: "Artist - Title.jpg", and the one-million-cover dump's own scheme.

    A number before them, "01 - Artist - Title.jpg", is skipped; "01 - Title.jpg" names no artist. A part of a name that
    is only words of PART_WORD is neither: covers called "Cover - Front.jpg" would be of one album.
    `archive` is the name of the archive that contains the file. The dump's third field is assumed to be the artist; its
    scheme is not documented.
    """
    stem = PurePosixPath(name).stem
    if archive.startswith("album_covers_"):
        fields = stem.split("_")
        return labels_from({"artist": fields[2].replace("-", " ")}) if len(fields) > 2 else {}
    artist, *title = re.split(DASH, re.sub(rf"^\d+{DASH}", "", stem), maxsplit=1)
    named = {"artist": artist, "title": title[0]} if title else {}
    return labels_from({label: text for label, text in named.items() if not PART_NAME.fullmatch(text)})


def labels_from_sidecar(name: str, data: bytes) -> dict[str, str | int]:
    """Labels from a sidecar file: fields of a .json, the class of a .cls; none from a caption."""
    if name.endswith(".cls"):
        return labels_from({"cls": data})
    if not name.endswith(".json"):
        return {}
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return labels_from(fields) if isinstance(fields, dict) else {}


def letters_and_digits(text: str) -> str:
    """Only those, ignoring case, so that spellings of an album or an artist match."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _label(value: Any) -> str | None:
    text = value_text(value)
    return text and text.encode("utf-8", "replace").decode()[:MAX_LENGTH]


def _year(value: Any) -> int | None:
    found = re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", str(value)) if value is not None else None
    return int(found[0]) if found else None
