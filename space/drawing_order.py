"""The order of jobs that use the network: one at a time, the presenter's first, the audience's in order of arrival.

Torch uses every core, so two jobs at once would each be slower. Long jobs release the lock every few covers, so nobody
waits for a whole film.
"""

import enum
import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lane(enum.IntEnum):
    """Lower goes first."""

    PRESENTER = 0
    AUDIENCE = 1


class PriorityLock:
    """A lock with two lanes."""

    def __init__(self):
        self._condition = threading.Condition()
        self._waiting: list[tuple[Lane, int]] = []
        self._numbers = itertools.count()
        self._held = False

    @contextmanager
    def hold(self, lane: Lane) -> Iterator[None]:
        """Hold the lock: the presenter before the audience, and first come, first served within a lane."""
        with self._condition:
            ticket = (lane, next(self._numbers))
            heapq.heappush(self._waiting, ticket)
            self._condition.wait_for(lambda: not self._held and self._waiting[0] == ticket)
            heapq.heappop(self._waiting)
            self._held = True
        try:
            yield
        finally:
            with self._condition:
                self._held = False
                self._condition.notify_all()
