"""Runs the real page in a separate process, for the tests of the page."""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

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
        watchdog = threading.Timer(90, process.kill)
        watchdog.start()
        try:
            printed = []
            for line in process.stdout:
                printed.append(line)
                if "The page is at" in line:
                    break
            else:
                raise AssertionError("the page did not start:\n" + "".join(printed))
            watchdog.cancel()
            # A full pipe would stop the page.
            threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
            yield printed
        finally:
            watchdog.cancel()
            process.terminate()
            process.wait(30)


@contextmanager
def serve(model: Path, port: int, files: Path) -> Iterator[str]:
    """The page's address while it runs; what visitors make is kept in `files`."""
    with page_of(start_command(model, port), {**os.environ, "GRADIO_TEMP_DIR": str(files)}):
        yield f"http://127.0.0.1:{port}"


def run_async(coroutine: Coroutine):
    """The result of a coroutine, run in a thread of its own: Playwright's event loop may be running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
