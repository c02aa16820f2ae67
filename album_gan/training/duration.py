"""Duration of a run: a number of steps, or a number of minutes from which the number of steps is estimated."""

ENDLESS = 10**12  # steps, while the pace is unknown
WARM_UP = 2  # steps not used to estimate the pace


class Duration:
    """Progress of a run, and the step at which it ends.

    With `minutes`, the clock is read occasionally (`due`), and the end is estimated from the speed of the latest
    steps, at least half of all. In between, progress is proportional to steps, so that all processes agree without
    communication. Progress reaches 1 at the end, as the recipe's schedules need.
    """

    def __init__(self, steps: int, minutes: float | None = None):
        self.seconds = None if minutes is None else 60 * minutes
        self.end = steps if minutes is None else ENDLESS
        self._read = (0, 0.0)  # step at which the clock was last read, and progress there
        self._marks = [(0, 0.0), (0, 0.0)]  # the last two steps that are powers of two, and the seconds there

    def progress(self, step: int) -> float:
        """Progress at `step`, 0 at the start to 1 at the end."""
        since, before = self._read
        return min(1.0, before + (1 - before) * (step - since) / max(1, self.end - since))

    @property
    def known_end(self) -> int | None:
        """The step at which the run ends; None until it is estimated."""
        return self.end if self.end < ENDLESS else None

    @property
    def most_steps(self) -> int:
        """Upper limit of the number of steps."""
        return self.end if self.seconds is None else ENDLESS

    def due(self, step: int, every: int) -> bool:
        """Whether to read the clock after `step`: often at first, then every `every` steps, and at the end."""
        return self.seconds is not None and (step % every == 0 or step & (step - 1) == 0 or step >= self.end)

    def read_clock(self, step: int, seconds: float) -> None:
        """Estimate the end again, `seconds` after the start (the same number on all processes)."""
        assert self.seconds is not None
        if step & (step - 1) == 0:
            self._marks = [self._marks[1], (step, seconds)]
        since, started = self._marks[0]
        self._read = step, min(1.0, seconds / self.seconds)
        left = self.seconds - seconds
        if left <= 0:
            self.end = step
        elif step > since >= WARM_UP:
            at_least = 1 if step < self.end else 0  # keep the planned end, unless there is time for more steps
            self.end = step + max(at_least, round(left * (step - since) / (seconds - started)))
        else:
            self.end = ENDLESS  # the pace is not known yet

    def resume(self, step: int, seconds: float) -> None:
        """Resume a run: assume its earlier pace until the clock is read, then measure this machine's."""
        if self.seconds is not None and step:
            self._read = step, min(1.0, seconds / self.seconds)
            left = self.seconds - seconds
            at_least = 1 if left > 0 and step <= WARM_UP else 0  # slow first steps do not show that there is no time
            self.end = step + max(at_least, round(left * step / seconds))
            self._marks = [(step, seconds), (step, seconds)]
