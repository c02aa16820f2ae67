"""Random draws with names, so that a run can be resumed, split among processes, and repeated exactly.

Every draw is keyed by (seed, step, name) and made on the CPU for the whole batch of all processes; each process
or microbatch then takes its rows. What is drawn depends neither on what was drawn before nor on who draws it.
"""

import hashlib

import torch
from torch import Tensor


def named_generator(*key: int | str) -> torch.Generator:
    """A CPU generator that depends on `key` alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Draw:
    """The draws of one step for the rows that this process holds of a batch of `batch_size` images.

    `turn` tells the updates within one step apart. All methods return tensors of len(rows) on `device`.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        rows: slice | None = None,
        device: torch.device | str = "cpu",
        turn: str = "",
    ):
        self.seed = seed
        self.step = step
        self.batch_size = batch_size
        self.rows = rows or slice(0, batch_size)
        self.device = device
        self.turn = turn

    def _generator(self, name: str) -> torch.Generator:
        return named_generator(self.seed, self.step, self.turn, name)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal, (rows, *shape)."""
        drawn = torch.randn(self.batch_size, *shape, generator=self._generator(name))
        return drawn[self.rows].to(self.device)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform in [0, 1), (rows, *shape)."""
        drawn = torch.rand(self.batch_size, *shape, generator=self._generator(name))
        return drawn[self.rows].to(self.device)

    def integers(self, name: str, low: int, high: int) -> Tensor:
        """Integers from low to high - 1, (rows,)."""
        drawn = torch.randint(low, high, (self.batch_size,), generator=self._generator(name))
        return drawn[self.rows].to(self.device)
