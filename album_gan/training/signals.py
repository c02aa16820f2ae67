"""Stopping a run cleanly: Ctrl-C, SIGTERM, a closed terminal, a launcher that has exited."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
        if number == getattr(signal, "SIGHUP", None):
            _detach_from_terminal()
        else:
            os.write(2, b"\nstopping after this step; once more ends the run at once\n")

    previous = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _detach_from_terminal() -> None:
    """Redirect output to nowhere, because writing to a closed terminal is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if os.isatty(stream) or not _writable(stream):
            os.dup2(nowhere, stream)


def _writable(stream: int) -> bool:
    try:
        os.write(stream, b"")
    except OSError:
        return False
    return True
