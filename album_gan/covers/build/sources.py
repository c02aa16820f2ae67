"""Sources of pictures: folders, archives, parquet files, URLs and Hub data sets, each read as a stream of files.

Nothing is unpacked to disk, links are not followed, and a file that cannot be read is an entry with a reason.
"""

import hashlib
import itertools
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..folders import METADATA_FILES, is_hidden, read_metadata, warn_of_rows
from . import music
from .archives import TARS, archive_entries, is_archive, nested_entries, readable
from .download import download
from .metadata import SIDECARS, labels_from
from .music_tags import need_mutagen
from .samples import samples, stem
from .source_file import MAX_BYTES, Entry, Labels, why_unreadable

NOT_PICTURES = (".md", ".py", ".html", ".yaml", ".jsonl", ".csv", ".gz", *SIDECARS)  # not downloaded from the Hub


@dataclass(frozen=True)
class Source:
    """`identity` changes with the contents, and with the options that they are read with.

    `entries` yields the same files in the same order each time.
    """

    name: str
    identity: str
    entries: Callable[[], Iterator[Entry]]
    place: str = ""  # file or folder of this machine, if it is one


def open_source(place: str, downloads: Path, image_column: str | None = None, folder_genre: bool = False) -> Source:
    """Open a folder, a tar, zip or parquet file, the URL of one or of storage (s3://), or a Hub id, also `id@revision`.

    `downloads` is the folder for downloaded files; `folder_genre` uses the name of a picture's folder as its genre.
    Raises ValueError for anything else, OSError if the Hub refuses or cannot be reached.
    """
    path = Path(place)
    if place.startswith(("http://", "https://")):
        name = place.split("?")[0].rstrip("/").rpartition("/")[2]
        _check_archive(name)
        digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        path = downloads / f"{digest}-{name}"  # another address may end in the same name
        source = Source(name, place, lambda: archive_entries(download(place, path), name, image_column))
    elif "://" in place:
        from .remote import remote_files  # fsspec comes with `datasets`

        identity, found = remote_files(place)
        remote = [(name, partial(file.download, downloads), partial(file.entry, name)) for name, file in found.items()]
        name = place.rstrip("/").rpartition("/")[2]
        source = Source(name, identity, lambda: _elsewhere(remote, image_column))
    elif path.is_dir():
        source = Source(
            path.resolve().name, _folder_identity(path), lambda: _folder(path, image_column), str(path.resolve())
        )
    elif path.is_file():
        name, status = path.name, path.stat()
        identity = f"{name} {status.st_size} {status.st_mtime_ns}"
        _check_archive(name)
        source = Source(name, identity, lambda: archive_entries(path, name, image_column), str(path.resolve()))
    else:
        from .hub_files import hub_files  # takes seconds to load

        revision, files = hub_files(place)
        name = place.partition("@")[0]
        hub = [(file, fetch, partial(_downloaded, file, fetch)) for file, fetch in files]
        source = Source(name, f"{name}@{revision}", lambda: _elsewhere(hub, image_column))
    if image_column:
        source = replace(source, identity=f"{source.identity} image-column {image_column}")
    if not folder_genre:
        return source
    identity = f"{source.identity} folder-genre"
    return replace(source, identity=identity, entries=lambda: _with_folder_genre(source))


def _with_folder_genre(source: Source) -> Iterator[Entry]:
    for entry in source.entries():
        folder = _folder_of(f"{source.name}/{entry.name}")
        labels = {"genre": folder, **entry.labels} if folder else entry.labels
        yield replace(entry, labels=labels)


def _folder_of(name: str) -> str:
    """The name of a file's folder or archive; "" for a row of a table, which has columns for labels."""
    *folders, file = [part for part in name.split("/") if part not in ("", ".", "..")]
    above, folder = ["", "", *folders][-2:]
    if folder.lower().endswith(".parquet") or above.lower().endswith(".parquet"):  # the folder is the row's number
        return ""
    ending = next((ending for ending in (*TARS, ".zip") if folder.lower().endswith(ending)), "")
    return folder[: len(folder) - len(ending)] if folder != file else ""  # the source may be one picture


