"""Averaging gradients over processes, overlapped with the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .distributed import collective

BUCKET_BYTES = 8 << 20  # large enough to use the bandwidth, small enough that the last one is short


class GradientAverage:
    """Averages the gradients of the trainable parameters of `networks`, in buckets, each sent once it is complete.

    DistributedDataParallel cannot handle several forward passes and a frozen discriminator. Does nothing with a single
    process.
    """

    def __init__(self, accelerator: Accelerator, *networks: nn.Module):
        self.processes, self.device = accelerator.num_processes, accelerator.device
        self._buckets: list[list[nn.Parameter]] = [[]]
        self._overlapping = False
        if self.processes > 1:
            self._fill_buckets(networks)

    def _fill_buckets(self, networks: tuple[nn.Module, ...]) -> None:
        """Last layers first, the order in which gradients are computed."""
        parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
        room = BUCKET_BYTES
        self._bucket_of: dict[nn.Parameter, int] = {}
        for parameter in reversed(parameters):
            if room < parameter.nbytes and self._buckets[-1]:
                self._buckets.append([])
                room = BUCKET_BYTES
            room -= parameter.nbytes
            self._buckets[-1].append(parameter)
            self._bucket_of[parameter] = len(self._buckets) - 1
            parameter.register_post_accumulate_grad_hook(self._arrived)

    @contextmanager
    def overlapping(self) -> Iterator[None]:
        """Context for the last backward pass of an update, whose gradients are final."""
        self._overlapping = True
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[list[nn.Parameter], Tensor, torch.distributed.Work]] = []
        try:
            yield
        finally:
            self._overlapping = False

    def _arrived(self, parameter: nn.Parameter) -> None:
        if self._overlapping:
            self._missing[self._bucket_of[parameter]] -= 1
            # In the same order on all processes, whatever the order of the gradients.
            while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
                self._send(self._buckets[len(self._sent)])

    @collective
    def _send(self, parameters: list[nn.Parameter]) -> None:
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None] or [self._nothing()])
        self._sent.append((parameters, flat, torch.distributed.all_reduce(flat, async_op=True)))

    def _nothing(self) -> Tensor:
        return torch.zeros(0, device=self.device)

    @collective
    def finish(self, beside: Tensor | None = None) -> None:
        """Wait for the averages, and write them to the gradients. `beside`, a vector, is summed over the processes."""
        if self.processes == 1:
            return
        for bucket in self._buckets[len(self._sent) :]:  # buckets not used in full by this backward pass
            self._send(bucket)
        work = None if beside is None else torch.distributed.all_reduce(beside, async_op=True)
        for parameters, flat, sent in self._sent:
            sent.wait()
            flat /= self.processes
            with_gradient = [p for p in parameters if p.grad is not None]
            for parameter, part in zip(with_gradient, flat.split([p.numel() for p in with_gradient]), strict=True):
                assert parameter.grad is not None  # as selected
                parameter.grad.copy_(part.view_as(parameter))
        if work is not None:
            work.wait()


def own_rows(rows: Tensor, process: int, processes: int) -> Tensor:
    """(B, D) of this process, padded with zeros to (processes * B, D): summed over processes, the rows of all."""
    if processes == 1:
        return rows
    apart = rows.new_zeros(processes, *rows.shape)
    apart[process] = rows
    return apart.flatten(0, 1)
