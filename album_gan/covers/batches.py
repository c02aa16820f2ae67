"""Batches of covers for training: sampling, and the workers that load them."""

import signal
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from .dataset import Batch, Covers
from .streaming import Stream


class StepSampler(Sampler[list[int]]):
    """One process's rows of successive batches; each epoch is one pass over the covers; stateless.

    Batch k does not depend on interruptions of the run or on the number of processes.
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
            positions = range(batch * self.batch_size, (batch + 1) * self.batch_size)
            indices = [int(self._permutation(position // self.count)[position % self.count]) for position in positions]
            for rows in self.rows:
                yield indices[rows]

    def __len__(self) -> int:
        return (self.last - self.first) * len(self.rows)


SHARE_OF_MEMORY = 0.25  # maximum fraction of a GPU's free memory, before training, for covers


def batches(
    covers: Covers,
    sampler: StepSampler,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | None = None,
) -> Iterator[Batch]:
    """Batches of (pixels, labels): on the GPU if all covers fit into its memory, else in pinned memory.

    Pixels are uint8 (B, H, W, 3), labels int64 (B,) or None. A stream is endless, in an order that depends on its first
    step; process `rank` of `world_size` reads its own shards.
    """
    if device is not None and fits_on(device, covers):
        return resident_batches(covers, sampler, device)
    options: dict[str, Any] = {
        "pin_memory": torch.cuda.is_available(),
        "generator": torch.Generator(),  # not the global one
        "worker_init_fn": leave_stopping_to_the_training_process,
    }
    if covers.stream is not None:
        rows = sampler.rows[0]
        # One seed for all processes: `datasets` shuffles the shards, then distributes them.
        seed = [sampler.seed, sampler.first]
        stream = Stream(covers.stream, covers.image_column, covers.resolution, rows.stop - rows.start, seed)
        stream.split_by_process(rank, world_size)
        workers = min(workers, stream.num_shards)
        return iter(DataLoader(stream, batch_size=None, num_workers=workers, **options))
    return iter(DataLoader(covers, batch_sampler=sampler, num_workers=workers, collate_fn=unchanged, **options))


def fits_on(device: torch.device, covers: Covers) -> bool:
    """Whether `device` is a GPU with enough free memory for all covers."""
    if device.type != "cuda" or covers.stream is not None or covers.pixels is None:
        return False
    return covers.pixels.nbytes < SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


def resident_batches(covers: Covers, sampler: StepSampler, device: torch.device) -> Iterator[Batch]:
    """The batches of a data loader, from pixels stored on `device`: only indices are copied for each batch."""
    pixels = torch.from_numpy(np.array(covers.all_pixels())).to(device)
    labels = None if covers.labels is None else covers.labels.to(device)
    for rows in sampler:
        index = torch.tensor(rows)
        index = (index.pin_memory() if device.type == "cuda" else index).to(device, non_blocking=True)
        yield pixels.index_select(0, index), None if labels is None else labels.index_select(0, index)


def unchanged(batch: Any) -> Any:
    """`Covers` already returns batches. A named function, so that it can be pickled for spawned workers."""
    return batch


def leave_stopping_to_the_training_process(_worker: int) -> None:
    """Ignore Ctrl-C and the like in workers: the training process handles them, and needs its workers until it stops.

    A terminal sends SIGINT and SIGHUP, and a scheduler SIGTERM, to every process of the group. Workers exit when the
    training process has exited; if that was while it took a batch, there is nothing more to report.
    """
    sys.excepthook = report_unless_disconnected  # multiprocessing calls it in the thread that hands over batches
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def report_unless_disconnected(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
    """An excepthook that is silent when the process at the other end of a connection is gone."""
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
