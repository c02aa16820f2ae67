"""The queue of expensive jobs: films, edits and enlargements.

It is bounded, says so when it is full, and serves clients in turn (`fair_queue.py`). Small jobs overtake large ones: a
slot is for them alone. The presenter's jobs have a queue and slots of their own. Covers are drawn in batches and have
their own queue (`cover_queue.py`); a running job takes the `PriorityLock` for each piece of work on the network.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from album_gan.space.client import Client
from album_gan.space.drawing_order import Lane
from album_gan.space.fair_queue import FairQueue, QueueFullError

MAX_RUNNING = 3  # in each lane; each takes up to some 300 MB for a large picture
MAX_RUNNING_PER_SHARE = 2  # so that a slot is left for other clients and other kinds of work
MAX_RUNNING_LARGE = MAX_RUNNING - 1  # so that a small job waits for small ones only
MAX_WAITING = 32  # in each lane
MAX_WAITING_PER_SHARE = 16


class Job:
    """A place in the queue, then a slot. Leaving its `with` block gives back whichever it has."""

    def __init__(self, queue: "JobQueue", lane: Lane, share: tuple, is_large: bool, run: Callable | None):
        self.queue, self.lane, self.share, self.is_large, self.run = queue, lane, share, is_large, run
        self.started = threading.Event()

    @property
    def ahead(self) -> int:
        """How many jobs of this lane wait or run before this one, at most."""
        return self.queue.position(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job may run, or for `timeout` seconds. Returns whether it may."""
        return self.started.wait(timeout)

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.leave(self)


class JobQueue:
    """Everything here may be called from any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting = {lane: FairQueue() for lane in Lane}
        self._running: dict[Lane, Counter] = {lane: Counter() for lane in Lane}  # jobs of each share
        self._large: dict[Lane, int] = dict.fromkeys(Lane, 0)  # how many of them are large
        # A thread for each slot, and none for jobs that wait: torch holds memory for every thread that ever computed.
        self._threads = ThreadPoolExecutor(len(Lane) * MAX_RUNNING, "job")

    def join(self, client: Client, kind: str, is_large: bool = False, run: Callable | None = None) -> Job:
        """Take a place in the queue, to be used as a context manager. Raises QueueFullError.

        `run(job)` is called in a thread of the queue's when the job may run.
        """
        job = Job(self, client.lane, (client.address, kind), is_large, run)
        with self._lock:
            waiting = self._waiting[job.lane]
            if len(waiting) >= MAX_WAITING or waiting.count(job.share) >= MAX_WAITING_PER_SHARE:
                raise QueueFullError
            waiting.add(job.share, job)
            self._start_next(job.lane)
        return job

    def submit(self, client: Client, kind: str, function: Callable, *args: object) -> Future:
        """Run `function(*args)` in a thread when it is its turn. Raises QueueFullError at once."""
        future: Future = Future()

        def run(job: Job) -> None:
            with job:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(function(*args))
                except BaseException as error:
                    future.set_exception(error)

        self.join(client, kind, run=run)
        return future

    def position(self, job: Job) -> int:
        """How many jobs come before this one; 0 for one that has started."""
        with self._lock:
            if job.started.is_set():
                return 0
            waiting = [item for _, item in self._waiting[job.lane]]
            return waiting.index(job) + self._running[job.lane].total()

    def leave(self, job: Job) -> None:
        """Take a job out, finished or cancelled, and start the next one."""
        with self._lock:
            if job.started.is_set():
                self._running[job.lane][job.share] -= 1
                self._running[job.lane] += Counter()  # forgets shares that run nothing
                self._large[job.lane] -= job.is_large
            else:
                self._waiting[job.lane].remove(job.share, job)
            self._start_next(job.lane)

    def _start_next(self, lane: Lane) -> None:
        waiting, running = self._waiting[lane], self._running[lane]
        while running.total() < MAX_RUNNING:
            ready = (job for share, job in waiting if self._may_run(job, running[share]))
            job = next(ready, None)
            if job is None:
                return
            waiting.take(job.share, job)
            running[job.share] += 1
            self._large[lane] += job.is_large
            job.started.set()
            if job.run:
                self._threads.submit(job.run, job)

    def _may_run(self, job: Job, running: int) -> bool:
        """Whether a slot may be given to a job of a share of which so many run."""
        return running < MAX_RUNNING_PER_SHARE and not (job.is_large and self._large[job.lane] >= MAX_RUNNING_LARGE)