def _walk(folder: Path) -> Iterator[tuple[Path, list[os.DirEntry]]]:
    """Each folder with its contents, except for subfolders, which follow; an unreadable folder counts as a file."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: (stem(entry.name), os.fsencode(entry.name)))
    files: list[os.DirEntry] = []
    folders: list[os.DirEntry] = []
    for entry in entries:
        visible = entry.is_dir(follow_symlinks=False) and not is_hidden(f"{entry.name}/")
        (folders if visible else files).append(entry)
    yield folder, files
    for entry in folders:
        try:
            yield from _walk(Path(entry.path))
        except OSError:
            yield folder, [entry]


def _folder_identity(folder: Path) -> str:
    """Raises ImportError if the folder holds music and mutagen is not installed."""
    digest = hashlib.sha256()
    for _, entries in _walk(folder):
        for entry in entries:
            if music.is_music(entry.name):
                need_mutagen(folder)
            status = os.lstat(entry.path)
            line = f"{os.path.relpath(entry.path, folder)} {status.st_size} {status.st_mtime_ns}\n"
            digest.update(os.fsencode(line))
    return digest.hexdigest()


def _folder(folder: Path, image_column: str | None) -> Iterator[Entry]:
    tables = _Tables()
    albums = _album_folders(folder)
    library: dict[str, list[tuple[Path, Entry]]] = {home: [] for home in albums.values()}
    for place, found in _walk(folder):
        others = []
        home = albums.get("" if place == folder else _name_below(place, folder))
        for item in found:
            path, entry = Path(item.path), _listed(item, folder)
            if entry.reason is None and path.name in METADATA_FILES:
                yield tables.add(path, entry.name)
            elif entry.reason is None and is_archive(entry.name):
                yield from nested_entries(path, entry.name, image_column)
            elif home is not None and (music.is_music(entry.name) or music.is_picture(entry.name)):
                library[home].append((path, entry))
            elif entry.reason is None and music.is_picture(entry.name) and music.is_above_albums(entry.name, library):
                yield replace(entry, reason="other_picture")
            else:
                others.append(item)  # an entry takes three times the memory, and there may be a million
        yield from samples((_listed(item, folder) for item in others), stem, tables.labels_of)
    tables.leave()
    for files in library.values():
        yield from music.album_entries(files)


def _album_folders(folder: Path) -> dict[str, str]:
    files = (item.path for _, found in _walk(folder) for item in found)
    names = (_name_below(path, folder) for path in files)
    return music.album_folders(name for name in names if music.is_music(name) or music.is_picture(name))


def _listed(item: os.DirEntry, folder: Path) -> Entry:
    """A file below a folder, or why it is not read."""
    name = _name_below(item.path, folder)
    reason = None
    if item.is_symlink():
        reason = "link"
    elif item.is_dir():
        reason = "hidden" if is_hidden(f"{item.name}/") else "unreadable"
    elif not item.is_file():
        reason = "not_a_file"
    elif is_hidden(item.name):
        reason = "hidden"
    if reason:
        return Entry(name, 0, reason=reason)
    size = os.lstat(item.path).st_size  # the directory entry would keep the result in memory
    reason = "too_many_bytes" if size > MAX_BYTES and not is_archive(name) else None
    return Entry(name, size, partial(_read_file, Path(item.path)), {}, reason, lasting=True)


class _Tables:
    """The metadata files above the current file: each describes pictures in its own folder and below."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, Labels]] = {}  # folder -> file_name -> labels
        self.names: dict[str, str] = {}  # folder -> the last metadata file there

    def leave(self, folder: str | None = None) -> None:
        """Drop the tables of folders that do not contain `folder`, or all, and warn of their rows without a picture."""
        for above in list(self.labels):
            if folder is None or not _is_below(folder, above):
                warn_of_rows(self.names[above], list(self.labels.pop(above)))

    def add(self, path: Path, name: str) -> Entry:
        """Read the metadata file `name`. Drops those of folders that do not contain it."""
        folder = posixpath.dirname(name)
        self.leave(folder)
        try:
            rows = read_metadata(path)
        except ValueError as error:
            cause = error.__cause__
            if isinstance(cause, OSError):
                return Entry(name, 0, reason="unreadable", detail=why_unreadable(cause))
            message = str(cause).strip().partition("\n")[0][:200]
            detail = f"not a table with a column file_name: {message}"
            return Entry(name, 0, reason="unreadable_labels", detail=detail)
        self.names[folder] = name
        table = self.labels.setdefault(folder, {})
        for file_name, fields in rows.items():
            table.setdefault(posixpath.normpath(file_name), {}).update(labels_from(fields))
        return Entry(name, 0, reason="label_file")

    def labels_of(self, name: str) -> Labels:
        """Takes a file's labels from the metadata files; the nearest file wins."""
        labels: Labels = {}
        for folder in sorted(self.labels):
            if _is_below(name, folder):
                labels |= self.labels[folder].pop(name.removeprefix(f"{folder}/"), {})
        return labels


def _is_below(name: str, folder: str) -> bool:
    return not folder or f"{name}/".startswith(f"{folder}/")


def _read_file(path: Path) -> bytes:
    # A file may have become a link or a pipe since it was listed: do not follow it, do not block.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        return file.read(min(os.fstat(handle).st_size, MAX_BYTES) + 1)  # allocating MAX_BYTES would be slow


def _elsewhere(
    files: Sequence[tuple[str, Callable[[], Path], Callable[[], Entry]]], image_column: str | None
) -> Iterator[Entry]:
    """Files on the Hub or in other storage: name, function to download, and function to make an entry, of each."""
    # Folders as a walk meets them: as text, "a-b" would come between "a" and "a/c", whose pictures "a" describes.
    files = sorted(files, key=lambda file: (posixpath.dirname(file[0]).split("/"), stem(file[0]), file[0]))
    pictures = {stem(name) for name, *_ in files if not name.lower().endswith(NOT_PICTURES)}
    tables = _Tables()
    for _, group in itertools.groupby(files, key=lambda file: posixpath.dirname(file[0])):
        entries = []
        for name, fetch, as_entry in group:
            if is_hidden(name):
                yield Entry(name, 0, reason="hidden")
            elif posixpath.basename(name) in METADATA_FILES:
                yield tables.add(fetch(), name)
            elif is_archive(name):
                yield from nested_entries(fetch(), name, image_column)
            elif name.lower().endswith(NOT_PICTURES) and not (name.endswith(SIDECARS) and stem(name) in pictures):
                yield Entry(name, 0, reason="not_an_image")
            else:
                entries.append(as_entry)
        yield from samples((as_entry() for as_entry in entries), stem, tables.labels_of)
    tables.leave()


def _downloaded(name: str, fetch: Callable[[], Path]) -> Entry:
    path = fetch()
    return Entry(name, path.stat().st_size, path.read_bytes, lasting=True)


def _check_archive(name: str) -> None:
    if not is_archive(name):
        raise ValueError(f"source must be a tar, zip or parquet file, got {name!r}; or name its folder")


def _name_below(path: str | Path, folder: Path) -> str:
    """The name of a file of a folder as a source: with "/", on Windows as well."""
    return readable(os.path.relpath(path, folder).replace(os.sep, "/"))
