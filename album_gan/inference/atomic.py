"""Atomic file writes: files appear completely or not at all.

Published with the weights, next to pipeline.py; everything in album_gan that writes results uses it.
"""

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_atomic(path: str | os.PathLike, content: bytes | str, *, flush: bool = False) -> None:
    """Write bytes, or text as UTF-8, to `path`. Options and errors as `atomic_path`."""
    with atomic_path(path, flush=flush) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_path(path: str | os.PathLike, *, flush: bool = False) -> Iterator[Path]:
    """A temporary path next to `path` to write to: renamed to `path` when the block ends, deleted if it raises.

    With `flush` the content is on the disk before it gets its name, so that a power cut leaves the old file or the
    new one. Raises OSError that names the file, its folder, the reason and a remedy.
    """
    path = Path(path)
    # A unique name, so that two writers of one file cannot mix; in the same folder, so that the rename is atomic.
    # Most systems take names of 255 bytes.
    start = path.name.encode(errors="ignore")[:200].decode(errors="ignore")
    temporary = path.with_name(f".{start}.{secrets.token_hex(4)}.tmp")
    with explained_write_errors(path, temporary):
        try:
            yield temporary
            if flush:
                flush_to_disk(temporary)
            os.replace(temporary, path)
            if flush:
                flush_to_disk(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: str | os.PathLike, last: str) -> Iterator[Path]:
    """A temporary folder in `folder`, whose files take their places in `folder` when the block ends, `last` at the end.

    If the block raises, or the first file cannot be replaced, everything stays as it was. `last` is missing while the
    others are replaced: whatever ends the process then leaves a folder without it, never a mixture of old and new files
    that looks complete. Other files in `folder` stay. Raises OSError as `atomic_path`.
    """
    folder = Path(folder)
    temporary = folder / f".{last}.{secrets.token_hex(4)}.tmp"
    with explained_write_errors(folder / last, temporary):
        try:
            temporary.mkdir(parents=True)
            remove_leftovers(folder)
            yield temporary
            files = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
            files.sort(key=lambda name: name == Path(last))
            for name in files:
                (folder / name).parent.mkdir(exist_ok=True)
            before = temporary / f"{last}.before"
            if (folder / last).exists():
                os.replace(folder / last, before)
            try:
                os.replace(temporary / files[0], folder / files[0])
            except OSError:  # such as of a file that another process has open on Windows: all is still as it was
                if before.exists():
                    os.replace(before, folder / last)
                raise
            for name in files[1:]:
                os.replace(temporary / name, folder / name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def explained_write_errors(path: Path, *others: Path) -> Iterator[None]:
    """Turn an OSError from writing `path` (or `others`) into one that names the file, its folder and a remedy.

    The system's own message names neither: "[Errno 28] No space left on device". Errors of other files pass unchanged,
    and so do those without a number, which are not the system's: Pillow's of a broken picture.
    """
    try:
        yield
    except OSError as error:
        if not error.errno:
            raise
        ours = {os.path.abspath(own) for own in (path, path.parent, *others)}
        if error.filename is not None and os.path.abspath(os.fsdecode(error.filename)) not in ours:
            raise
        explained = type(OSError(error.errno, ""))(_explanation(path, error))
        explained.errno = error.errno
        raise explained from error


def _explanation(path: Path, error: OSError) -> str:
    folder = os.path.abspath(path.parent)
    if error.errno in NO_SPACE:
        advice = "make room there, or choose another folder"
    elif error.errno in NOT_ALLOWED:
        advice = "choose a folder that you may write to"
    elif not os.path.isdir(folder):
        advice = "create the folder first"
    else:
        advice = "choose another place"
    return f"{path.name} could not be written to {folder}: {os.strerror(error.errno or 0)}; {advice}"


def replace_folder(new: Path, folder: Path, old: Path) -> None:
    """Rename `new` to `folder`; the folder that it replaces is called `old` meanwhile, and deleted only after that.

    A process killed between the two renames leaves `new` and `old`.
    """
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders; NTFS journals its names
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, hours: float = 1.0) -> None:
    """Delete the temporary files and folders that killed writers left in `folder`, untouched for `hours`."""
    for leftover in folder.glob(".*.????????.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime >= 3600 * hours:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
