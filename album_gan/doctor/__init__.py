"""The checks of `album-gan doctor`, in the order in which they are printed.

Standard library only, also in what it imports from the rest of the package: the checks must work where torch or numpy
is missing or broken. What needs torch runs in a separate process, `probes.py`.
"""

from collections.abc import Callable, Iterator

from .covers import check_covers
from .findings import Context, Finding
from .gpus import check_bf16, check_compile, check_gpus, check_torch
from .hub import check_hub
from .machine import check_allocator, check_caches, check_cores, check_disk, check_memory, check_shared_memory
from .packages import check_packages, check_python

CHECKS: tuple[tuple[str, Callable[[Context], Iterator[Finding]]], ...] = (
    ("python", check_python),
    ("packages", check_packages),
    ("torch", check_torch),
    ("gpu", check_gpus),
    ("bf16", check_bf16),
    ("compile", check_compile),
    ("allocator", check_allocator),
    ("cores", check_cores),
    ("memory", check_memory),
    ("shared memory", check_shared_memory),
    ("disk", check_disk),
    ("cache", check_caches),
    ("hub", check_hub),
    ("covers", check_covers),
)
