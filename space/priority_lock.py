"""Who draws next: one job at a time, the presenter's first, everybody else's in the order in which they came.

Torch uses every core, so two jobs at once would each be slower. Long jobs come back for another turn every few
covers, so nobody waits for a whole film.
"""

import enum
import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lane(enum.IntEnum):
    PRESENTER = 0
    AUDIENCE = 1


class QueueFullError(ValueError):
    """So many wait already that whoever asks now would only wait in vain."""

    def __init__(self):
        super().__init__("the queue is full; try again in a few seconds")


class Turns:
    """A lock with two lanes."""

    def __init__(self):
        self._condition = threading.Condition()
        self._line: list[tuple[Lane, int]] = []
        self._numbers = itertools.count()
        self._taken = False

    @contextmanager
    def take(self, lane: Lane) -> Iterator[None]:
        with self._condition:
            ticket = (lane, next(self._numbers))
            heapq.heappush(self._line, ticket)
            self._condition.wait_for(lambda: not self._taken and self._line[0] == ticket)
            heapq.heappop(self._line)
            self._taken = True
        try:
            yield
        finally:
            with self._condition:
                self._taken = False
                self._condition.notify_all()
