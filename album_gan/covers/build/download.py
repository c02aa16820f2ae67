"""Large files from the web; an interrupted download resumes where it stopped."""

import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from ...inference.atomic import NO_SPACE, NOT_ALLOWED, explained_write_errors

BLOCK = 1 << 20  # bytes
ATTEMPTS = 8
TIMEOUT = 60  # seconds


def download(url: str, path: Path) -> Path:
    """Download `url` to `path`, unless it exists. Returns `path`.

    An incomplete download stays in `path`.part, with the file's version in `path`.version; if the version has changed,
    the download restarts. Raises ValueError if nothing more arrives in several attempts, OSError if it cannot be
    written.
    """
    if path.exists():
        return path
    part, version = path.with_name(path.name + ".part"), path.with_name(path.name + ".version")
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    reason: Exception
    attempt = 0  # in a row without any progress
    while True:
        attempt, before = attempt + 1, _size(part)
        try:
            _fetch(url, part, version)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is longer than the file: it belongs to another version
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                raise ValueError(f"{url} could not be downloaded: {error}; check the address") from error
            reason = error
        except http.client.InvalidURL as error:
            raise ValueError(f"{url} could not be downloaded: {error}; check the address") from error
        # Dropped connections, timeouts, failed DNS lookups; http.client's own errors where a body comes in chunks.
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (*NO_SPACE, *NOT_ALLOWED):
                raise
            reason = error
        if _size(part) > before:
            attempt = 1
        if attempt == ATTEMPTS:
            raise ValueError(f"{url} could not be downloaded: {reason}; run again to resume")
        time.sleep(min(2.0**attempt, 60) * float(os.environ.get("ALBUM_GAN_RETRY_SECONDS", "1")))
    os.replace(part, path)
    version.unlink(missing_ok=True)
    return path


def _fetch(url: str, part: Path, version: Path) -> None:
    """Append to `part` until it is complete. Raises OSError if the connection drops."""
    start = _size(part)
    tag = version.read_text(encoding="utf-8") if start and version.exists() else ""
    headers = {"User-Agent": "album-gan"}
    if start and tag:
        headers |= {"Range": f"bytes={start}-", "If-Range": tag}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        if response.status != 206:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with explained_write_errors(part, version):
            tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            version.write_text(tag, encoding="utf-8")
            if not start:
                part.write_bytes(b"")
        with bar:
            while block := response.read(BLOCK):
                with explained_write_errors(part), open(part, "ab") as file:
                    file.write(block)
                bar.update(len(block))
        if total is not None and (size := _size(part)) != total:
            raise ConnectionError(f"the connection dropped at {size:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
