"""Batch normalisation: batch statistics compared with running averages, and the effect of the mode on pictures.

In training mode a layer normalises with the batch's mean and standard deviation, so a cover depends on the rest of its
batch. In evaluation mode it uses running averages, and a cover depends only on its seed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def norms_of(network: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """The network's BatchNorm layers, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise with batch statistics in all layers; running averages do not change."""
    norms: dict[str, Any] = dict(norms_of(network))
    before = {name: (norm.training, norm.momentum) for name, norm in norms.items()}
    for norm in norms.values():
        norm.momentum = 0.0
        norm.train()
    counts = {name: norm.num_batches_tracked.clone() for name, norm in norms.items()}
    try:
        yield
    finally:
        for name, norm in norms.items():
            norm.train(before[name][0])
            norm.momentum = before[name][1]
            norm.num_batches_tracked.copy_(counts[name])


@torch.no_grad()
def pictures(network: nn.Module, inputs: tuple[Tensor, ...], training: bool) -> Tensor:
    """Images (B, 3, R, R) from what `Pair.inputs` returns, in training or evaluation mode."""
    if not training:
        return network(*inputs)
    with batch_statistics(network):
        return network(*inputs)


@torch.no_grad()
def statistics(network: nn.Module, inputs: tuple[Tensor, ...], layer: str) -> dict[str, Any]:
    """Mean and standard deviation of each input channel of a layer.

    Of this batch in training mode, and running averages. `inputs` as in `pictures`. Raises ValueError for an unknown
    layer.
    """
    norms = norms_of(network)
    if layer not in norms:
        raise ValueError(f"layer must be one of {', '.join(norms)}, got {layer[:60]!r}")
    given: list[Tensor] = []
    hook = norms[layer].register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    try:
        with batch_statistics(network):
            network(*inputs)
    finally:
        hook.remove()
    norm = norms[layer]
    assert norm.running_mean is not None  # all of our networks keep them
    assert norm.running_var is not None
    return {
        "layer": layer, "channels": norm.num_features,
        "batch_mean": _rounded(given[0].mean((0, 2, 3))), "running_mean": _rounded(norm.running_mean),
        "batch_spread": _rounded(given[0].std((0, 2, 3), unbiased=False)),
        "running_spread": _rounded(norm.running_var.sqrt()),
    }  # fmt: skip


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]
