"""The queue of expensive jobs: films, edits and enlargements.

It is bounded, raises QueueFullError when full, and serves clients in turn (`fair_queue.py`). Small jobs overtake large
ones: one slot is reserved for them. The presenter's jobs have a queue and slots of their own. Covers are drawn in
batches and have their own queue (`cover_queue.py`); a running job takes the `PriorityLock` each time it uses a network.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from album_gan.space.client import Client
from album_gan.space.drawing_order import Lane
from album_gan.space.fair_queue import FairQueue, QueueFullError

MAX_RUNNING = 3  # in each lane; a large picture takes about 300 MB
MAX_RUNNING_PER_SHARE = 2  # leaves a slot for other clients and kinds of work
MAX_RUNNING_LARGE = MAX_RUNNING - 1  # so that a small job waits only for small ones
MAX_WAITING = 32  # in each lane
MAX_WAITING_PER_SHARE = 16


class Job:
    """A place in the queue, then a running slot. Leaving its `with` block releases whichever it holds."""

    def __init__(self, queue: "JobQueue", lane: Lane, share: tuple, is_large: bool, run: Callable | None):
        self.queue, self.lane, self.share, self.is_large, self.run = queue, lane, share, is_large, run
        self.started = threading.Event()

    @property
    def ahead(self) -> int:
        """Upper bound on the number of this lane's jobs waiting or running ahead of this one."""
        return self.queue.position(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job may run, at most `timeout` seconds. Returns whether it may."""
        return self.started.wait(timeout)

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.leave(self)


class JobQueue:
    """All methods are thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting = {lane: FairQueue() for lane in Lane}
        self._running: dict[Lane, Counter] = {lane: Counter() for lane in Lane}  # jobs of each share
        self._large: dict[Lane, int] = dict.fromkeys(Lane, 0)  # how many of them are large
        # One thread per slot, none for waiting jobs: torch keeps memory for every thread that has computed.
        self._threads = ThreadPoolExecutor(len(Lane) * MAX_RUNNING, "job")

    def join(self, client: Client, kind: str, is_large: bool = False, run: Callable | None = None) -> Job:
        """Take a place in the queue, to be used as a context manager. Raises QueueFullError.

        `run(job)` is called in one of the queue's threads when the job may run.
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
        """Run `function(*args)` in a thread when its turn comes. Raises QueueFullError immediately."""
        future: Future = Future()

        def run(job: Job) -> None:
            with job:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(function(*args))
                except StopIteration as error:  # asyncio rejects it, and the waiter would hang
                    future.set_exception(RuntimeError(f"the job ended with {error!r}"))
                except BaseException as error:
                    future.set_exception(error)

        self.join(client, kind, run=run)
        return future

    def position(self, job: Job) -> int:
        """Number of jobs before this one; 0 if it has started."""
        with self._lock:
            if job.started.is_set():
                return 0
            waiting = [item for _, item in self._waiting[job.lane]]
            return waiting.index(job) + self._running[job.lane].total()

    def leave(self, job: Job) -> None:
        """Remove a finished or cancelled job, and start the next one."""
        with self._lock:
            if job.started.is_set():
                self._running[job.lane][job.share] -= 1
                self._running[job.lane] += Counter()  # drops shares that run nothing
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
        """Whether a job may take a slot while `running` jobs of its share run."""
        return running < MAX_RUNNING_PER_SHARE and not (job.is_large and self._large[job.lane] >= MAX_RUNNING_LARGE)
