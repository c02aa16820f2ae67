"""Streaming covers of data sets too large for the disk.

`datasets` shuffles them in a buffer, which cannot be saved: a resumed run sees them in a different order.
"""

import itertools
import logging
from collections.abc import Iterator

import datasets
import datasets.distributed
import numpy as np
import torch

from .decoding import decode, read_bytes
from .split import group_of, is_held_out

logger = logging.getLogger(__name__)

BUFFER = 2_048  # encoded covers in a worker's shuffle buffer, about 40 MB
BEGINNING = 1_024  # covers decoded at the start, to compare samples with
SEARCHED = 16 * BEGINNING  # maximum number of rows searched for them


class Stream(torch.utils.data.IterableDataset):
    """Endless batches, uint8 (B, resolution, resolution, 3) and no labels, without the held-out covers.

    `seed` determines their order.
    """

    def __init__(
        self, rows: datasets.IterableDataset, image_column: str, resolution: int, batch_size: int, seed: list[int]
    ):
        self.rows = rows
        self.image_column = image_column
        self.resolution = resolution
        self.batch_size = batch_size
        self.seed = seed

    def split_by_process(self, rank: int, world_size: int) -> None:
        """Read only process `rank`'s part: its shards, or every n-th row if shards cannot be divided evenly."""
        self.rows = datasets.distributed.split_dataset_by_node(self.rows, rank, world_size)

    @property
    def num_shards(self) -> int:
        """Files that this process reads; more workers than these have nothing to do."""
        return self.rows.num_shards

    def __iter__(self) -> Iterator[tuple[torch.Tensor, None]]:
        gathered: list[np.ndarray] = []
        for epoch in itertools.count():
            seed = int(np.random.SeedSequence([*self.seed, epoch]).generate_state(1)[0])
            # One shard at a time, in random order: reading several at once takes threads in `datasets` that cost five
            # seconds at the end of each epoch. Shards of `album-gan covers build` are already shuffled.
            shuffled = self.rows.shuffle(seed, buffer_size=BUFFER, max_buffer_input_shards=1)
            found = False
            for pixels in _decoded(shuffled, self.image_column, self.resolution, held_out=False):
                found = True
                gathered.append(pixels)
                if len(gathered) == self.batch_size:
                    yield torch.from_numpy(np.stack(gathered)), None
                    gathered = []
            if not found:
                raise ValueError("the stream must hold readable covers to train on, got none; check the data set")


def decoded_beginning(rows: datasets.IterableDataset, image_column: str, resolution: int, held_out: bool) -> np.ndarray:
    """The first covers of a stream, held out or to train on: uint8 (N, resolution, resolution, 3), up to BEGINNING."""
    decoded = _decoded(rows.take(SEARCHED), image_column, resolution, held_out)
    found = list(itertools.islice(decoded, BEGINNING))
    return np.stack(found) if found else np.empty((0, resolution, resolution, 3), np.uint8)


def _decoded(
    rows: datasets.IterableDataset, image_column: str, resolution: int, held_out: bool
) -> Iterator[np.ndarray]:
    for row in rows:
        if is_held_out(group_of(row, image_column)) == held_out:
            try:
                yield decode(read_bytes(row[image_column]), resolution)
            except ValueError as error:
                logger.warning("a cover skipped, %s", error)
