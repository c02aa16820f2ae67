"""Piles of drawn covers, and data sets built from them, for tests."""

import csv
import gzip
import hashlib
from pathlib import Path

import numpy as np
from pictures import encoded
from PIL import Image

from album_gan.covers.build.build import BuildConfig
from album_gan.covers.build.cleaning import Cleaning
from album_gan.covers.synthetic import draw_cover


def cover(index: int) -> Image.Image:
    rng = np.random.default_rng(index)
    grid = Image.fromarray(rng.integers(0, 255, (7, 7, 3), dtype=np.uint8))
    return Image.blend(draw_cover(index, 160), grid.resize((160, 160), Image.Resampling.BICUBIC), 0.5)


def jpeg(index: int, quality: int = 90) -> bytes:
    return encoded(cover(index), "JPEG", quality=quality)


def pile(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for index in range(first, first + count):
        (folder / f"Artist {index} - Title {index}.jpg").write_bytes(jpeg(index))
    return folder


def config(tmp_path, *sources, **options) -> BuildConfig:
    cleaning = Cleaning(resolution=64, min_size=32, **options.pop("cleaning", {}))
    return BuildConfig(sources=tuple(map(str, sources)), out=tmp_path / "out", cleaning=cleaning, **options)


def outcomes(out: Path) -> dict[str, dict]:
    with gzip.open(out / "files.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["source"], row["file"]) for row in rows}) == len(rows)
    return {row["file"]: row for row in rows}


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of all that a build gives, without what it keeps for itself."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and ".candidates" not in path.parts]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
