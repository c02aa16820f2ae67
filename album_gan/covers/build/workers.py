"""Worker processes for cleaning covers: forked, if the system allows it, from one that has loaded their imports."""

import multiprocessing
import multiprocessing.forkserver
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

from ...runtime import keep_freed_memory

FORKS = "forkserver" in multiprocessing.get_all_start_methods()


def start_pool(count: int) -> ProcessPoolExecutor:
    """A pool of `count` processes, which exit with this one."""
    start_server()  # forking this process could hang: Arrow has threads here
    context = multiprocessing.get_context("forkserver" if FORKS else "spawn")
    return ProcessPoolExecutor(count, context, initializer=_start_worker)


def start_server() -> None:
    """Start the process that workers are forked from, so that it loads their imports in the background."""
    if FORKS:
        multiprocessing.forkserver.set_forkserver_preload([f"{__package__}.preloaded"])
        multiprocessing.forkserver.ensure_running()


class _NoPandas:
    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ImportError(name)


def keep_pandas_out() -> None:
    """Keep Arrow from importing pandas for its first list, which takes half a second, for types not used here."""
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)  # type: ignore[arg-type]
    pa.array([])
    sys.meta_path.remove(_NoPandas)  # type: ignore[arg-type]


def _start_worker() -> None:
    """Reuse memory from picture to picture, and exit when the build exits, even if it is killed."""
    keep_pandas_out()
    keep_freed_memory()
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
