"""Cache of a data set's decoded covers in one file of raw pixels, which later runs and other processes memory-map."""

import errno
import hashlib
import logging
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import datasets
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from ..inference.atomic import atomic_path, remove_leftovers
from ..runtime import cache_home
from .decoding import DECODER, decode_rows

logger = logging.getLogger(__name__)

AT_ONCE = 64  # covers per task of a decoding process
SPARE = 10**9  # bytes to leave free besides the cache, or as much as it needs itself if that is less
LEFTOVER_HOURS = 24  # without a change, after which an unfinished file counts as left by a killed process


class PixelFile:
    """Covers in a file, `array` (N, resolution, resolution, 3) uint8. Pickles as the file's name."""

    def __init__(self, path: Path):
        self.path = path
        self.array = np.load(path, mmap_mode="r")
        rows = path.with_suffix(".rows.npy")
        self.readable: np.ndarray | None = np.load(rows) if rows.exists() else None  # which rows; None for all

    def __reduce__(self) -> tuple:
        return PixelFile, (self.path,)


def cache_folder(kind: str) -> Path:
    """Cache folder for `kind` ("pixels", "features")."""
    return cache_home() / kind


def decoded_pixels(
    rows: datasets.Dataset, image_column: str, resolution: int, workers: int = 0, may_be_empty: bool = False
) -> PixelFile | None:
    """All readable covers of `rows`, decoded now or earlier; None, with a warning, if the cache has no room.

    `workers` is the number of decoding processes, 0 for this one. Several processes of a machine may call this at
    once: one decodes, the others wait for it. Raises ValueError if no cover is readable, unless the result
    `may_be_empty`.
    """
    path = cache_folder("pixels") / f"{_fingerprint(rows, image_column)}-{resolution}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        earlier = path.exists()
        if not earlier:
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    remove_leftovers(path.parent, LEFTOVER_HOURS)
                    _decode_all(rows, image_column, resolution, path, workers, may_be_empty)
        pixels = PixelFile(path)
        if earlier and pixels.readable is not None:
            logger.warning(
                "%d of %d covers could not be read when they were cached, and are left out; to try again, delete %s",
                len(rows) - len(pixels.readable), len(rows), path,
            )  # fmt: skip
        return pixels
    except OSError as error:
        logger.warning(
            "decoded covers cannot be cached in %s (%s): they are decoded again in each epoch; make room, or set "
            "ALBUM_GAN_CACHE to another folder", path.parent, error.strerror or error,
        )  # fmt: skip
        return None


def _decode_all(
    rows: datasets.Dataset, image_column: str, resolution: int, path: Path, workers: int, may_be_empty: bool
) -> None:
    reasons: list[str] = []
    readable: list[int] = []
    shape = (len(rows), resolution, resolution, 3)
    _check_room(path.parent, int(np.prod(shape, dtype=np.int64)))
    with atomic_path(path) as temporary:
        pixels = _reserve(temporary, shape)
        decoded = _decoded(rows, image_column, resolution, workers)
        for number, cover in enumerate(tqdm(decoded, desc="decoding covers", unit=" covers", total=len(rows))):
            if isinstance(cover, str):
                reasons.append(cover)
            else:
                pixels[len(readable)] = cover
                readable.append(number)
        if not readable and not may_be_empty:
            raise ValueError(f"none of the {len(rows)} covers is a readable picture; the first: {reasons[0]}")
        pixels.flush()
        del pixels  # unmaps the file, which Windows could not rename otherwise
        which = path.with_suffix(".rows.npy")
        which.unlink(missing_ok=True)  # of an earlier decoding, whose covers could not all be read
        if reasons:
            logger.warning("%d of %d covers skipped; the first: %s", len(reasons), len(rows), reasons[0])
            _save(which, np.array(readable))
            _shorten(temporary, (len(readable), *shape[1:]))


def _decoded(rows: datasets.Dataset, image_column: str, resolution: int, workers: int) -> Iterator[np.ndarray | str]:
    """All covers in order; for an unreadable one, the reason."""
    encoded = rows[image_column]
    parts = (encoded[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
    if not workers:
        for part in parts:
            yield from decode_rows(part, resolution)
        return
    context = multiprocessing.get_context("spawn")  # forking while Arrow threads run can hang
    with ProcessPoolExecutor(workers, context) as pool:
        waiting: deque[Future] = deque()
        for part in parts:
            waiting.append(pool.submit(decode_rows, part, resolution))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def _shorten(path: Path, shape: tuple[int, ...]) -> None:
    """Cut off the last rows of a file of pixels, in place."""
    with path.open("r+b") as file:  # its header has room for any number of rows
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))


def _check_room(folder: Path, size: int) -> None:
    """Raise OSError unless the disk has room for `size` bytes, and some to spare."""
    spare, free = min(SPARE, size), shutil.disk_usage(folder).free
    if free < size + spare:
        raise OSError(
            errno.ENOSPC, f"{size / 1e9:.1f} GB for them and {spare / 1e9:.1f} GB to spare, {free / 1e9:.1f} GB free"
        )


def _reserve(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new uint8 file with allocated disk space: writing to a memory-mapped sparse file crashes with a bus error when
    the disk is full. Raises OSError if there is no room."""
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # macOS, Windows
            file.seek(pixels.offset)
            for start in range(pixels.offset, size, 1 << 20):
                file.write(bytes(min(1 << 20, size - start)))
    return pixels


def _fingerprint(rows: datasets.Dataset, image_column: str) -> str:
    """Changes with the pictures (the data set's fingerprint; size and date of files) and with the decoder."""
    digest = hashlib.sha256(f"{rows._fingerprint} {image_column} {len(rows)} {DECODER}".encode())
    for row in rows[image_column]:
        if row and row["bytes"] is None and row["path"] and os.path.exists(row["path"]):
            status = os.stat(row["path"])
            digest.update(f"{row['path']} {status.st_size} {status.st_mtime_ns}".encode())
        else:
            break
    return digest.hexdigest()[:16]
