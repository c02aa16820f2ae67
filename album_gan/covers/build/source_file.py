"""One file of a source, before it is decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

MAX_BYTES = 64 << 20  # larger files are not read
NOT_READ_NOW = "not read this time: "  # begins the detail of what may be readable another time
Labels = dict[str, str | int]


@dataclass(frozen=True)
class Entry:
    """One file of a source: a function to read it, or the reason why it is not read.

    If `lasting`, `read` works at any time and in any process; otherwise only until the next entry is generated.
    """

    name: str
    size: int  # bytes, if known
    read: Callable[[], bytes] = bytes
    labels: Labels = field(default_factory=dict)
    reason: str | None = None  # the cleaning step that rejects it unread
    detail: str = ""
    lasting: bool = False


def why_unreadable(error: Exception, lasting: bool = False) -> str:
    """The detail of a file whose reading raised `error`. Its message may contain a path of this machine: private.

    Disks, networks and permissions fail temporarily, with a system error number or a storage's own message; broken
    archives fail for good. `lasting` as of an entry, which is read as it is: there only a cut-off archive is broken.
    """
    passing = not isinstance(error, EOFError) if lasting else getattr(error, "errno", None) is not None
    return f"{NOT_READ_NOW if passing else ''}{type(error).__name__}"


def with_bytes(entry: Entry) -> Entry:
    """Read an entry into memory, so that it can be sent to another process; or record why it cannot be read."""
    if entry.reason:
        return replace(entry, read=bytes)
    try:
        data = entry.read()
    except Exception as error:  # disks and archives fail in many ways: OSError, BadZipFile, zlib.error, ...
        return replace(entry, read=bytes, reason="unreadable", detail=why_unreadable(error, entry.lasting))
    if len(data) > MAX_BYTES:  # more than its archive states
        return replace(entry, read=bytes, reason="too_many_bytes")
    return replace(entry, read=partial(bytes, data))
