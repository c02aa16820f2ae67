"""All covers of a data set decoded into one file of raw pixels, once; later runs map it into memory."""

import hashlib
import logging
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
from tqdm import tqdm

from ..inference.atomic import atomic_path
from .decoding import decode, read_bytes

logger = logging.getLogger(__name__)


def pixel_path(rows: datasets.Dataset, image_column: str, resolution: int) -> Path:
    folder = Path(os.environ.get("ALBUM_GAN_CACHE", Path.home() / ".cache" / "album_gan")) / "pixels"
    return folder / f"{_fingerprint(rows, image_column)}-{resolution}.npy"


def decoded_pixels(rows: datasets.Dataset, image_column: str, resolution: int) -> np.ndarray | None:
    """All readable covers decoded, (N, resolution, resolution, 3) uint8 in a file; None where it would not fit."""
    path = pixel_path(rows, image_column, resolution)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(rows), resolution, resolution, 3)
    if path.exists():
        return np.load(path, mmap_mode="r")
    if np.prod(shape, dtype=np.int64) > shutil.disk_usage(folder).free / 3:
        logger.warning("no room for decoded covers in %s; they are decoded anew in each epoch", folder)
        return None

    kept = 0
    reasons = []
    readable = []
    with atomic_path(path) as temporary:
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for number, row in enumerate(tqdm(rows[image_column], desc="decoding covers", unit=" covers")):
            try:
                pixels[kept] = decode(read_bytes(row), resolution)
                kept += 1
                readable.append(number)
            except ValueError as error:
                reasons.append(f"{row['path'] or 'embedded picture'}: {error}")
        pixels.flush()
        if not kept:
            raise ValueError(f"none of the {len(rows)} covers is a readable picture; the first: {reasons[0]}")
        if reasons:
            logger.warning("%d of %d covers skipped; the first: %s", len(reasons), len(rows), reasons[0])
            del pixels
            _shorten(temporary, kept)
            np.save(path.with_suffix(".rows.npy"), readable)  # which row each of them is, for the labels
    return np.load(path, mmap_mode="r")


def _shorten(path: Path, kept: int) -> None:
    """Keep the first `kept` entries of an array in a file, without reading it all into memory."""
    whole = np.load(path, mmap_mode="r")
    with atomic_path(path) as shorter, shorter.open("wb") as file:
        np.save(file, whole[:kept])


def _fingerprint(rows: datasets.Dataset, image_column: str) -> str:
    """Changes with the pictures: the data set's own fingerprint, and size and date of files it points to."""
    digest = hashlib.sha256(f"{rows._fingerprint} {image_column} {len(rows)}".encode())
    for row in rows[image_column]:
        if row["bytes"] is None and row["path"] and os.path.exists(row["path"]):
            status = os.stat(row["path"])
            digest.update(f"{row['path']} {status.st_size} {status.st_mtime_ns}".encode())
        else:
            break
    return digest.hexdigest()[:16]
