"""The page's folder for uploads and generated files, which are all deleted within the hour.

Each page has a private folder, in which other users cannot plant links. Files left behind by a killed page are deleted
by the next one; gradio's own `delete_cache` does not delete files of earlier processes.
"""

import atexit
import contextlib
import errno
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

PREFIX = "album-gan-page-"
KEEP = 50 * 60  # seconds
SWEEP_EVERY = 5 * 60
MAX_BYTES = 1 << 30  # of all files of a page
SPARE_BYTES = 32 << 20  # of the disk, left to others


def create_page_folder() -> Path:
    """Create the folder, make gradio use it, and sweep it and abandoned ones, now and every few minutes.

    It is deleted when the page exits, also by Ctrl-C, `kill` or a closed terminal. Raises OSError.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))  # readable by its owner only
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # so that these run the exit handlers as well
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: sys.exit(0))

    def sweep_forever() -> None:
        while True:
            with contextlib.suppress(OSError):
                os.utime(folder)  # in use: no other page deletes it
            for page in page_folders(place):
                sweep(page)
            time.sleep(SWEEP_EVERY)

    threading.Thread(target=sweep_forever, daemon=True, name="sweeper").start()
    return folder


def page_folders(place: Path) -> list[Path]:
    """Folders of this user's pages in `place`; symbolic links are ignored."""
    found = []
    for path in place.glob(f"{PREFIX}*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid()):
            found.append(path)
    return found


def sweep(folder: Path, keep: float = KEEP) -> int:
    """Delete files unchanged for `keep` seconds, then empty folders. Returns the number of files.

    `folder` itself is deleted only if it has not changed for that long either: a running page renews the time of its
    own. Symbolic links are deleted, not followed.
    """
    oldest, deleted = time.time() - keep, 0
    kept = {os.environ.get("GRADIO_TEMP_DIR")}
    with contextlib.suppress(OSError):
        if os.lstat(folder).st_mtime >= oldest:
            kept.add(str(folder))
    changed = set()  # folders whose own times are no longer meaningful
    for parent, folders, files in os.walk(folder, topdown=False):  # does not follow links
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        with contextlib.suppress(OSError):  # another sweeper was faster
            if os.lstat(parent).st_mtime < oldest:
                changed.add(parent)
        for path in (os.path.join(parent, name) for name in (*files, *links)):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mtime < oldest:
                    os.unlink(path)
                    changed.add(parent)
                    deleted += 1
        if parent in changed and parent not in kept:
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(parent)
                changed.add(os.path.dirname(parent))
    return deleted


def new_folder() -> Path:
    """A new folder for files that gradio sends to a browser. Raises OSError when the page's folder is full."""
    folder = page_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if free_bytes(folder) <= 0:
        sweep(folder, keep=SWEEP_EVERY)
        if free_bytes(folder) <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return Path(tempfile.mkdtemp(dir=folder))


def page_folder() -> Path:
    """The folder of `create_page_folder`, which gradio uses too."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")


def free_bytes(folder: Path) -> int:
    """How many more bytes the page may write; negative if it has written too many."""
    used = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):  # deleted meanwhile
                used += os.lstat(os.path.join(parent, name)).st_size
    return min(MAX_BYTES - used, shutil.disk_usage(folder).free - SPARE_BYTES)
