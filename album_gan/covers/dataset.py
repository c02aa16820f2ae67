"""Loading a data set of covers for training: its source, the held-out split, pixels and labels.

Pictures are decoded once, into a file of raw pixels; if the disk has no room for it, the data loader's workers decode
them each time; data sets too large for the disk are streamed.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from . import folders, synthetic
from .columns import find_image_column, value_text
from .decoding import decode, read_bytes
from .labels import class_names, class_numbers, counts_by_name, find_label_column, warn_of_spellings
from .pixel_cache import PixelFile, decoded_pixels
from .split import HELD_OUT_SHARE, held_out_rows
from .streaming import decoded_beginning

logger = logging.getLogger(__name__)

Batch = tuple[Tensor, Tensor | None]  # pixels uint8 (B, R, R, 3); labels int64 (B,), None without a label column
UNREADABLE_IN_A_ROW = 100


@dataclass(frozen=True, kw_only=True)
class CoverSource:
    """Where covers are, and how to read them."""

    dataset_name: str | None = None  # Hub id, a builder of `datasets` such as parquet, or synthetic
    train_data_dir: str | None = None  # folder of pictures, parquet files or tars
    data_files: str | None = None  # files for the builder
    image_column: str | None = None  # None: detect it
    label_column: str | None = None  # None: no labels; auto: the usual names
    mixture_column: str | None = None  # its values become mixtures of the labels; several, separated by commas
    streaming: bool = False
    resolution: int = 128


class Covers(torch.utils.data.Dataset):
    """Square covers as uint8 (resolution, resolution, 3) with their labels; unreadable pictures are skipped.

    Decoded at first access. Data loader workers get the name of the pixel file, not a copy of it.
    """

    def __init__(
        self,
        rows: Any,  # a datasets.Dataset; None if `pixels` are given
        image_column: str,
        resolution: int,
        labels: np.ndarray | None = None,
        classes: tuple[str, ...] = (),
        mixed: Sequence[Sequence[str]] = (),
        pixels: np.ndarray | None = None,
        stream: datasets.IterableDataset | None = None,
        may_be_empty: bool = False,  # whether it is no error if none is readable
    ):
        self.rows = rows
        self.image_column = image_column
        self.resolution = resolution
        self.classes = classes  # label n is classes[n], 0 is "unknown"; empty without labels
        self._labels = labels
        self._mixed = mixed  # each row's value, for each mixture column
        self._pixels = pixels
        self.may_be_empty = may_be_empty
        self.stream = stream  # of which these covers are the beginning

    @cached_property
    def decoded(self) -> PixelFile | None:
        """All readable covers in a file; None for a stream, for no covers, and if the disk has no room."""
        return self.cache()

    def cache(self, workers: int = 0) -> PixelFile | None:
        """As `decoded`; covers that are not cached on this machine yet are decoded in `workers` processes."""
        if not self.rows:
            return None
        return decoded_pixels(self.rows, self.image_column, self.resolution, workers, self.may_be_empty)

    @property
    def pixels(self) -> np.ndarray | None:
        """(N, resolution, resolution, 3) uint8 in memory or in a file; None if covers are decoded each time."""
        if self._pixels is None and self.decoded is not None:
            return self.decoded.array
        return self._pixels

    @cached_property
    def labels(self) -> Tensor | None:
        """Labels of the readable covers, (N,) int64; None without a label column."""
        return None if self._labels is None else torch.from_numpy(self._readable(self._labels))

    @cached_property
    def mixtures(self) -> dict[str, list[int]] | None:
        """Number of covers per label, 0 for no class, for each value of the mixture columns; None without any.

        Raises ValueError for a name that two columns have.
        """
        if self.labels is None or not self._mixed:
            return None
        columns = [self._readable(np.array(names)) for names in self._mixed]
        return counts_by_name(columns, self.labels.numpy(), self.classes)

    def _readable(self, values: np.ndarray) -> np.ndarray:
        readable = None if self.decoded is None else self.decoded.readable
        return values if readable is None else values[readable]

    def __len__(self) -> int:
        return len(self.rows) if self.pixels is None else len(self.pixels)

    @property
    def count(self) -> int | None:
        """Number of covers in the data set; None for a stream, of which only the beginning is known."""
        return len(self) if self.stream is None else None

    def __str__(self) -> str:
        return "a stream of covers" if self.count is None else f"{self.count:,} covers"

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        if state.get("decoded") is not None:
            state["rows"] = None  # not needed any more
        return state

    def __getitems__(self, indices: list[int]) -> Batch:
        pixels, rows = self._read(indices)
        return torch.from_numpy(pixels), None if self.labels is None else self.labels[rows]

    def pixels_of(self, indices: list[int]) -> np.ndarray:
        """(B, resolution, resolution, 3) uint8"""
        return self._read(indices)[0]

    def all_pixels(self) -> np.ndarray:
        """(N, resolution, resolution, 3) uint8, in memory or in a file."""
        return self.pixels if self.pixels is not None else self.pixels_of(list(range(len(self))))

    def _read(self, indices: list[int]) -> tuple[np.ndarray, list[int]]:
        """Pixels (B, resolution, resolution, 3), and the rows that they are of."""
        if self.pixels is not None:
            return self.pixels[indices], indices
        encoded = self.rows[self.image_column][indices]  # whole rows would decode pictures and sounds in other columns
        decoded = [self._decode(index, row) for index, row in zip(indices, encoded, strict=True)]
        return np.stack([pixels for pixels, _ in decoded]), [row for _, row in decoded]

    def _decode(self, index: int, row: dict) -> tuple[np.ndarray, int]:
        """The pixels of a row, or of the next readable one, and its number."""
        for _ in range(UNREADABLE_IN_A_ROW):
            try:
                return decode(read_bytes(row), self.resolution), index
            except ValueError as error:
                logger.warning("cover %d skipped, %s", index, error)
                index = (index + 1) % len(self.rows)
                row = self.rows[self.image_column][index]
        raise ValueError(
            f"{self.image_column} must hold pictures, got {UNREADABLE_IN_A_ROW} consecutive unreadable rows, "
            f"the last is {(index - 1) % len(self.rows)}; name another column"
        )


@dataclass(frozen=True)
class Split:
    """The covers to train on, and those that training never sees."""

    train: Covers
    held_out: Covers  # may be empty


def load_covers(source: CoverSource) -> Split:
    """Find the covers of `source` and split them. Nothing is decoded yet, except the start of a stream.

    Raises ValueError for a source without covers, or two sources, for a missing column, for labels that are all gaps,
    and for labels of a stream.
    """
    if source.train_data_dir and source.dataset_name:
        raise ValueError(
            f"dataset_name and train_data_dir both say where the covers are, got {source.dataset_name!r} and "
            f"{source.train_data_dir!r}; leave one out"
        )
    if source.data_files and not source.dataset_name:
        raise ValueError("data_files requires dataset_name, which is missing; add it, or leave data_files out")
    if source.streaming:
        return _load_stream(source)
    rows = _rows(source)
    image_column = _find_image_column(rows.features, source.image_column)
    rows = rows.cast_column(image_column, datasets.Image(decode=False))
    held_out = held_out_rows(rows, image_column)
    if held_out.all():
        raise ValueError(f"the data must hold more covers than the held-out share, got {len(rows)}; add some")
    if "group" in rows.column_names:
        _warn_of_a_large_group(np.array(rows["group"], object)[held_out], len(rows))
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    if source.label_column is not None:
        column = find_label_column(rows.column_names, source.label_column)
        training = rows.select_columns(column).select(np.flatnonzero(~held_out))
        labels, classes = class_numbers(training[column], rows.features[column])
        if len(classes) == 1:
            raise ValueError(
                f"label_column must hold names, but {column!r} holds none; choose another, or leave it out "
                "(a build takes folders' names as genres with --folder-genre)"
            )
        warn_of_spellings(labels, classes)
    mixed = []
    for name in source.mixture_column.split(",") if source.mixture_column else ():
        column = find_label_column(rows.column_names, name.strip(), "mixture_column")
        training = rows.select_columns(column).select(np.flatnonzero(~held_out))
        mixed.append(class_names(training[column], rows.features[column]))
    return Split(
        Covers(rows.select(np.flatnonzero(~held_out)), image_column, source.resolution, labels, classes, mixed),
        Covers(rows.select(np.flatnonzero(held_out)), image_column, source.resolution, may_be_empty=True),
    )


def _warn_of_a_large_group(held_out: np.ndarray, covers: int) -> None:
    """Warn if one group among those `held_out`, (N,), takes as many of all `covers` as are usually held out in all."""
    grouped = Counter(group for group in held_out.tolist() if value_text(group) is not None)
    for group, size in grouped.most_common(1):
        if size > HELD_OUT_SHARE * covers:
            logger.warning(
                "%d of %d covers are held out, %d of them because they share the group %r; "
                "to train on some of them, give them different values in the column group",
                len(held_out), covers, size, group,
            )  # fmt: skip


def _find_image_column(features: datasets.Features, name: str | None) -> str:
    """The column of pictures, as for a build; audio and video, which are stored alike, do not count."""
    others = (datasets.Audio, datasets.Video)
    pictures = {column: feature for column, feature in features.items() if not isinstance(feature, others)}
    return find_image_column(datasets.Features(pictures).arrow_schema, name)


def _rows(source: CoverSource) -> datasets.Dataset:
    """All rows, training and held-out."""
    if source.dataset_name == "synthetic":
        features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
        return datasets.Dataset.from_generator(synthetic.rows, features=features)
    if source.train_data_dir:
        files = folders.find_covers(Path(source.train_data_dir), source.image_column)
        if files.builder:
            return _with_held_out(_load(source, files.builder, files.patterns()), source.image_column)
        return datasets.Dataset.from_dict(files.table()).cast_column("image", datasets.Image())
    if not source.dataset_name:
        raise ValueError("dataset_name or train_data_dir must say where the covers are; try --dataset_name synthetic")
    return _with_held_out(_load(source, source.dataset_name, source.data_files), source.image_column)


def _load(
    source: CoverSource, name: str, data_files: str | list[str] | dict[str, list[str]] | None
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """The splits of `source` by the builder or of the data set `name`, one of which is called train."""
    try:
        splits = datasets.load_dataset(name, data_files=data_files, streaming=source.streaming)
        if "train" not in splits:
            raise ValueError(f"it has no split called train, only {', '.join(map(str, splits))}")
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:  # RuntimeError: scripts
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{_named(source)} does not load: {reason}{_way_out(source, reason)}") from error
    return splits


def _named(source: CoverSource) -> str:
    """What was given as the place of the covers, for messages."""
    if source.train_data_dir:
        return f"train_data_dir {source.train_data_dir!r}"
    files = f" with data_files {source.data_files[:200]!r}" if source.data_files else ""
    return f"dataset_name {source.dataset_name!r}{files}"


def _way_out(source: CoverSource, reason: str) -> str:
    """Ends the message about a dataset_name that does not load for this reason."""
    name = source.dataset_name or ""
    if not name or source.data_files or Path(name).is_dir():
        return ""
    if name.count("/") != 1:
        return f"; nor is there a folder {name!r} here; data sets on the Hub are called OWNER/NAME"
    if "Config name" in reason or "scripts" in reason:
        files = f"hf://datasets/{name}/CONFIG/*.parquet"
        return f"; name the parquet files of one configuration: --dataset_name parquet --data_files '{files}'"
    return ""


def _with_held_out(splits: datasets.DatasetDict, image_column: str | None) -> datasets.Dataset:
    """All rows, including the covers that `album-gan covers build` put into a test split."""
    train, test = splits["train"], splits.get("test")
    if test is None or "group" not in test.column_names or test.features != train.features:
        return train
    image_column = _find_image_column(test.features, image_column)
    held_out = held_out_rows(test.cast_column(image_column, datasets.Image(decode=False)), image_column)
    return datasets.concatenate_datasets([train, test.select(np.flatnonzero(held_out))])


def _encoded(rows: datasets.IterableDataset, image_column: str) -> datasets.IterableDataset:
    """Rows of encoded pictures and groups, without other columns, which would be decoded."""
    columns = [name for name in (image_column, "group") if name in rows.features]
    return rows.select_columns(columns).cast_column(image_column, datasets.Image(decode=False))


def _load_stream(source: CoverSource) -> Split:
    if source.label_column is not None:
        raise ValueError("label_column must be left out with streaming, which cannot know all classes beforehand")
    name: str | None = source.dataset_name
    data_files: str | dict[str, list[str]] | None = source.data_files
    if source.train_data_dir:
        files = folders.find_covers(Path(source.train_data_dir), source.image_column)
        name, data_files = files.builder, files.patterns_by_split()
    if not name or name == "synthetic":
        given = f"{_named(source)}, a folder of pictures" if source.train_data_dir else _named(source)
        raise ValueError(
            "streaming needs a dataset_name on the Hub, or a train_data_dir with parquet files or tars, "
            f"got {given}; leave streaming out for anything else"
        )
    splits = _load(source, name, data_files)
    train, test = splits["train"], splits.get("test")
    if train.features is None:
        train = train._resolve_features()  # reads the first rows
    image_column = _find_image_column(train.features, source.image_column)
    train = _encoded(train, image_column)
    test = train if test is None or "group" not in (test.features or {}) else _encoded(test, image_column)
    pixels, held_out = (
        decoded_beginning(rows, image_column, source.resolution, held_out)
        for rows, held_out in ((train, False), (test, True))
    )
    if not len(pixels):
        raise ValueError(
            "the data must hold readable covers to train on, got none at the start of the stream; check the data set"
        )
    logger.warning(
        "streaming: covers are shuffled as they come, and a resumed run sees them in another order; "
        "everything else resumes exactly"
    )
    return Split(
        Covers(None, image_column, source.resolution, pixels=pixels, stream=train),
        Covers(None, image_column, source.resolution, pixels=held_out),
    )
