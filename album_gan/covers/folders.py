"""Finding the covers in a folder: parquet files, webdataset tars, or pictures with metadata files."""

import glob
import io
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..media.picture_formats import picture_endings
from .columns import image_columns

logger = logging.getLogger(__name__)

# As in `datasets`' imagefolder; that builder itself skips every picture without a metadata row.
METADATA_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
CONTACT_SHEET = "contact_sheet.png"  # beside the parquet files that it shows, from `album-gan covers inspect`
HIDDEN = re.compile(r"(^|/)(\._|(\.(?!\.?/)|@|__)[^/]*/)")


@dataclass(frozen=True)
class CoverFiles:
    """Files for a `builder` of `datasets`; if it is None, pictures and the metadata files that describe them."""

    root: Path
    builder: str | None
    paths: list[str]
    metadata: list[Path] = field(default_factory=list)

    def patterns(self) -> list[str]:
        """The paths as `datasets` takes them, which are patterns: a folder may be called "covers [v2]"."""
        return [glob.escape(path) for path in self.paths]

    def patterns_by_split(self) -> dict[str, list[str]]:
        """The patterns, with those of test-*.parquet, as `album-gan covers build` names held-out covers, in "test"."""
        splits: dict[str, list[str]] = {"train": [], "test": []}
        for path in self.paths:
            held_out = fnmatch(Path(path).name, "test-*.parquet")
            splits["test" if held_out else "train"].append(glob.escape(path))
        return splits if all(splits.values()) else {"train": self.patterns()}

    def table(self) -> dict[str, list[Any]]:
        """Columns of pictures: `image` with paths, those of metadata files, and `label`, the class folder."""
        rows: dict[str, dict[str, Any]] = {path: {} for path in self.paths}
        for file in self.metadata:  # files nearer to the pictures come later, and win
            described = read_metadata(file)
            for name, known in described.items():
                rows.get(str(file.parent / name), {}).update(known)
            warn_of_rows(file, [name for name in described if str(file.parent / name) not in rows])
        names = sorted({name for row in rows.values() for name in row})
        columns = {name: [row.get(name) for row in rows.values()] for name in names}
        folders = [Path(path).parent.relative_to(self.root).as_posix() for path in self.paths]
        if "label" not in columns and set(folders) != {"."}:
            columns["label"] = [None if folder == "." else folder for folder in folders]
        return {**{name: _of_one_type(values) for name, values in columns.items()}, "image": self.paths}


def find_covers(folder: Path, image_column: str | None = None) -> CoverFiles:
    """Find the covers in `folder` and below it, without hidden folders and system thumbnails.

    Uses parquet files with pictures if there are any, else pictures, else tars. So img2dataset's parquet files without
    pictures do not hide the pictures that they describe. `image_column` names a column of bytes that are pictures.
    ValueError if there is no folder, or no covers in it.
    """
    if folder.is_file():
        raise ValueError(
            f"train_data_dir must be a folder, {folder} is a file; "
            f"album-gan covers build {folder} --out my_covers turns an archive into such a folder"
        )
    if not folder.is_dir():
        raise ValueError(f"train_data_dir must be a folder, got {str(folder)!r}, which is not one")
    files = visible_files(folder)
    parquet = [str(path) for path in files if path.suffix == ".parquet" and path.name not in METADATA_FILES]
    tables = [path for path in parquet if holds_pictures(path, image_column)]
    pictures = [str(path) for path in files if path.suffix.lower() in picture_endings() and path.name != CONTACT_SHEET]
    tars = [str(path) for path in files if path.suffix == ".tar"]
    kinds = {"parquet files": tables, "pictures": pictures, "tars": tars}
    used, *ignored = [kind for kind, found in kinds.items() if found] or [""]
    if ignored:
        logger.warning(
            "%s: only its %s are used (%d), its %s are ignored; to use all of them, build one data set of them: "
            "album-gan covers build %s --out my_covers",
            folder, used, len(kinds[used]), " and ".join(f"{kind} ({len(kinds[kind])})" for kind in ignored), folder,
        )  # fmt: skip
    if tables:
        return CoverFiles(folder, "parquet", tables)
    if pictures:
        metadata = sorted((path for path in files if path.name in METADATA_FILES), key=lambda path: len(path.parts))
        return CoverFiles(folder, None, pictures, metadata)
    if tars:
        return CoverFiles(folder, "webdataset", tars)
    without = f"; {parquet[0]} holds no pictures" if parquet else ""
    raise ValueError(
        f"train_data_dir must hold pictures (JPEG, PNG, WebP and others), or parquet files or tars of them, "
        f"found none in {str(folder)!r}{without}; name another folder, or try --dataset_name synthetic"
    )


