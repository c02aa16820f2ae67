"""Cores, memory and disk. Standard library only."""

import math
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..runtime import cache_home, cpu_count
from .findings import Context, Finding
from .hub import hub_home

TRIED_BYTES = 16_000_000  # written, read and deleted again
LEAST_DISK, ENOUGH_DISK = 1e9, 10e9
LEAST_MEMORY, ENOUGH_MEMORY = 2e9, 4e9
CONTAINER = Path("/sys/fs/cgroup")  # its limits: files of control groups, version 2
ENOUGH_SHARED = 512e6  # batches pass through it on their way from the data loader; Docker gives 64 MB


def check_allocator(_: Context) -> Iterator[Finding]:
    """The CPU memory allocator, which affects speed on CPUs a lot, and the settings of the GPU allocator."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    settings = "".join(f", {name}={os.environ[name]}" for name in names if os.environ.get(name))
    preloaded = re.search(r"jemalloc|tcmalloc|mimalloc", os.environ.get("LD_PRELOAD", ""))
    if preloaded:
        yield Finding("ok", f"{preloaded[0]} by LD_PRELOAD{settings}")
    elif sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        yield Finding("note", f"not glibc's, so training on the CPU waits for memory more often{settings}")
    else:
        yield Finding("ok", f"of the system{settings}")


def check_cores(_: Context) -> Iterator[Finding]:
    """How many may be used."""
    cores = cpu_count()
    quota, period = _numbers_in(CONTAINER / "cpu.max") or (math.inf, 1)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if quota / period < cores:
        text = f"{cores} cores, but this container may use {quota / period:g} of them"
        yield Finding("note", text, f"export OMP_NUM_THREADS={max(1, round(quota / period))}")
    elif threads.isdecimal() and int(threads) < cores:
        yield Finding("note", f"{cores} cores, of which OMP_NUM_THREADS={threads} uses fewer", "unset OMP_NUM_THREADS")
    else:
        yield Finding("ok", f"{cores} cores, {platform.machine()}")


def check_memory(_: Context) -> Iterator[Finding]:
    """Main memory that is free, or that the container may take."""
    try:
        kilobytes = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8")))
    except OSError:
        yield Finding("ok", "not counted on this system")
        return
    total, free = (1024.0 * int(kilobytes[key]) for key in ("MemTotal", "MemAvailable"))
    [limit] = _numbers_in(CONTAINER / "memory.max") or [math.inf]
    if limit < total:
        [used] = _numbers_in(CONTAINER / "memory.current") or [0]
        total, free = limit, min(free, limit - used + _reclaimable())
    text = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    fix = "close other programs, or train with a smaller --train_batch_size"
    if free < LEAST_MEMORY:
        yield Finding("problem", f"{text}: training at 128 px takes {LEAST_MEMORY / 1e9:g} GB or more", fix)
    elif free < ENOUGH_MEMORY:
        yield Finding("note", f"{text}: little for training", fix)
    else:
        yield Finding("ok", text)


def _reclaimable() -> float:
    """Bytes of the container's memory that hold files not used lately: the system drops them when memory is needed."""
    try:
        counts = dict(line.split() for line in (CONTAINER / "memory.stat").read_text(encoding="utf-8").splitlines())
    except OSError:
        return 0.0
    return float(counts.get("inactive_file", 0))


def check_shared_memory(context: Context) -> Iterator[Finding]:
    """/dev/shm, through which batches and NCCL's data pass."""
    if not Path("/dev/shm").is_dir():
        yield Finding("ok", "not limited on this system")
        return
    size = shutil.disk_usage("/dev/shm").total
    if size >= ENOUGH_SHARED:
        yield Finding("ok", f"{size / 1e9:.1f} GB")
        return
    severe = len(context.torch.get("gpus") or []) > 1
    text = f"{size / 1e6:.0f} MB: large batches end in a bus error"
    fix = "docker run --ipc=host ...   # or train with --dataloader_num_workers 0"
    yield Finding("problem" if severe else "note", text, fix)


def _numbers_in(path: Path) -> list[float]:
    """The numbers in a kernel file, infinity for `max`; none where there is no such file."""
    try:
        return [math.inf if word == "max" else float(word) for word in path.read_text(encoding="utf-8").split()]
    except OSError:
        return []


def check_disk(context: Context) -> Iterator[Finding]:
    """Where runs will be: room, and a file written, read and deleted."""
    yield _tried_folder(context.output_dir, "--output_dir ANOTHER_FOLDER   # or make room")


def check_caches(_: Context) -> Iterator[Finding]:
    """Where decoded covers go, and what comes from the Hub."""
    folders = {"ALBUM_GAN_CACHE": cache_home(), "HF_HOME": hub_home()}
    folders |= {name: Path(os.environ[name]) for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE") if os.environ.get(name)}
    for name, folder in folders.items():
        yield _tried_folder(folder.expanduser(), f"export {name}=ANOTHER_FOLDER   # or make room")


def _tried_folder(folder: Path, fix: str) -> Finding:
    """A folder, or the one where it would be created: writing, reading, listing, and free space."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    where = str(folder.absolute())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(f"{existing} is a file")
        os.listdir(existing)
        speed = _write_and_read(existing)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("problem", f"{where} cannot be used: {error.strerror or error}", fix)
    text = f"{where}: {free / 1e9:.1f} GB free, writes {speed / 1e6:,.0f} MB/s"
    if free < LEAST_DISK:
        return Finding("problem", f"{text}; a run takes {LEAST_DISK / 1e9:g} GB or more", fix)
    return Finding("ok" if free >= ENOUGH_DISK else "note", text, "" if free >= ENOUGH_DISK else fix)


def _write_and_read(folder: Path) -> float:
    """Bytes per second written to disk. Raises OSError if writing fails, or different bytes are read back."""
    content = os.urandom(TRIED_BYTES)
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".album-gan-doctor-") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        took = time.monotonic() - started
        file.seek(0)
        if file.read() != content:
            raise OSError("data read back differs from what was written: the disk is faulty")
    return TRIED_BYTES / max(took, 1e-6)
