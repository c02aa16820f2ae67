"""Large files from the web, going on where an interrupted download stopped."""

import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

PIECE = 1 << 20  # bytes
ATTEMPTS = 8
TIMEOUT = 60  # seconds


def download(url: str, path: Path) -> Path:
    """Fetch `url` into `path`, unless it is there. Returns `path`.

    What came so far stays in `path`.part, with the file's version in `path`.version: a changed file is begun
    anew. Raises ValueError for what does not come after several attempts.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part, version = path.with_name(path.name + ".part"), path.with_name(path.name + ".version")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch(url, part, version)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is longer than the file: it belongs to another version
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                raise ValueError(f"{url} cannot be had: {error}; check the address") from error
            reason = error
        except OSError as error:  # dropped lines, timeouts, names that do not resolve
            reason = error
            if part.exists() and getattr(error, "errno", None) == 28:
                raise
        if attempt == ATTEMPTS:
            raise ValueError(f"{url} cannot be had: {reason}; what came is kept, run again to go on")
        time.sleep(min(2.0**attempt, 60) * float(os.environ.get("ALBUM_GAN_RETRY_SECONDS", "1")))
    os.replace(part, path)
    version.unlink(missing_ok=True)
    return path


def _fetch(url: str, part: Path, version: Path) -> None:
    """Append to `part` until it is complete; OSError when the line drops before."""
    start = part.stat().st_size if part.exists() else 0
    known = version.read_text() if start and version.exists() else ""
    headers = {"User-Agent": "album-gan"}
    if start and known:
        headers |= {"Range": f"bytes={start}-", "If-Range": known}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status != 206:
            start = 0
        version.write_text(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with open(part, "ab" if start else "wb") as file, bar:
            while piece := answer.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
            if total is not None and file.tell() < total:
                raise ConnectionError(f"the line dropped at {file.tell():,} of {total:,} bytes")
