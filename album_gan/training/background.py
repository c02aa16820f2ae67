"""Writing files in a background thread during training."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Runs one write at a time in the background. Its error is raised by the next call.

    Leaving the context with an error waits for the write, so that a checkpoint is finished even then.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writes")
        self._running: Future[None] | None = None

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        try:
            self.wait()
        except Exception as failure:
            error.add_note(f"the last checkpoint could not be written either: {failure}")

    @property
    def busy(self) -> bool:
        """Whether a write is going on: `wait` would take time."""
        return self._running is not None and not self._running.done()

    def start(self, write: Callable[[], None]) -> None:
        """Call `write` in the background. Raises the error of the previous write."""
        self.wait()
        self._running = self._thread.submit(write)

    def wait(self) -> None:
        """Wait for the write to finish. Raises its error."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
