"""Distributed training: process setup, collectives, and a common decision to stop."""

import functools
import hashlib
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, parse_flag_from_env
from torch import Tensor, nn

from .. import runtime
from .config import TrainingConfig

Result = TypeVar("Result")
Value = TypeVar("Value")
Parameters = ParamSpec("Parameters")


def process_label() -> str:
    """Suffix that names this process in error messages; empty for a single process."""
    return f" (process {os.environ.get('RANK', 0)})" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else ""


def is_first_process() -> bool:
    """Whether this is the first process of all machines; works before the process group is set up."""
    return os.environ.get("RANK", "0") == "0"


def precision_name(accelerator: Accelerator) -> str:
    """The compute precision: "fp32" where accelerate says "no"."""
    return {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)


def start_processes(config: TrainingConfig) -> Accelerator:
    """Join the other processes of this training, and choose device and precision."""
    device = runtime.choose_device(config.device)
    if parse_flag_from_env("ACCELERATE_USE_CPU"):  # set by `accelerate launch --cpu`
        device = "cpu"
    bf16 = config.mixed_precision == "bf16" or (config.mixed_precision == "auto" and runtime.fast_in_bfloat16(device))
    accelerator = Accelerator(
        cpu=config.device == "cpu",
        mixed_precision="bf16" if bf16 else "no",
        log_with=None if config.report_to == "none" else config.report_to,
        project_dir=config.output_dir,
    )
    runtime.use_all_cores(accelerator.num_processes)
    runtime.choose_kernels(config.deterministic)
    return accelerator


class LostProcessError(ConnectionError):
    """Another process of this training has ended, so this one cannot continue."""


def collective(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn the backend's error, when another process is gone, into a one-line explanation."""

    @functools.wraps(function)
    def explained(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except torch.OutOfMemoryError:  # a RuntimeError too, but this process's own
            raise
        except RuntimeError as error:  # gloo's, NCCL's
            raise LostProcessError(
                "another training process has exited; see its output for the reason; "
                "--resume_from_checkpoint latest resumes from the last checkpoint"
            ) from error

    return explained


@collective
def broadcast_weights(accelerator: Accelerator, network: nn.Module) -> None:
    """Copy the first process's weights to all others."""
    if accelerator.num_processes > 1:
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.copy_(broadcast(tensor.detach().contiguous()))


@collective
def average_buffers(accelerator: Accelerator, module: nn.Module, names: tuple[str, ...]) -> None:
    """Average buffers over processes, such as BEGAN's balance, which each measures on its own images."""
    if accelerator.num_processes > 1:
        for name in names:
            buffer = module.get_buffer(name)
            torch.distributed.all_reduce(buffer)
            buffer /= accelerator.num_processes


@collective
def gather(accelerator: Accelerator, rows: Tensor) -> Tensor:
    """(B, ...) of each process -> (processes * B, ...) on all of them; without gradients."""
    return accelerator.gather(rows)


def check_same_weights(accelerator: Accelerator, *modules: nn.Module) -> None:
    """Raise RuntimeError unless all processes have the same weights and buffers, bit for bit.

    Only BatchNorm statistics may differ: each process has its own.
    """
    if accelerator.num_processes > 1:
        digest = hashlib.sha256()
        for module in (part for one in modules for part in one.modules()):
            buffers = () if isinstance(module, nn.modules.batchnorm._BatchNorm) else module.buffers(recurse=False)
            for tensor in (*module.parameters(recurse=False), *buffers):
                digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy())
        mine = torch.tensor([int.from_bytes(digest.digest()[:7], "little")], device=accelerator.device)
        if len(set(gather(accelerator, mine).tolist())) > 1:
            raise RuntimeError(
                "the processes' weights have drifted apart; check that they run the same code on identical machines"
            )


@collective
def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether `flag` is set on any process. All must stop together, or the others hang."""
    if accelerator.num_processes == 1:
        return flag
    flags = torch.tensor([flag], dtype=torch.int, device=accelerator.device)
    torch.distributed.all_reduce(flags)
    return flags.item() > 0


@collective
def of_first_process(value: Value) -> Value:
    """The first process's value, of any kind that can be pickled, on all of them."""
    return broadcast_object_list([value])[0]


def rows_of_process(accelerator: Accelerator, batch_size: int, parts: int) -> list[slice]:
    """This process's rows of the global batch, one slice per backward pass (`parts`)."""
    first = accelerator.process_index * parts
    return [slice(part * batch_size, (part + 1) * batch_size) for part in range(first, first + parts)]


class StopTogether:
    """Agrees with the other processes on the last step.

    Each process's vote is summed while a step's gradients are, and read one step later, so no step waits for the
    device. A single process stops after the current step.
    """

    def __init__(self, accelerator: Accelerator):
        self.processes, self.device = accelerator.num_processes, accelerator.device
        self._sums: list[tuple[Tensor, Any]] = []

    def vote(self, stop: object) -> Tensor:
        """This process's vote, to be summed over processes, (1,)."""
        return torch.full((1,), float(bool(stop)), device=self.device)

    def note(self, summed: Tensor) -> None:
        """Record the sum of this step's votes."""
        if self.processes == 1:
            return
        event = None
        if self.device.type == "cuda":
            summed = torch.empty(1, pin_memory=True).copy_(summed, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._sums.append((summed, event))

    def agreed(self, stop: object) -> bool:
        """Whether the run ends here; the same on all processes."""
        if self.processes == 1:
            return bool(stop)
        if len(self._sums) < 2:
            return False
        summed, event = self._sums.pop(0)
        if event is not None:
            event.synchronize()
        return summed.item() > 0
