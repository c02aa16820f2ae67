"""Files written beside the training, in one thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Writes one thing at a time while the training goes on. What went wrong is raised by the next call.

    Leaving its context waits: an error that ends the training must not outrun the checkpoint before it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writes")
        self._running: Future[None] | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self.wait()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"the last checkpoint could not be written either: {failure}")

    def start(self, write: Callable[[], None]) -> None:
        """Call `write` in the background. Raises what the write before raised."""
        self.wait()
        self._running = self._thread.submit(write)

    def wait(self) -> None:
        """Until everything is written. Raises what the write raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
