"""The log of a run: log.jsonl, sample sheets of fixed seeds, and a history of thumbnails from the first step on."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...inference.atomic import atomic_path, explained_write_errors, write_atomic
from ...inference.pixels import grid

logger = logging.getLogger(__name__)

SHEET_SEEDS = range(64)
SMALL = 64  # side, in pixels, of covers for comparison
HISTORY_TILE = 48  # pixels; the whole history stays under 2 MB
HISTORY_START = 1_000  # images; each later snapshot is at 1.2 times the previous one
HISTORY_FACTOR = 1.2


class RunLog:
    """Writes to the run's folder. For a resumed run, drops what was logged after its checkpoint.

    A file that cannot be written, for example because the disk is full, does not end the run: `failure` is the error.
    """

    def __init__(self, output_dir: Path, images: int):
        self.output_dir = output_dir
        self.log_path = output_dir / "log.jsonl"
        self.records: list[dict[str, Any]] = []
        self.unwritten = ""  # lines for which there was no room
        self.failure: OSError | None = None  # the latest
        for folder in (output_dir / "samples", output_dir / "history"):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists():
            self.records = [record for record in self._read_records() if record["images"] <= images]
        write_atomic(self.log_path, "".join(json.dumps(record) + "\n" for record in self.records))
        for picture in (*output_dir.glob("samples/*.png"), *output_dir.glob("history/*.webp")):
            if picture.stem.isdigit() and int(picture.stem) > images:
                picture.unlink()

    def _read_records(self) -> Iterator[dict[str, Any]]:
        """The valid lines: a line cut off by a kill or a full disk must not prevent resuming."""
        for number, line in enumerate(
            self.log_path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        ):
            record = _parsed(line)
            if record is not None:
                yield record
            else:
                logger.warning("line %d of %s is damaged and skipped: %.60r", number, self.log_path, line)

    def log(self, images: int, values: dict[str, Any]) -> None:
        """Append one line of JSON, after those for which there was no room before."""
        self.records.append({"images": images, **values})
        self.unwritten += json.dumps(self.records[-1]) + "\n"
        self.append_unwritten()

    def append_unwritten(self) -> None:
        """Append the lines that are not in the file yet: all of them, or none if there is no room."""
        with self.surviving(), explained_write_errors(self.log_path, self.log_path):
            size = self.log_path.stat().st_size
            try:
                with self.log_path.open("a", encoding="utf-8") as file:
                    file.write(self.unwritten)
            except OSError:
                os.truncate(self.log_path, size)
                raise
            self.unwritten = ""

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """Keep the error of what cannot be written in this block, and continue."""
        try:
            yield
        except OSError as error:
            self.failure = error

    def sheet(self, images: int, covers: list[Image.Image]) -> None:
        """The fixed seeds, eight by eight, as samples/<images>.png."""
        self._save(grid(covers, 8), self.output_dir / "samples" / f"{images:09d}.png")

    def preview(self, covers: list[Image.Image], first: bool = False) -> None:
        """The current covers of the fixed seeds, as samples/now.png; with `first` also as samples/before.png."""
        sheet = grid(covers, 8)
        self._save(sheet, self.output_dir / "samples" / "now.png")
        if first:
            self._save(sheet, self.output_dir / "samples" / "before.png")

    def nearest(self, covers: list[Image.Image], known: np.ndarray) -> None:
        """Covers, each above the most similar training cover in `known` (`small`), as samples/nearest.png."""
        drawn = np.stack([small(np.asarray(cover.convert("RGB"))) for cover in covers]).astype(np.float32)
        coarse = [
            pixels.reshape(len(pixels), 8, SMALL // 8, 8, SMALL // 8, 3).mean((2, 4)) for pixels in (drawn, known)
        ]
        distances = np.abs(coarse[0][:, None] - coarse[1][None]).mean((2, 3, 4))
        both = [*drawn.astype(np.uint8), *known[distances.argmin(1)]]
        pairs = grid([Image.fromarray(one) for one in both], len(covers), 2)
        self._save(pairs, self.output_dir / "samples" / "nearest.png")

    def save_thumbnails(self, images: int, covers: list[Image.Image]) -> None:
        """The fixed seeds as thumbnails, as history/<images>.webp."""
        tiles = [cover.resize((HISTORY_TILE, HISTORY_TILE), Image.Resampling.LANCZOS) for cover in covers]
        self._save(grid(tiles, 8), self.output_dir / "history" / f"{images:09d}.webp")

    def _save(self, image: Image.Image, path: Path) -> None:
        with self.surviving(), atomic_path(path) as temporary:
            image.save(temporary, path.suffix[1:].upper(), quality=80)


def small(pixels: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 3) of 0 to 255 -> the picture resized to 64 px, for comparing and showing."""
    return np.asarray(Image.fromarray(pixels).resize((SMALL, SMALL), Image.Resampling.BOX))


def next_moment(images: int) -> int:
    """The next number of images, after `images`, to save in the history: 1,000, 1,200, 1,440, ..."""
    moment = float(HISTORY_START)
    while round(moment) <= images:
        moment *= HISTORY_FACTOR
    return round(moment)


def _parsed(line: str) -> dict[str, Any] | None:
    """The record of a log line; None if it is invalid."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("images"), int) else None
