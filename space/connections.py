"""Limits on open connections: their number, and how long one may stay idle.

Without them a few hundred idle connections exhaust the process's file descriptors, and the page stops responding.
"""

import logging
import math
import time
from collections.abc import Callable

from uvicorn import Server

MAX_OPEN_FILES = 8192  # more than the page needs
SPARE_FILES = 160  # file descriptors kept for models, uploads and films
MAX_CONNECTIONS = 4000
BACKLOG = 64  # connections that the system accepts before the page does
IDLE_TIMEOUT = 10  # seconds without a request, after which a connection is closed
UPLOAD_TIMEOUT = 300  # seconds within which a request must have arrived


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the system allows, and return it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
        except (OSError, ValueError):
            pass
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def limit_connections(server: Server, open_files: int) -> None:
    """Apply the limits to a running server's new connections."""
    logging.getLogger("asyncio").addFilter(FewAcceptErrors())
    limit = max(16, min(MAX_CONNECTIONS, open_files - SPARE_FILES))
    server.config.http_protocol_class = limited(server.config.http_protocol_class, limit)
    for listener in server.servers:
        for shared in listener.sockets:
            with shared.dup() as socket:  # asyncio's wrapper has no listen(); a duplicate shares its queue
                socket.listen(BACKLOG)


class FewAcceptErrors(logging.Filter):
    """Pass one error a minute about connections that could not be accepted; asyncio logs thousands a second."""

    def __init__(self):
        super().__init__()
        self._last = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record; True for all other messages."""
        if "socket.accept()" not in record.getMessage():
            return True
        is_due = time.monotonic() - self._last > 60
        if is_due:
            self._last = time.monotonic()
        return is_due


def limited(protocol: type, limit: int) -> Callable:
    """A uvicorn protocol that rejects connections beyond `limit`, and closes idle ones after `IDLE_TIMEOUT` seconds."""

    class LimitedProtocol(protocol):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            address = (self.client or ("",))[0]
            of_client = sum((other.client or ("",))[0] == address for other in self.connections)
            if len(self.connections) > limit or of_client > max(16, limit // 2):
                transport.abort()
                return
            self._last_cycle, self._age, self._received = None, 0, False
            self.loop.call_later(IDLE_TIMEOUT, self._close_if_idle)

        def data_received(self, data: bytes) -> None:
            self._received = True
            super().data_received(data)

        def _close_if_idle(self) -> None:
            """Called every IDLE_TIMEOUT seconds; "cycle" is uvicorn's word for a request with its response."""
            if self.transport.is_closing():
                return
            cycle = getattr(self, "cycle", None)
            self._age = self._age + IDLE_TIMEOUT if cycle is self._last_cycle else 0
            is_idle = cycle is None or cycle.response_complete
            # Also the rest of a refused request, which is dropped: if closed earlier, its sender may miss the response.
            arrives = cycle is not None and cycle.more_body and (not is_idle or self._received)
            self._received = False
            is_silent = is_idle and cycle is self._last_cycle and not arrives
            if is_silent or (arrives and self._age >= UPLOAD_TIMEOUT):
                self.transport.abort()
                return
            self._last_cycle = cycle
            self.loop.call_later(IDLE_TIMEOUT, self._close_if_idle)

    return LimitedProtocol
