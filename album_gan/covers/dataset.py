"""From a data set of covers to batches for training.

Pictures are decoded once into a file of raw pixels beside the data set's cache; where the disk has no room for
that, they are decoded anew each time by the data loader's workers; and what fits on no disk is streamed.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from . import synthetic
from .decoding import decode, read_bytes
from .pixel_cache import decoded_pixels, pixel_path
from .split import group_of, is_held_out
from .streaming import Stream, covers_at_hand

logger = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "img", "cover", "picture", "jpg", "png", "webp", "image_bytes", "bytes")
LABEL_COLUMNS = ("genre", "label", "class", "cls", "style")  # where "auto" looks, in this order
PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Covers(torch.utils.data.Dataset):
    """Square covers as uint8 (resolution, resolution, 3), all of them readable or skipped."""

    def __init__(self, rows: datasets.Dataset | None, image_column: str, resolution: int, pixels: np.ndarray | None):
        self.rows = rows
        self.image_column = image_column
        self.resolution = resolution
        self.pixels = pixels
        self.classes: list[str] = []  # names of the labels; number 0 is "unknown"
        self.labels: np.ndarray | None = None  # (N,) int64, a number of `classes` for each cover
        self.stream: datasets.IterableDataset | None = None  # of which these covers are the first few

    def __len__(self) -> int:
        return len(self.rows) if self.pixels is None else len(self.pixels)

    def __str__(self) -> str:
        return f"{len(self):,} covers" if self.stream is None else "a stream of covers"

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
    """uint8 (B, H, W, 3), pinned for the copy to a GPU where there is one.

    Of a stream, as many as are asked for, in an order that depends on the step at which they begin.
    """
    options = {"pin_memory": torch.cuda.is_available(), "generator": torch.Generator()}  # not the global generator
    if covers.stream is not None:
        rows = sampler.rows[0]
        seed = [sampler.seed, sampler.first, rows.start]
        stream = Stream(covers.stream, covers.image_column, covers.resolution, rows.stop - rows.start, seed)
        return iter(DataLoader(stream, batch_size=None, num_workers=min(workers, covers.stream.num_shards), **options))
    loader = DataLoader(covers, batch_sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch, **options)
    return iter(loader)


def load_covers(
    dataset_name: str | None,
    train_data_dir: str | None,
    data_files: str | None,
    image_column: str | None,
    resolution: int,
    label_column: str | None = None,
    streaming: bool = False,
) -> tuple[Covers, int]:
    """The covers to train on, and how many are held out; of a stream, how many of those are at hand.

    `dataset_name` is a Hub id, a builder of `datasets` such as parquet (with `data_files`), or "synthetic";
    `train_data_dir` a folder of pictures or parquet files. `image_column` None is found. `label_column` gives the
    covers `classes` and `labels`; "auto" finds it. Raises ValueError for what holds no covers.
    """
    where = (dataset_name, train_data_dir, data_files, image_column)
    if streaming:
        if label_column is not None:
            raise ValueError("label_column must be left out with streaming, which cannot know all classes beforehand")
        return _streamed(*where, resolution)
    rows, image_column, held_out = _split(*where)
    if held_out.all():
        raise ValueError(f"the data must hold more covers than the held-out share, got {len(rows)}; add some")
    train = rows.select(np.flatnonzero(~held_out))
    covers = Covers(train, image_column, resolution, decoded_pixels(train, image_column, resolution))
    if label_column is not None:
        covers.classes, covers.labels = _labels(train, image_column, label_column, resolution)
    return covers, int(held_out.sum())


def load_held_out(
    dataset_name: str | None,
    train_data_dir: str | None,
    data_files: str | None,
    image_column: str | None,
    resolution: int,
    streaming: bool = False,
) -> Covers:
    """The covers that no training sees, for evaluation; of a stream, the first of them.

    Arguments and errors are those of `load_covers`.
    """
    where = (dataset_name, train_data_dir, data_files, image_column)
    if streaming:
        _, stream, image_column = _streams(*where)
        pixels = covers_at_hand(stream, image_column, resolution, held_out=True)
        if not len(pixels):
            raise ValueError("the data must hold held-out covers, got none where the stream begins; add covers")
        return Covers(None, image_column, resolution, pixels)
    rows, image_column, held_out = _split(*where)
    if not held_out.any():
        raise ValueError(f"the data must hold held-out covers, got none among {len(rows)}; add covers")
    kept = rows.select(np.flatnonzero(held_out))
    return Covers(kept, image_column, resolution, decoded_pixels(kept, image_column, resolution))


def _split(
    dataset_name: str | None, train_data_dir: str | None, data_files: str | None, image_column: str | None
) -> tuple[datasets.Dataset, str, np.ndarray]:
    """All rows, their pictures not decoded, the column of these, and which rows are held out."""
    rows = _rows(dataset_name, train_data_dir, data_files)
    image_column = find_image_feature(rows.features, image_column)
    rows = rows.cast_column(image_column, datasets.Image(decode=False))
    return rows, image_column, np.array([is_held_out(group) for group in _groups(rows, image_column)])


def find_image_feature(features: datasets.Features, wanted: str | None) -> str:
    """The column of pictures: the wanted one, or the one under the most usual name; ValueError where there is none."""
    holding = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    raw = (datasets.Value("binary"), datasets.Value("large_binary"))
    holding += [name for name in IMAGE_COLUMNS if features.get(name) in raw]  # bytes of pictures, not marked as such
    if wanted is None and holding:
        return next((name for name in IMAGE_COLUMNS if name in holding), holding[0])
    if wanted not in features:
        raise ValueError(f"image_column must be one of {', '.join(features)}; got {wanted!r}")
    if wanted not in holding:
        raise ValueError(f"image_column must hold pictures, but {wanted!r} does not; name another column")
    return wanted


def _streamed(
    dataset_name: str | None, train_data_dir: str | None, data_files: str | None, image_column: str | None,
    resolution: int,
) -> tuple[Covers, int]:  # fmt: skip
    train, test, image_column = _streams(dataset_name, train_data_dir, data_files, image_column)
    pixels = covers_at_hand(train, image_column, resolution, held_out=False)
    if not len(pixels):
        raise ValueError(
            "the data must hold readable covers to train on, got none where the stream begins; look into it"
        )
    covers = Covers(None, image_column, resolution, pixels)
    covers.stream = train
    logger.warning(
        "streaming: covers are shuffled as they come, and a resumed run goes on with them in another order; "
        "all else resumes exactly"
    )
    return covers, len(covers_at_hand(test, image_column, resolution, held_out=True))


def _streams(
    dataset_name: str | None, train_data_dir: str | None, data_files: str | None, image_column: str | None
) -> tuple[datasets.IterableDataset, datasets.IterableDataset, str]:
    """Rows among which those to train on are, rows among which those held out are, and the column of pictures."""
    if train_data_dir:
        dataset_name, data_files = "parquet", sorted(map(str, Path(train_data_dir).rglob("*.parquet")))
    if not dataset_name or dataset_name == "synthetic" or data_files == []:
        raise ValueError("streaming needs a dataset_name on the Hub, or parquet files; leave it out for all else")
    splits = _load(dataset_name, data_files, streaming=True)
    train = splits["train"]
    if train.features is None:
        train = train._resolve_features()  # reads the first rows
    image_column = find_image_feature(train.features, image_column)
    train = train.cast_column(image_column, datasets.Image(decode=False))
    test = splits.get("test")
    if test is None or "group" not in (test.features or {}):
        return train, train, image_column
    return train, test.cast_column(image_column, datasets.Image(decode=False)), image_column


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
            return _with_held_out(_load("parquet", parquet))
        pictures = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS)
        if not pictures:
            raise ValueError(
                f"train_data_dir must hold pictures ({' '.join(sorted(PICTURE_ENDINGS))}) or parquet files, "
                f"found none in {train_data_dir!r}; name another folder, or try --dataset_name synthetic"
            )
        return datasets.Dataset.from_dict({"image": pictures}).cast_column("image", datasets.Image())
    if not dataset_name:
        raise ValueError("dataset_name or train_data_dir must say where the covers are; try --dataset_name synthetic")
    return _with_held_out(_load(dataset_name, data_files))


def _load(name: str, data_files: str | list[str] | None, streaming: bool = False) -> datasets.DatasetDict:
    """Its splits, of which one is called train."""
    try:
        splits = datasets.load_dataset(name, data_files=data_files, streaming=streaming)
        if "train" not in splits:
            raise ValueError(f"it has no split called train, only {', '.join(map(str, splits))}")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"dataset_name {name!r} with data_files {data_files!r} does not load: {reason}") from error
    return splits


def _with_held_out(splits: datasets.DatasetDict) -> datasets.Dataset:
    """All rows: what `album-gan covers build` held out lies in a split of its own."""
    train, test = splits["train"], splits.get("test")
    if test is None or "group" not in test.column_names or test.features != train.features:
        return train
    held_out = np.array([is_held_out(str(group)) for group in test["group"]], bool)
    return datasets.concatenate_datasets([train, test.select(np.flatnonzero(held_out))])


def _groups(rows: datasets.Dataset, image_column: str) -> Iterator[str]:
    """The group of each row."""
    if "group" in rows.column_names:
        return map(str, rows["group"])
    pictures = tqdm(rows[image_column], desc="hashing covers", unit=" covers", disable=len(rows) < 2_000)
    return (group_of({image_column: picture}, image_column) for picture in pictures)


def _labels(rows: datasets.Dataset, image_column: str, label_column: str, resolution: int):
    """The classes, "unknown" first, and the number of the class of each cover that could be decoded."""
    if label_column == "auto":
        label_column = next((name for name in LABEL_COLUMNS if name in rows.column_names), None)
    if label_column not in rows.column_names:
        raise ValueError(f"label_column must be one of {', '.join(rows.column_names)}; got {label_column!r}")
    feature, values = rows.features[label_column], rows[label_column]
    if isinstance(feature, datasets.ClassLabel):
        values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
    values = [None if value is None or value == "" else str(value) for value in values]
    classes = ["unknown", *sorted({value for value in values if value not in (None, "unknown")})]
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(value, 0) for value in values], np.int64)
    readable = pixel_path(rows, image_column, resolution).with_suffix(".rows.npy")
    return classes, labels[np.load(readable)] if readable.exists() else labels
