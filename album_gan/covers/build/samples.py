"""Files that belong together: a picture, and the sidecars that describe it."""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ..folders import METADATA_FILES, is_hidden
from .metadata import SIDECARS, labels_from_name, labels_from_sidecar
from .source_file import Entry, Labels, with_bytes

MAX_SIDECAR = 1 << 20  # bytes
SAMPLE_FILES = 64  # more with one key are not a sample, but have names that begin alike, such as "www.site.com - ..."


def samples(
    entries: Iterable[Entry | None],
    key: Callable[[str], str],
    labels_of: Callable[[str], Labels] = lambda name: {},
    archive: str = "",
) -> Iterator[Entry]:
    """Consecutive files with the same `key` are one sample, whose sidecars describe its pictures."""
    sample: list[Entry] = []
    for entry in entries:
        full = len(sample) >= SAMPLE_FILES and entry is not None and stem(sample[-1].name) != stem(entry.name)
        if sample and (full or entry is None or key(sample[0].name) != key(entry.name)):
            yield from _labelled(sample, labels_of, archive)
            sample = []
        if entry is not None:
            sample.append(entry)
    yield from _labelled(sample, labels_of, archive)


def stem(name: str) -> str:
    """A name without its ending, folders included."""
    return posixpath.splitext(name)[0]


def webdataset_key(name: str) -> str:
    """The common part of a sample's file names in a webdataset: folder and name up to the first dot."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.lstrip('.').partition('.')[0]}"


def _labelled(sample: list[Entry], labels_of: Callable[[str], Labels], archive: str) -> Iterator[Entry]:
    sidecars = [entry for entry in sample if entry.name.endswith(SIDECARS)]
    if len(sidecars) == len(sample):  # no pictures
        sidecars = []
    # A sidecar describes the picture with all of its name up to the ending, as "Mr. Bungle - California.json" does;
    # only without such a picture, as with "x.meta.json" and "x.jpg", those with the name up to the first dot.
    stems = {stem(entry.name) for entry in sample if entry not in sidecars}
    shared: Labels = {}
    own: dict[str, Labels] = {}
    unread: dict[str, Entry] = {}
    for entry in sidecars:
        if not entry.reason and entry.size < MAX_SIDECAR:
            labels = own.setdefault(stem(entry.name), {}) if stem(entry.name) in stems else shared
            read = with_bytes(entry)
            labels |= labels_from_sidecar(entry.name, read.read())
            if read.reason:
                unread[entry.name] = read
    for entry in sample:
        if is_hidden(entry.name):
            yield Entry(entry.name, 0, reason="hidden")
        elif entry.name in unread:
            yield unread[entry.name]
        elif entry in sidecars:
            yield Entry(entry.name, 0, reason="label_file")
        elif archive and posixpath.basename(entry.name) in METADATA_FILES:
            # A tar may hold it after the pictures that it describes, and is read once.
            yield Entry(entry.name, 0, reason="unreadable_labels", detail="not read inside an archive; unpack it")
        elif entry.reason:
            yield entry
        else:
            named = labels_from_name(entry.name, archive.rpartition("/")[2])
            beside = {**shared, **own.get(stem(entry.name), {})}
            yield replace(entry, labels={**named, **labels_of(entry.name), **beside})
