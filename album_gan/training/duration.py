"""How long a run is: so many steps, or so many minutes, from which the number of steps follows."""

ENDLESS = 10**12  # steps: as long as nothing is known of their pace
WARM_UP = 2  # steps that say nothing of the pace of the others


class Duration:
    """How far a run has come, and the step at which it ends.

    With `minutes` the clock decides: every so often (`due`) it is read, and the end follows from the pace of the last
    steps, half of all or more. In between, progress is proportional to steps, so that no step waits for the clock and
    all processes agree. At the end progress is 1, and with it the schedules of the recipe have come to theirs.
    """

    def __init__(self, steps: int, minutes: float | None = None):
        self.seconds = None if minutes is None else 60 * minutes
        self.end = steps if minutes is None else ENDLESS
        self._read = (0, 0.0)  # the step at which the clock was last read, and the progress there
        self._marks = [(0, 0.0), (0, 0.0)]  # the last two powers of two among the steps, and the seconds there

    def progress(self, step: int) -> float:
        """0 at the start to 1 at the end."""
        since, before = self._read
        return min(1.0, before + (1 - before) * (step - since) / max(1, self.end - since))

    @property
    def known_end(self) -> int | None:
        """The step at which the run ends; None as long as the clock has not said."""
        return self.end if self.end < ENDLESS else None

    @property
    def most_steps(self) -> int:
        """More will not be taken, whatever the clock says."""
        return self.end if self.seconds is None else ENDLESS

    def due(self, step: int, every: int) -> bool:
        """Whether the clock is to be read after `step`: often at first, then every so many steps, and at the end."""
        return self.seconds is not None and (step % every == 0 or step & (step - 1) == 0 or step >= self.end)

    def read_clock(self, step: int, seconds: float) -> None:
        """Plan the end anew, `seconds` after the start, the same on all processes."""
        assert self.seconds is not None
        if step & (step - 1) == 0:
            self._marks = [self._marks[1], (step, seconds)]
        since, started = self._marks[0]
        self._read = step, min(1.0, seconds / self.seconds)
        left = self.seconds - seconds
        if left <= 0:
            self.end = step
        elif step > since >= WARM_UP:
            at_least = 1 if step < self.end else 0  # the planned end stands, unless there is time for more steps
            self.end = step + max(at_least, round(left * (step - since) / (seconds - started)))
        else:
            self.end = ENDLESS  # nothing is known of the pace yet

    def resume(self, step: int, seconds: float) -> None:
        """Take up a run again: its pace so far holds until the clock is read, from then on that of this machine."""
        if self.seconds is not None and step:
            self._read = step, min(1.0, seconds / self.seconds)
            self.end = step + max(0, round((self.seconds - seconds) * step / seconds))
            self._marks = [(step, seconds), (step, seconds)]
