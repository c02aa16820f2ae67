"""Piles of pictures: folders, archives, tables, the Hub and archive.org, all read as one stream of files.

Nothing is ever unpacked to disk, links are not followed, and what cannot be read is an entry with a reason.
"""

import hashlib
import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .download import download
from .metadata import labels_from_name, labels_of_json, labels_of_table
from .source_file import MAX_BYTES, Entry, with_bytes

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TABLES = ("metadata.csv", "metadata.jsonl")  # the names that `datasets` gives them
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """`identity` changes when its contents do; `entries` gives the same files in the same order each time."""

    name: str
    identity: str
    entries: Callable[[], Iterator[Entry]]


def open_source(place: str, downloads: Path, image_column: str | None = None, folder_genre: bool = False) -> Source:
    """A folder, a tar, zip or parquet file, the URL of one, or a Hub id, also `id@revision`.

    `downloads` keeps what is fetched; `folder_genre` takes the name of a picture's folder for its genre.
    Raises ValueError for what is none of these.
    """
    reading = {"image_column": image_column}
    path = Path(place)
    if place.startswith(("http://", "https://")):
        name = place.split("?")[0].rstrip("/").rpartition("/")[2]
        source = Source(name, place, lambda: _file(download(place, downloads / name), name, **reading))
    elif path.is_dir():
        source = Source(path.resolve().name, _folder_identity(path), lambda: _folder(path, **reading))
    elif path.is_file():
        status = path.stat()
        identity = f"{path.name} {status.st_size} {status.st_mtime_ns}"
        source = Source(path.name, identity, lambda: _file(path, path.name, **reading))
    elif HUB_ID.fullmatch(place):
        from .hub_files import hub_files

        revision, files = hub_files(place)
        name = place.partition("@")[0]
        source = Source(name, f"{name}@{revision}", lambda: _several(files, **reading))
    else:
        raise ValueError(f"source must be a folder, a file, a URL or a Hub id, got {place!r}, which is none; check it")
    if not folder_genre:
        return source
    return Source(source.name, f"{source.identity} folder-genre", lambda: _with_folder_genre(source.entries()))


