"""One file of a pile of pictures, before anybody has looked into it."""

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_BYTES = 64 << 20  # larger files are not read


@dataclass(frozen=True)
class Entry:
    """One file of a source. `read` must be called before the next entry is asked for, or not at all."""

    name: str
    size: int  # bytes, as far as known
    read: Callable[[], bytes] = bytes
    labels: dict = field(default_factory=dict)
    reason: str | None = None  # the step of cleaning that it ends in, unread
