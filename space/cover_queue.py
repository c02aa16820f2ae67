"""Covers as PNG files in memory, drawn in batches, serving clients in turn, and cached.

Nothing here touches the disk, so covers are served even when it is full.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from PIL import Image

from album_gan.space.client import Client
from album_gan.space.drawing_order import Lane, PriorityLock
from album_gan.space.fair_queue import FairQueue, QueueFullError
from album_gan.space.validation import Cover

BATCH_SIZE = 4  # fastest per cover on two cores, and small enough that the first covers are ready soon
MAX_CACHED = 2_000  # covers, some 30 KB each
MAX_WAITING = 600  # covers: ten seconds of drawing on two cores
MAX_WAITING_PER_SHARE = 400

ANYBODY = Client()


class CoverQueue:
    """All methods are thread-safe."""

    def __init__(
        self,
        draw: Callable[[list[int], float, str | None], list[Image.Image]],
        encode: Callable[[Image.Image, Cover], bytes],
        lock: PriorityLock,
    ):
        """`draw` makes the covers of seeds, a truncation and a label; `encode` makes a PNG of each."""
        self._draw, self._encode, self._lock = draw, encode, lock
        self._changed = threading.Condition()  # guards the three below
        self._waiting = {lane: FairQueue() for lane in Lane}
        self._places: dict[Cover, tuple[Lane, tuple]] = {}  # lane and share of each waiting cover
        self._cache: OrderedDict[Cover, Future] = OrderedDict()  # includes waiting covers
        for lane in Lane:  # a thread each, so that the presenter's covers do not wait where the audience's do
            threading.Thread(target=self._draw_forever, args=(lane,), daemon=True, name=f"covers {lane.name}").start()

    def request(self, covers: Iterable[Cover], client: Client = ANYBODY, kind: str = "cover") -> list[Future]:
        """A future PNG for each cover. Raises QueueFullError, for the audience only.

        `kind` separates a client's archives from its single covers: they take turns.
        """
        covers, share = list(covers), (client.address, kind)
        with self._changed:
            waiting = self._waiting[client.lane]
            new = {cover for cover in covers if cover not in self._cache}
            full = len(waiting) + len(new) > MAX_WAITING or waiting.count(share) + len(new) > MAX_WAITING_PER_SHARE
            if new and full and client.lane is Lane.AUDIENCE:
                raise QueueFullError
            futures = []
            for cover in covers:
                if cover not in self._cache:
                    self._cache[cover] = Future()
                    self._cache[cover].set_running_or_notify_cancel()  # shared by requests: none may cancel it
                    self._enqueue(cover, client.lane, share)
                elif cover in self._places:
                    self._move_if_sooner(cover, client.lane, share)
                self._cache.move_to_end(cover)
                futures.append(self._cache[cover])
            self._evict()
            self._changed.notify_all()
        return futures

    def _enqueue(self, cover: Cover, lane: Lane, share: tuple) -> None:
        self._waiting[lane].add(share, cover)
        self._places[cover] = lane, share

    def _move_if_sooner(self, cover: Cover, lane: Lane, share: tuple) -> None:
        """Move a cover waiting in another client's longer queue to the queue of the client that requests it now."""
        old_lane, old_share = self._places[cover]
        if (lane, self._waiting[lane].count(share)) < (old_lane, self._waiting[old_lane].count(old_share) - 1):
            self._waiting[old_lane].remove(old_share, cover)
            self._enqueue(cover, lane, share)

    def _evict(self) -> None:
        for cover in list(self._cache)[: max(0, len(self._cache) - MAX_CACHED)]:
            if cover not in self._places:
                del self._cache[cover]

    def _draw_forever(self, lane: Lane) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_next(lane))
            with self._lock.hold(lane):
                if batch := self._next_batch(lane):
                    self._draw_batch(batch)

    def _is_next(self, lane: Lane) -> bool:
        """Whether covers of this lane wait, and none of one that goes first."""
        return next((first for first in Lane if len(self._waiting[first])), None) is lane

    def _next_batch(self, lane: Lane) -> dict[Cover, Future]:
        """The oldest covers of the share whose turn it is, and others that can be drawn in the same batch.

        Empty if the presenter has asked for covers in the meantime.
        """
        with self._changed:
            if not self._is_next(lane):
                return {}
            queue = self._waiting[lane]
            _, first = next(iter(queue))
            alike = [(share, cover) for share, cover in queue if cover[1:3] == first[1:3]][:BATCH_SIZE]
            for share, cover in alike:
                queue.take(share, cover)
                del self._places[cover]
            self._changed.notify_all()  # it may be the other lane's turn
            return {cover: self._cache[cover] for _, cover in alike}

    def _draw_batch(self, batch: dict[Cover, Future]) -> None:
        try:
            first = next(iter(batch))
            images = self._draw([cover.seed for cover in batch], first.truncation, first.label)
            for (cover, future), image in zip(batch.items(), images, strict=True):
                future.set_result(self._encode(image, cover))
        except Exception as error:
            with self._changed:
                for cover in batch:
                    self._cache.pop(cover, None)
            for future in batch.values():
                if not future.done():
                    future.set_exception(error)
