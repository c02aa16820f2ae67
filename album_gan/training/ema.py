"""Exponential moving average (EMA) of weights, and its BatchNorm statistics."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, images: int, half_life: float) -> None:
    """Update the EMA `average` with the parameters of `network`, after `images` more images.

    `half_life` is in images; 0 copies. Buffers are copied, so that e.g. a network's growth does not lag behind.
    BatchNorm's do not fit averaged weights: see `reestimate_batch_norm`.
    """
    weight = 1 - 0.5 ** (images / max(half_life, 1e-8))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


@torch.no_grad()
def reestimate_batch_norm(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Recompute the BatchNorm statistics of `network` over `batches` of its inputs; leaves it in eval mode.

    Uses the cumulative mean over the batches. Averaged weights need this: with the running statistics of the weights
    before averaging, covers look washed out (a third of the KID in our measurements).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative
        norm.train()
    if norms:
        for batch in batches:
            network(*batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def round_to_half(network: nn.Module) -> None:
    """Round parameters and buffers to fp16 values, so that fp16 and fp32 files draw the same covers."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
