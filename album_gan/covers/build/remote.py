"""Files in object storage and other places that fsspec reads, such as s3://bucket/covers, gs:// and hf://."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from ...inference.atomic import atomic_path
from .source_file import MAX_BYTES, Entry

VERSIONS = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "mtime", "created")  # as file systems call them


def remote_files(place: str) -> tuple[str, dict[str, "RemoteFile"]]:
    """The identity of the contents of `place`, a folder or a file, and its files by name.

    Raises ValueError if it cannot be listed.
    """
    try:
        system, root = url_to_fs(place)
        if system.isfile(root):
            found = {root: system.info(root)}
            root = root.rpartition("/")[0]
        else:
            found = system.find(root, detail=True)
    except Exception as error:  # each file system raises its own: network, keys, missing protocols
        raise ValueError(
            f"source {place} cannot be listed: {error}; check the address, and that you may read it"
        ) from error
    files = {path.removeprefix(root).lstrip("/"): RemoteFile(system, path, info) for path, info in found.items()}
    lines = sorted(f"{name} {file.size} {file.version}\n" for name, file in files.items())
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest(), files


class RemoteFile:
    """A remote file: its size and version, and two ways to read it."""

    def __init__(self, system: fsspec.AbstractFileSystem, path: str, info: dict[str, Any]):
        self.system = system
        self.path = path
        self.size = int(info.get("size") or 0)
        self.version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")

    def entry(self, name: str) -> Entry:
        """The file as an entry, read by the worker that cleans it."""
        reason = "too_many_bytes" if self.size > MAX_BYTES else None
        return Entry(name, self.size, partial(self.system.cat_file, self.path), {}, reason, lasting=True)

    def download(self, folder: Path) -> Path:
        """Download the file to `folder`; for archives, which are read in parts."""
        digest = hashlib.sha256(f"{self.path} {self.version}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
        path = folder / f"{digest}-{self.path.rpartition('/')[2]}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                self.system.get_file(self.path, str(temporary))
        return path
