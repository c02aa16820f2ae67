"""Files written beside the training, in one thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Writes one thing at a time while the training goes on. What went wrong is raised by the next call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writes")
        self._running: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Call `write` in the background. Raises what the write before raised."""
        self.wait()
        self._running = self._thread.submit(write)

    def wait(self) -> None:
        """Until everything is written. Raises what the write raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
