"""The files in tars and zips, and the pictures in tables."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..columns import NoPicturesError
from .samples import samples, webdataset_key
from .source_file import MAX_BYTES, Entry, why_unreadable, with_bytes
from .tables import parquet_entries

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(name: str) -> bool:
    """Whether a file with this name contains several: a tar, a zip or a table."""
    return name.lower().endswith((*TARS, ".zip", ".parquet"))


def archive_entries(path: Path, name: str, image_column: str | None) -> Iterator[Entry]:
    """The files in an archive, or the pictures in a table, in order.

    Raises NoPicturesError for a table without pictures.
    """
    if name.lower().endswith(".parquet"):
        return parquet_entries(path, image_column)
    files = _zip(path) if name.lower().endswith(".zip") else _tar(path)
    return samples(files, webdataset_key, archive=name)


def nested_entries(path: Path, name: str, image_column: str | None) -> Iterator[Entry]:
    """The files of an archive inside a folder, under its name."""
    try:
        for entry in archive_entries(path, name, image_column):
            yield replace(entry, name=f"{name}/{entry.name}")
    except NoPicturesError:  # such as img2dataset's, next to its tars and folders
        yield Entry(name, 0, reason="label_file")


def _tar(path: Path) -> Iterator[Entry | None]:
    """Its files, then None, so that the last sample is read while the archive is still open."""
    try:
        with tarfile.open(path, "r:*", errorlevel=0) as archive:
            plain = isinstance(archive.fileobj, io.BufferedReader)  # not compressed: files can be read by offset
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would store every member
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
                    yield entry if plain else with_bytes(entry)  # seeking back would decompress everything again
            yield None
    except Exception as error:  # tarfile, gzip, lzma and zlib each raise their own errors for broken data
        yield Entry("(the rest of the archive)", 0, reason="unreadable", detail=why_unreadable(error))


def _read_part(path: Path, start: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise EOFError(f"the archive ends within a file of {size} bytes")
    return data


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _zip(path: Path) -> Iterator[Entry | None]:
    """Its files, then None, so that the last sample is read while the archive is still open."""
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
    except Exception as error:  # zipfile raises BadZipFile, struct.error, OverflowError, ... for broken data
        yield Entry("(the rest of the archive)", 0, reason="unreadable", detail=why_unreadable(error))


def _read_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        return file.read(MAX_BYTES + 1)  # a zip bomb may hold more than it states


def readable(name: str) -> str:
    """A file's name as valid UTF-8, for tables and pages; it may no longer open the file."""
    return os.fsencode(name).decode("utf-8", "replace") if isinstance(name, str) else repr(name)
