"""Runs the real page in a separate process, for the tests of the page."""

import asyncio
import itertools
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

START = (
    "import json, sys; from album_gan.space.app import launch; "
    "launch(sys.argv[1], port=int(sys.argv[2]), **json.loads(sys.argv[3]))"
)


# Below the ports that systems give to connections (from 32,768 on in Linux, 49,152 elsewhere). Each session of pytest
# begins elsewhere, and each of its workers a thousand further: nobody else takes a port between our look at it and the
# server's start.
FIRST, LAST = 20_000, 32_000
SESSION = zlib.crc32(os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())).encode())
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = (FIRST + (SESSION + 1_000 * WORKER + count) % (LAST - FIRST) for count in itertools.count())


def free_port() -> int:
    """A free TCP port, another one each time."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind(("", port))
            except OSError:
                continue
        return port


def start_command(model: Path | str, port: int, **options: object) -> list[str]:
    """The command that starts the page; `options` are those of `launch`."""
    return [sys.executable, "-c", START, str(model), str(port), json.dumps(options)]


@contextmanager
def page_of(command: list, environment: dict[str, str], place: Path | None = None) -> Iterator[list[str]]:
    """What a page's process printed until it said where it is, for which it has 90 seconds; it runs meanwhile."""
    environment = {**environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield _printed_until_ready(process.stdout, process.kill)
        finally:
            process.terminate()
            process.wait(30)


def _printed_until_ready(output: TextIO, kill: Callable[[], None]) -> list[str]:
    watchdog = threading.Timer(90, kill)
    watchdog.start()
    printed = []
    try:
        for line in output:
            printed.append(line)
            if "The page is at" in line:
                break
        else:
            raise AssertionError("the page did not start:\n" + "".join(printed))
    finally:
        watchdog.cancel()
    # A full pipe would stop the page.
    threading.Thread(target=lambda: [None for _ in output], daemon=True).start()
    return printed


# Four of the five seconds that a page takes to start are imports: pages are forked from a process that has done them.
FORKS = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
FORKS.set_forkserver_preload(["album_gan.space.app"])


@contextmanager
def serve(model: Path, port: int, files: Path) -> Iterator[str]:
    """The page's address while it runs in a process of its own; what visitors make is kept in `files`."""
    reader, writer = FORKS.Pipe(duplex=False)
    page = FORKS.Process(target=_page, args=(str(model), port, str(files), writer))
    page.start()
    writer.close()
    with reader, open(reader.fileno(), encoding="utf-8", errors="replace", closefd=False) as output:
        try:
            _printed_until_ready(output, page.kill)
            yield f"http://127.0.0.1:{port}"
        finally:
            page.terminate()
            page.join(30)
            assert page.exitcode is not None, "the page did not end within 30 seconds"


def _page(model: str, port: int, files: str, output: Connection) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    os.environ["GRADIO_TEMP_DIR"] = files
    from album_gan.space.app import launch

    launch(model, port=port)


def run_async(coroutine: Coroutine):
    """The result of a coroutine, run in a thread of its own: Playwright's event loop may be running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