def _with_folder_genre(entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        folder = entry.name.rpartition("/")[0].rpartition("/")[2]
        labels = {"genre": folder, **entry.labels} if folder else entry.labels
        yield replace(entry, labels=labels)


def _walk(folder: Path) -> Iterator[os.DirEntry]:
    """Everything below that is no folder, in order; a folder that cannot be read is given itself."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _walk(Path(entry.path))
            except PermissionError:
                yield entry
        else:
            yield entry


def _folder_identity(folder: Path) -> str:
    digest = hashlib.sha256()
    for entry in _walk(folder):
        status = entry.stat(follow_symlinks=False)
        line = f"{os.path.relpath(entry.path, folder)} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(os.fsencode(line))
    return digest.hexdigest()


def _folder(folder: Path, image_column: str | None) -> Iterator[Entry]:
    tables: dict[str, dict] = {}
    for entry in _walk(folder):
        path, inside = Path(entry.path), os.path.relpath(entry.path, folder)
        name = readable(inside)
        if entry.is_symlink():
            yield Entry(name, 0, reason="link")
        elif entry.is_dir():
            yield Entry(name, 0, reason="unreadable")
        elif not entry.is_file():
            yield Entry(name, 0, reason="not_a_file")
        elif kind := kind_of(name):
            yield from _prefixed(name, kind(path, name, image_column))
        elif path.name in TABLES:
            yield Entry(name, 0, reason="label_file")
        else:
            if path.parent.as_posix() not in tables:  # pictures of one folder come together: keep one table
                tables = {path.parent.as_posix(): _tables_of(path.parent)}
            labels = {**labels_from_name(name), **tables[path.parent.as_posix()].get(path.name, {})}
            size = entry.stat(follow_symlinks=False).st_size
            reason = "too_many_bytes" if size > MAX_BYTES else None
            yield Entry(name, size, partial(_read_file, path), labels, reason, lasting=True)


def _tables_of(folder: Path) -> dict[str, dict]:
    labels = {}
    for name in TABLES:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            labels |= labels_of_table(path.read_text("utf-8", "replace"), jsonl=name.endswith(".jsonl"))
    return labels


def _read_file(path: Path) -> bytes:
    # A file may have become a link or a pipe since it was listed: neither follow nor wait.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _several(files: Iterable[tuple[str, Callable[[], Path] | None]], image_column: str | None) -> Iterator[Entry]:
    """Files that are fetched one after the other; None for what holds no pictures."""
    for name, fetch in files:
        if fetch is None:
            yield Entry(name, 0, reason="label_file" if name.rpartition("/")[2] in TABLES else "not_an_image")
        elif kind := kind_of(name):
            yield from _prefixed(name, kind(fetch(), name, image_column))
        else:
            path = fetch()
            yield Entry(name, path.stat().st_size, path.read_bytes, labels_from_name(name), lasting=True)


def _file(path: Path, name: str, image_column: str | None) -> Iterator[Entry]:
    kind = kind_of(name)
    if kind is None:
        raise ValueError(f"source must be a tar, zip or parquet file, got {name!r}; or name the folder it lies in")
    return kind(path, name, image_column)


def kind_of(name: str) -> Callable[[Path, str, str | None], Iterator[Entry]] | None:
    """What reads a file of this name as many; None for a single file."""
    lower = name.lower()
    if lower.endswith(TARS):
        return lambda path, name, column: _webdataset(_tar(path), name)
    if lower.endswith(".zip"):
        return lambda path, name, column: _webdataset(_zip(path), name)
    if lower.endswith(".parquet"):
        from .tables import parquet_entries  # pyarrow takes half a second to load

        return lambda path, name, column: parquet_entries(path, column)
    return None


def _prefixed(name: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, name=f"{name}/{entry.name}")


def _tar(path: Path) -> Iterator[Entry | None]:
    """Its files, and None at the end, while it can still be read."""
    try:
        with tarfile.open(path, "r:*", errorlevel=0) as archive:
            plain = isinstance(archive.fileobj, io.BufferedReader)  # not compressed: anybody finds a file in it
            while (member := archive.next()) is not None:
                archive.members = []  # it would remember all of a million
                name = readable(member.name)
                if member.isdir():
                    continue
                if member.issym() or member.islnk():
                    yield Entry(name, 0, reason="link")
                elif not member.isreg():
                    yield Entry(name, 0, reason="not_a_file")
                else:
                    lasting = plain and not member.issparse()
                    part = partial(_read_part, path, member.offset_data, member.size)
                    read = part if lasting else partial(_read_member, archive, member)
                    reason = "too_many_bytes" if member.size > MAX_BYTES else None
                    entry = Entry(name, member.size, read, {}, reason, lasting=lasting)
                    yield entry if plain else with_bytes(entry)  # going back means to decompress all anew
            yield None
    except Exception:  # tarfile, gzip, lzma and zlib each raise their own at broken data
        yield Entry("(the rest of the archive)", 0, reason="unreadable")


def _read_part(path: Path, start: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise EOFError(f"the archive ends within a file of {size} bytes")
    return data


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return archive.extractfile(member).read()


def _zip(path: Path) -> Iterator[Entry | None]:
    """Its files, and None at the end, while it can still be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = readable(member.filename)
                if member.is_dir():
                    continue
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind == stat.S_IFLNK:
                    yield Entry(name, 0, reason="link")
                elif kind not in (0, stat.S_IFREG):
                    yield Entry(name, 0, reason="not_a_file")
                else:
                    reason = "too_many_bytes" if member.file_size > MAX_BYTES else None
                    yield Entry(name, member.file_size, partial(_read_zipped, archive, member), {}, reason)
            yield None
    except Exception:  # zipfile raises BadZipFile, struct.error, OverflowError, ... at broken data
        yield Entry("(the rest of the archive)", 0, reason="unreadable")


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        return file.read(MAX_BYTES + 1)  # a bomb may hold more than it says


def _webdataset(entries: Iterable[Entry | None], archive: str) -> Iterator[Entry]:
    """Files that share a name up to the first dot are one sample: its .json labels its picture."""
    sample: list[Entry] = []
    for entry in entries:
        if sample and (entry is None or _key(sample[0]) != _key(entry)):
            yield from _labelled(sample, archive)
            sample = []
        if entry is not None:
            sample.append(entry)
    yield from _labelled(sample, archive)


def _key(entry: Entry) -> str:
    folder, _, base = entry.name.rpartition("/")
    return f"{folder}/{base.lstrip('.').partition('.')[0]}"


def _labelled(sample: list[Entry], archive: str) -> Iterator[Entry]:
    labels = {}
    for entry in sample:
        if entry.name.endswith(".json") and not entry.reason and len(sample) > 1 and entry.size < 1 << 20:
            try:
                labels |= labels_of_json(entry.read())
            except Exception:  # a broken archive: the entry itself says so when it is read
                continue
    for entry in sample:
        if entry.name.endswith(".json") and len(sample) > 1:
            yield Entry(entry.name, 0, reason="label_file")
        elif entry.reason:
            yield entry
        else:
            named = {**labels_from_name(entry.name, archive.rpartition("/")[2]), **labels}
            yield replace(entry, labels=named)


def readable(name: str) -> str:
    """A name in UTF-8, whatever bytes it was: for tables and pages, never to open a file by."""
    return os.fsencode(name).decode("utf-8", "replace") if isinstance(name, str) else repr(name)
