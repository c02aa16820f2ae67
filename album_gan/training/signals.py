"""Stopping a run cleanly: Ctrl-C, SIGTERM, a closed terminal, a launcher that has exited."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class StopRequest:
    """Whether this process should end its run after the current step."""

    def __init__(self) -> None:
        self.received = False
        self._parent = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None

    def __bool__(self) -> bool:
        # `accelerate launch` does not forward SIGTERM to its only process, so stop when the launcher has exited.
        return self.received or (self._parent is not None and os.getppid() != self._parent)


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Turn the first signal into a request to stop; a second one ends the process as usual.

    Only the main thread may handle signals: elsewhere, as in a notebook's worker thread, they stay as they are.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # as under nohup

    def receive(number: int, _frame: object) -> None:
        request.received = True
        signal.signal(number, previous[number])
        _announce_stop(number)

    previous = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _announce_stop(number: int) -> None:
    """Say that the run stops; after Ctrl-C also on the terminal, because `| tee`, which would show it, has exited."""
    again = "press Ctrl-C" if number == signal.SIGINT else "send the signal"
    text = f"\nstopping after this step; {again} again to quit at once\n".encode()
    with suppress(OSError):
        os.write(2, text)
    if number == signal.SIGINT and not os.isatty(2):
        with suppress(OSError), open("/dev/tty", "wb", buffering=0) as terminal:
            terminal.write(text)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Context in which output that cannot be written is dropped instead of ending the run.

    Ctrl-C under `| tee` ends tee before the run is saved; a closed terminal or a full disk takes no output either.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_LastingStream, streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


class _LastingStream:
    """A text stream that is redirected to nowhere after the first failed write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._redirect_to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._redirect_to_nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _redirect_to_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