def visible_files(folder: Path) -> list[Path]:
    """All files below `folder` that are not hidden, sorted."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(f"{name}/")]
        found += [Path(place, name) for name in names if not is_hidden(name)]
    return sorted(found)


def is_hidden(path: str) -> bool:
    """Whether a relative path is a hidden file, or is in a hidden folder; paths of folders end in a slash.

    Hidden are folders that start with a dot, and system folders such as @eaDir and __MACOSX; of files only a Mac's
    ._name, because artists' names may start with a dot too.
    """
    return HIDDEN.search(path) is not None


def holds_pictures(parquet: str, image_column: str | None = None) -> bool:
    """Whether a parquet file has a column of pictures: by its name or type, or `image_column`, if that holds bytes.

    True for an unreadable file, so that loading it reports why.
    """
    try:
        pictures, others = image_columns(pq.read_schema(parquet))
    except (pa.ArrowException, OSError):
        return True
    return bool(pictures) or image_column in others


def read_metadata(file: Path) -> dict[str, dict[str, Any]]:
    """{file_name, relative to the file's folder: the other fields of its row that are not empty}.

    `file` has a name in METADATA_FILES. Raises ValueError for anything but a table with a column file_name.
    """
    import pandas as pd  # takes half a second, in each worker of a build

    # Values as they are written: an artist may be called NA, and a catalogue number be 0012.
    def read_csv(file: io.BytesIO) -> pd.DataFrame:
        header = file.getvalue().partition(b"\n")[0]
        separator = max(",;\t", key=lambda one: header.count(one.encode()))  # spreadsheets may write the latter two
        return pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False, na_values=[""])

    readers: dict[str, Callable[[io.BytesIO], pd.DataFrame]] = {
        ".csv": read_csv,
        ".jsonl": partial(pd.read_json, lines=True, dtype=False),
        ".parquet": pd.read_parquet,
    }
    try:
        table = readers[file.suffix](io.BytesIO(file.read_bytes()))  # pandas hides why a file could not be read
        if "file_name" not in table:
            raise ValueError(f"the columns {', '.join(map(str, table.columns))}")
        names = table.pop("file_name")
        table = table.astype(object).where(table.notna(), None)  # pandas has NaN for gaps, also among texts
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"{file} must be a table with a column file_name, got {error}; fix or remove it") from error
    known = ({key: value for key, value in row.items() if value is not None} for row in table.to_dict("records"))
    return dict(zip(map(str, names), known, strict=True))


def warn_of_rows(file: str | Path, unmatched: Sequence[str]) -> None:
    """Warn if a metadata file has rows, with these names of files, that match no picture."""
    if unmatched:
        logger.warning(
            "%s: rows that match no picture: %d, the first is %r; file_name must be relative to the folder of the "
            "metadata file, with the ending, upper and lower case as in the name of the picture",
            file, len(unmatched), unmatched[0],
        )  # fmt: skip


def _of_one_type(values: list[Any]) -> list[Any]:
    """Unchanged if Arrow finds a common type; else as text."""
    try:
        pa.array(values)
    except (pa.ArrowException, TypeError):
        return [None if value is None else str(value) for value in values]
    return values
