"""Mean loss terms between log lines, without waiting for the device at every step."""

from collections.abc import Mapping

import torch
from torch import Tensor


class TermMeans:
    """Sums on the device, read only when a log line is due.

    A term is averaged over the steps that have it: `projected` compares whole covers only in every other step. One NaN
    makes the mean NaN.
    """

    def __init__(self, sums: Mapping[str, tuple[float, int]] | None = None):
        self._sums: dict[str, tuple[Tensor, int]] = {}
        for name, (total, count) in (sums or {}).items():
            self._sums[name] = torch.tensor(total, dtype=torch.float32), count

    @torch.no_grad()
    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add the terms of one step, which are scalars."""
        for name, term in terms.items():
            total, count = self._sums.get(name, (0.0, 0))
            total = total.to(term.device) if isinstance(total, Tensor) else total
            self._sums[name] = total + term.detach().float(), count + 1

    def sums(self) -> dict[str, tuple[float, int]]:
        """{name: (sum, count)} for a checkpoint; waits for the device."""
        return {name: (float(total), count) for name, (total, count) in self._sums.items()}

    def read(self) -> dict[str, float]:
        """The means so far; then reset. Waits for the device."""
        means = {name: total / count for name, (total, count) in self.sums().items()}
        self._sums = {}
        return means
