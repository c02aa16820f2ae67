"""fp32 that is fp32. Published with the weights, beside pipeline.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute without autocast, and on NVIDIA's cards without TF32, to which cuDNN rounds convolutions by default.

    A cover must not depend on the mode that its caller happens to be in, nor on the kind of card.
    """
    switches = _tf32_switches()
    before = [getattr(part, name) for part, name, _ in switches]
    try:
        for part, name, off in switches:
            setattr(part, name, off)
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for (part, name, _), value in zip(switches, before, strict=True):
            setattr(part, name, value)


def _tf32_switches() -> list[tuple[Any, str, Any]]:
    """(where, name, value that switches TF32 off), under the older names unless somebody has used the newer ones.

    The older ones cannot be read then: they raise RuntimeError.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        _ = cudnn.allow_tf32, matmul.allow_tf32
        return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
    except RuntimeError:
        return [(part, "fp32_precision", "ieee") for part in (cudnn.conv, cudnn.rnn, matmul)]  # type: ignore[attr-defined]
