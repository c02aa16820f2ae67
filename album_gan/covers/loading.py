"""From a data set of covers to batches for training.

Pictures are decoded once into a file of raw pixels beside the data set's cache; where the disk has no room for
that, they are decoded anew each time by the data loader's workers.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from . import synthetic
from .decoding import decode
from .split import is_held_out

logger = logging.getLogger(__name__)

PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Covers(torch.utils.data.Dataset):
    """Square covers as uint8 (resolution, resolution, 3), all of them readable or skipped."""

    def __init__(self, rows: datasets.Dataset, image_column: str, resolution: int, pixels: np.ndarray | None):
        self.rows = rows
        self.image_column = image_column
        self.resolution = resolution
        self.pixels = pixels
        self.classes: list[str] = []  # names of the labels; number 0 is "unknown"
        self.labels: np.ndarray | None = None  # (N,) int64, a number of `classes` for each cover

    def __len__(self) -> int:
        return len(self.rows) if self.pixels is None else len(self.pixels)

    def __getitems__(self, indices: list[int]) -> Tensor:
        """(B, resolution, resolution, 3) uint8"""
        if self.pixels is not None:
            return torch.from_numpy(self.pixels[indices])
        encoded = self.rows[indices][self.image_column]
        return torch.from_numpy(np.stack([self._decoded(i, row) for i, row in zip(indices, encoded, strict=True)]))

    def all_pixels(self) -> np.ndarray:
        """(N, resolution, resolution, 3) uint8, in memory or in a file."""
        return self.pixels if self.pixels is not None else self.__getitems__(list(range(len(self)))).numpy()

    def _decoded(self, index: int, row: dict) -> np.ndarray:
        for _ in range(100):
            try:
                return decode(read_bytes(row), self.resolution)
            except ValueError as error:
                logger.warning("cover %d skipped, %s", index, error)
                index = (index + 1) % len(self.rows)
                row = self.rows[index][self.image_column]
        raise ValueError(f"{self.image_column} holds no readable picture in 100 rows in a row, the last is {index}")


class StepSampler(Sampler[list[int]]):
    """The rows of one process for one batch after the other, each cover once an epoch; remembers nothing.

    Batch k is the same whether or not the run was ever interrupted, however many processes share it.
    """

    def __init__(self, count: int, batch_size: int, rows: list[slice], seed: int, first: int, last: int):
        self.count = count
        self.batch_size = batch_size
        self.rows = rows
        self.seed = seed
        self.first = first
        self.last = last
        self._epoch = (-1, np.empty(0, np.int64))

    def _permutation(self, epoch: int) -> np.ndarray:
        if self._epoch[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._epoch = (epoch, rng.permutation(self.count))
        return self._epoch[1]

    def __iter__(self) -> Iterator[list[int]]:
        for batch in range(self.first, self.last):
            places = range(batch * self.batch_size, (batch + 1) * self.batch_size)
            indices = [int(self._permutation(place // self.count)[place % self.count]) for place in places]
            for rows in self.rows:
                yield indices[rows]

    def __len__(self) -> int:
        return (self.last - self.first) * len(self.rows)


def batches(covers: Covers, sampler: StepSampler, workers: int) -> Iterator[Tensor]:
    """uint8 (B, H, W, 3), pinned for the copy to a GPU where there is one."""
    loader = DataLoader(
        covers,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=lambda batch: batch,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own: the global one must not depend on being resumed
    )
    return iter(loader)


def load_covers(
    dataset_name: str | None,
    train_data_dir: str | None,
    data_files: str | None,
    image_column: str,
    resolution: int,
    label_column: str | None = None,
) -> tuple[Covers, int]:
    """The covers to train on, and how many are held out.

    `dataset_name` is a Hub id, a builder of `datasets` such as parquet (with `data_files`), or "synthetic";
    `train_data_dir` a folder of pictures or parquet files. `label_column` gives the covers `classes` and `labels`.
    Raises ValueError for what holds no covers.
    """
    rows, held_out = _split(dataset_name, train_data_dir, data_files, image_column)
    if held_out.all():
        raise ValueError(f"the data must hold more covers than the held-out share, got {len(rows)}; add some")
    train = rows.select(np.flatnonzero(~held_out))
    covers = Covers(train, image_column, resolution, _pixels(train, image_column, resolution))
    if label_column is not None:
        covers.classes, covers.labels = _labels(train, image_column, label_column, resolution)
    return covers, int(held_out.sum())


def load_held_out(
    dataset_name: str | None,
    train_data_dir: str | None,
    data_files: str | None,
    image_column: str,
    resolution: int,
) -> Covers:
    """The covers that no training sees, for evaluation; arguments and errors as in `load_covers`."""
    rows, held_out = _split(dataset_name, train_data_dir, data_files, image_column)
    if not held_out.any():
        raise ValueError(f"the data must hold held-out covers, got none among {len(rows)}; add covers")
    kept = rows.select(np.flatnonzero(held_out))
    return Covers(kept, image_column, resolution, _pixels(kept, image_column, resolution))


def _split(
    dataset_name: str | None, train_data_dir: str | None, data_files: str | None, image_column: str
) -> tuple[datasets.Dataset, np.ndarray]:
    """All rows, their pictures not decoded, and which of them are held out."""
    rows = _rows(dataset_name, train_data_dir, data_files)
    if image_column not in rows.column_names:
        raise ValueError(f"image_column must be one of {', '.join(rows.column_names)}; got {image_column!r}")
    if not isinstance(rows.features[image_column], datasets.Image):
        raise ValueError(f"image_column must hold pictures, but {image_column!r} does not; name another column")
    rows = rows.cast_column(image_column, datasets.Image(decode=False))
    return rows, np.array([is_held_out(group) for group in _groups(rows, image_column)])


def _rows(dataset_name: str | None, train_data_dir: str | None, data_files: str | None) -> datasets.Dataset:
    if dataset_name == "synthetic":
        features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
        return datasets.Dataset.from_generator(synthetic.rows, features=features)
    if train_data_dir:
        folder = Path(train_data_dir)
        if not folder.is_dir():
            raise ValueError(f"train_data_dir must be a folder, got {train_data_dir!r}, which is none")
        parquet = sorted(map(str, folder.rglob("*.parquet")))
        if parquet:
            return _load("parquet", parquet)
        pictures = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS)
        if not pictures:
            raise ValueError(
                f"train_data_dir must hold pictures ({' '.join(sorted(PICTURE_ENDINGS))}) or parquet files, "
                f"found none in {train_data_dir!r}; name another folder, or try --dataset_name synthetic"
            )
        return datasets.Dataset.from_dict({"image": pictures}).cast_column("image", datasets.Image())
    if not dataset_name:
        raise ValueError("dataset_name or train_data_dir must say where the covers are; try --dataset_name synthetic")
    return _load(dataset_name, data_files)


def _load(name: str, data_files: str | list[str] | None) -> datasets.Dataset:
    try:
        splits = datasets.load_dataset(name, data_files=data_files)
        if "train" not in splits:
            raise ValueError(f"it has no split called train, only {', '.join(map(str, splits))}")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"dataset_name {name!r} with data_files {data_files!r} does not load: {reason}") from error
    train, test = splits["train"], splits.get("test")
    if test is None or "group" not in test.column_names or test.features != train.features:
        return train
    # What `album-gan covers build` held out lies in a split of its own; the hash of the group finds it again.
    held_out = np.array([is_held_out(str(group)) for group in test["group"]], bool)
    return datasets.concatenate_datasets([train, test.select(np.flatnonzero(held_out))])


def read_bytes(row: dict) -> bytes:
    """The encoded picture of a row, embedded or in a file of its own; ValueError when there is none."""
    try:
        return row["bytes"] or Path(row["path"]).read_bytes()
    except (OSError, TypeError) as error:
        raise ValueError(f"no picture: {error}") from error


def _groups(rows: datasets.Dataset, image_column: str) -> Iterator[str]:
    """The group of each row; without that column every distinct file is a group of its own."""
    if "group" in rows.column_names:
        yield from map(str, rows["group"])
        return
    for row in tqdm(rows[image_column], desc="hashing covers", unit=" covers", disable=len(rows) < 2_000):
        try:
            yield hashlib.sha256(read_bytes(row)).hexdigest()
        except ValueError:
            yield str(row["path"])  # unreadable; decoding will skip it


def _labels(rows: datasets.Dataset, image_column: str, label_column: str, resolution: int):
    """The classes, "unknown" first, and the number of the class of each cover that could be decoded."""
    if label_column not in rows.column_names:
        raise ValueError(f"label_column must be one of {', '.join(rows.column_names)}; got {label_column!r}")
    feature, values = rows.features[label_column], rows[label_column]
    if isinstance(feature, datasets.ClassLabel):
        values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
    values = [None if value is None or value == "" else str(value) for value in values]
    classes = ["unknown", *sorted({value for value in values if value not in (None, "unknown")})]
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(value, 0) for value in values], np.int64)
    readable = _pixel_path(rows, image_column, resolution).with_suffix(".rows.npy")
    return classes, labels[np.load(readable)] if readable.exists() else labels


def _pixel_path(rows: datasets.Dataset, image_column: str, resolution: int) -> Path:
    folder = Path(os.environ.get("ALBUM_GAN_CACHE", Path.home() / ".cache" / "album_gan")) / "pixels"
    return folder / f"{_fingerprint(rows, image_column)}-{resolution}.npy"


def _pixels(rows: datasets.Dataset, image_column: str, resolution: int) -> np.ndarray | None:
    """All readable covers decoded, (N, resolution, resolution, 3) uint8 in a file; None where it would not fit."""
    path = _pixel_path(rows, image_column, resolution)
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(rows), resolution, resolution, 3)
    if path.exists():
        return np.load(path, mmap_mode="r")
    if np.prod(shape, dtype=np.int64) > shutil.disk_usage(folder).free / 3:
        logger.warning("no room for decoded covers in %s; they are decoded anew in each epoch", folder)
        return None

    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    kept = 0
    reasons = []
    readable = []
    try:
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
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _shorten(path: Path, kept: int) -> None:
    """Keep the first `kept` entries of an array in a file, without reading it all into memory."""
    whole = np.load(path, mmap_mode="r")
    shorter = path.with_suffix(".shorter")
    np.save(shorter.with_suffix(".npy"), whole[:kept])
    os.replace(shorter.with_suffix(".npy"), path)


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
