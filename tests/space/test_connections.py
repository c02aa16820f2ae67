"""Hundreds of connections that say nothing."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress

import pytest
from serving import START, free_port, serve

pytestmark = pytest.mark.long

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")
resource = pytest.importorskip("resource", reason="limits of open files are a matter of Unix")

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {})); " + START


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hard", "seconds"),
    [
        pytest.param(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 5, id="soft"),
        pytest.param(256, 25, id="hard"),
    ],
)
def test_silent_connections_do_not_stop_the_page(tiny_model, tmp_path, hard, seconds):
    """A soft limit is raised, so that they do no harm; under a hard one they are closed after a while."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-c", LIMITED.format(hard), str(tiny_model), str(port), "{}"]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as out, ExitStack() as stack:
        page = stack.enter_context(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        stack.callback(page.terminate)
        while "The page is at" not in log.read_text():
            assert page.poll() is None, log.read_text()
            time.sleep(0.1)
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/cover/1.png", timeout=seconds) as answer:
                    assert answer.read().startswith(b"\x89PNG")
                break
            except OSError:
                time.sleep(0.5)
        else:
            raise AssertionError("the page did not answer")
        assert log.stat().st_size < 20_000


@pytest.mark.slow
def test_a_connection_that_says_nothing_or_never_ends_its_request_is_closed(tiny_model, tmp_path):
    from album_gan.space.connections import IDLE_TIMEOUT

    port = free_port()
    with serve(tiny_model, port, tmp_path), ExitStack() as stack:
        silent, dripping = (stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2))
        begin = time.monotonic()
        dripping.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - begin < IDLE_TIMEOUT + 5:
            try:
                dripping.sendall(b"X-Header: drip\r\n")
            except OSError:
                break
            time.sleep(0.5)
        else:
            raise AssertionError("a request that never ends is kept waiting for")
        silent.settimeout(5)
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""


@pytest.mark.slow
def test_a_slow_sender_is_told_why_its_upload_is_refused(tiny_model, tmp_path):
    """It sends for longer than an idle connection is kept."""
    from album_gan.space.connections import IDLE_TIMEOUT

    port = free_port()
    with serve(tiny_model, port, tmp_path), socket.create_connection(("127.0.0.1", port)) as client:
        host = f"Host: 127.0.0.1:{port}"
        client.sendall(f"POST /gradio_api/upload HTTP/1.1\r\n{host}\r\nContent-Length: 50000000\r\n\r\n".encode())
        begin = time.monotonic()
        while time.monotonic() - begin < 2 * IDLE_TIMEOUT + 5:
            client.sendall(b"x" * 100_000)
            time.sleep(0.5)
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def test_connections_that_cannot_be_accepted_do_not_fill_the_log():
    """As asyncio logs them, once for each of the thousands that it tries."""
    from album_gan.space.connections import FewAcceptErrors

    logger, lines = logging.Logger("asyncio"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.addFilter(FewAcceptErrors())
    for _ in range(2048):
        logger.error("socket.accept() out of system resource")
        logger.error("something else")
    assert lines.count("socket.accept() out of system resource") == 1
    assert lines.count("something else") == 2048
