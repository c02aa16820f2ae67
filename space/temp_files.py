"""Pictures that visitors upload, and files made for them, are deleted within the hour.

gradio's own delete_cache forgets what an earlier process left behind, so the page has a folder of its own
(gradio's GRADIO_TEMP_DIR) and sweeps that.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

KEEP = 50 * 60  # seconds
EVERY = 5 * 60


def sweep(folder: Path, keep: float = KEEP) -> int:
    """Delete files not changed for `keep` seconds, and folders left empty. Returns how many files went."""
    limit, gone = time.time() - keep, 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside comes before its folder
        try:
            if path.is_dir() and not path.is_symlink():
                if path.stat().st_mtime < limit:
                    path.rmdir()
            elif path.lstat().st_mtime < limit:
                path.unlink()
                gone += 1
        except OSError:
            pass  # not empty, or somebody else was faster
    return gone


def keep_clean() -> Path:
    """Give the page a folder of its own and sweep all such folders, now and every few minutes. Returns the folder.

    It is emptied when the page is stopped; what a killed page left behind is swept by the next one.
    """
    pages = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / "album-gan-page"
    own = pages / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(own)

    def forever() -> None:
        while True:
            sweep(pages)
            time.sleep(EVERY)

    threading.Thread(target=forever, daemon=True, name="sweeper").start()
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that a plain `kill` empties it too
    return own
