"""True fp32. Published with the weights, next to pipeline.py."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()  # guards the two below: TF32 is switched for all threads of the process
_users = 0  # inside `full_precision` now
_before: list[tuple[Any, str, Any]] = []  # switches (where, name, value) as the first user found them


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute without autocast, and on NVIDIA's GPUs without TF32, to which cuDNN rounds convolutions by default.

    A cover must not depend on the caller's autocast mode, the kind of GPU, or other threads: TF32 stays off until the
    last of them has left.
    """
    _enter()
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        _leave()


def _enter() -> None:
    global _users, _before
    with _lock:
        if not _users:
            switches = _tf32_switches()
            _before = [(part, name, getattr(part, name)) for part, name, _ in switches]
            for part, name, off in switches:
                setattr(part, name, off)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            for part, name, value in _before:
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
