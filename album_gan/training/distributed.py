"""What several training processes do together: same weights, averaged gradients, one decision to stop."""

import hashlib

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn


def broadcast_weights(accelerator: Accelerator, network: nn.Module) -> None:
    """Every process starts from the first one's weights."""
    if accelerator.num_processes > 1:
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.copy_(broadcast(tensor.detach().contiguous()))


def average_gradients(accelerator: Accelerator, *networks: nn.Module) -> None:
    """One flat all-reduce; DistributedDataParallel breaks on several forwards and frozen discriminators."""
    if accelerator.num_processes > 1:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= accelerator.num_processes
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def average_buffers(accelerator: Accelerator, module: nn.Module) -> None:
    """Every process gets the mean of all: what each measured on its own images, such as BEGAN's balance."""
    if accelerator.num_processes > 1:
        for buffer in module.buffers():
            if buffer.is_floating_point():
                torch.distributed.all_reduce(buffer)
                buffer /= accelerator.num_processes


def check_same_weights(accelerator: Accelerator, *networks: nn.Module) -> None:
    """RuntimeError unless all processes hold the same weights, bit for bit: a run that drifts apart learns nothing."""
    if accelerator.num_processes > 1:
        digest = hashlib.sha256()
        for network in networks:
            for parameter in network.parameters():
                digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        mine = torch.tensor([int.from_bytes(digest.digest()[:7], "little")], device=accelerator.device)
        if len(set(accelerator.gather(mine).tolist())) > 1:
            raise RuntimeError(
                "the processes' weights have drifted apart; do they run the same code on equal machines?"
            )


def stopped(mine: bool, accelerator: Accelerator) -> bool:
    """Whether any process must stop; all must agree, or the others wait for ever."""
    if accelerator.num_processes == 1:
        return mine
    flag = torch.tensor([mine], dtype=torch.int, device=accelerator.device)
    torch.distributed.all_reduce(flag)
    return flag.item() > 0


def rows_of_process(accelerator: Accelerator, batch_size: int, parts: int) -> list[slice]:
    """The rows of the global batch that this process takes, one slice for each of its `parts` backward passes."""
    first = accelerator.process_index * parts
    return [slice(part * batch_size, (part + 1) * batch_size) for part in range(first, first + parts)]
