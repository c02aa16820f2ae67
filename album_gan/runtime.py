"""Process settings: the device that networks run on, and tuning that makes training on CPUs several times as fast.

For entry points, never on import; also the check that the packages of an extra are installed.

torch is imported inside the functions that need it: building data sets does not.
"""

import ctypes
import os
import platform
from importlib.util import find_spec
from pathlib import Path

# From glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3

DEVICES = ("auto", "cpu", "cuda", "mps")


def require(user: str, extra: str, *packages: str) -> None:
    """Raise ImportError unless all `packages` are installed, which `user` needs and `extra` brings. Imports none."""
    for package in packages:
        if find_spec(package) is None:
            raise ImportError(f"{user} needs {package}, which is not installed; run: pip install 'album-gan[{extra}]'")


def choose_device(name: str | None = None) -> str:
    """`name` if this machine has that device; for None or "auto" a GPU if there is one, else the CPU.

    Entry points call this once, at the start, and everything that they build runs there.
    Raises ValueError for an unknown device or one that this machine lacks.
    """
    import torch

    if name not in (None, *DEVICES):
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {str(name)[:40]!r}; auto chooses the best")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name in (None, "auto"):
        return next(device for device, there in available.items() if there)
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise ValueError(f"device must be available on this machine ({there}), got {name!r}; auto chooses the best")
    return name


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next step.

    By default it returns them to the system, and every step waits until each page has been faulted in again.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        if not libc.mallopt(M_MMAP_THRESHOLD, 1 << 30):  # before glibc 2.35 there is a limit of 32 MiB
            libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 1 << 28)


def cache_home() -> Path:
    """Where this machine keeps decoded covers and features: $ALBUM_GAN_CACHE, by default ~/.cache/album_gan."""
    return Path(os.environ.get("ALBUM_GAN_CACHE") or "~/.cache/album_gan").expanduser()


def cpu_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux, where a container or a scheduler may allow fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_all_cores(processes: int) -> None:
    """Undo the default of `accelerate launch` and `torchrun` on CPUs, one thread per process.

    `processes` are those of all machines; a launcher says how many of them run on this one.
    """
    import torch

    launched = any(name in os.environ for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"))
    if launched and os.environ.get("OMP_NUM_THREADS") == "1":
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        torch.set_num_threads(max(1, cpu_count() // here))


def choose_kernels(deterministic: bool) -> None:
    """On GPUs use the fastest kernels, with TF32 for fp32; or only deterministic ones."""
    import torch

    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses
        torch.use_deterministic_algorithms(True)
    elif torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = True


def fast_in_bfloat16(device: str) -> bool:
    """Whether a kind of device computes in bf16 in hardware; where it does not, bf16 is slower than fp32."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def hardware(device: str, processes: int) -> str:
    """The hardware of a run with `processes` processes, in words; `device` is cpu, cuda or mps."""
    import torch

    if device == "cuda":
        return f"{processes} x {torch.cuda.get_device_name()}"
    if device == "mps":
        return f"an Apple GPU ({platform.machine()})"
    cores = torch.get_num_threads() * processes
    return f"{cores} CPU {'core' if cores == 1 else 'cores'} ({platform.machine()})"
