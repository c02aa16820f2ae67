"""Results of expensive jobs that many visitors want at once, each computed once."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from album_gan.space.drawing_order import Lane


class SharedResults:
    """The latest results, running jobs among them. All methods are thread-safe."""

    def __init__(self, count: int):
        """At most `count` results are kept, the last ones asked for."""
        self.count = count
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Lane, Future]] = OrderedDict()

    def get(self, key: Hashable, lane: Lane, start: Callable[[], Future]) -> Future:
        """The future result of `key`, which `start` submits unless it is kept.

        The presenter does not wait for a job of the audience's lane, but starts another. Failed and cancelled jobs are
        not kept. Raises whatever `start` raises.
        """
        with self._lock:
            lane_of_kept, future = self._kept.get(key, (None, None))
            is_new = future is None or (lane < lane_of_kept and not future.done())
            if is_new:
                future = start()
                self._kept[key] = lane, future
            self._kept.move_to_end(key)
            while len(self._kept) > self.count:
                self._kept.popitem(last=False)
        if is_new:
            future.add_done_callback(functools.partial(self._forget_failed, key))
        return future

    def _forget_failed(self, key: Hashable, future: Future) -> None:
        if future.cancelled() or future.exception():
            with self._lock:
                if self._kept.get(key, (None, None))[1] is future:
                    del self._kept[key]
