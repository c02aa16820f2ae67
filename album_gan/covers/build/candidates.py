"""The first phase of a build: every file of a source is cleaned once, into shards of candidates.

A shard is an Arrow file with one row per file of the source, usable or rejected. It is written atomically.
"""

import hashlib
import io
import json
import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from PIL import Image

from ...inference.atomic import remove_leftovers, write_atomic
from .cleaning import OF_SELECTION, Cleaned, Cleaning, as_image, clean
from .cluster import sees
from .metadata import LABELS
from .source_file import NOT_READ_NOW, Entry, with_bytes
from .sources import Source
from .workers import start_pool

if TYPE_CHECKING:
    import distributed

FORMAT_VERSION = 7
SHARD_FILES, SHARD_BYTES = 256, 16 << 20  # limits of a shard; bytes count only files held in memory
EXAMPLES, EXAMPLE_SIZE = 8, 96  # small pictures per shard of files that each step rejected; pixels

SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
        "notes": pa.list_(pa.string()),
        "genre": pa.string(),
        "artist": pa.string(),
        "title": pa.string(),
        "year": pa.int32(),
        "source_sha256": pa.string(),
        "source_width": pa.int32(),
        "source_height": pa.int32(),
        "source_format": pa.string(),
        "source_mode": pa.string(),
        "source_bytes": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "dhash": pa.uint64(),
        "phash": pa.uint64(),
        "jpeg": pa.binary(),
        "thumbnail": pa.binary(),
        "example": pa.binary(),
    }
)


def gather(
    source: Source,
    folder: Path,
    settings: Cleaning,
    workers: int,
    progress: Callable[[int], object],
    cluster: "distributed.Client | None" = None,
) -> Path:
    """Clean all files of `source` into a subfolder of `folder` with shards, and return it.

    Resumes where an earlier call was interrupted, and retries files that were unreadable then. `workers` is the number
    of processes, 0 for this one; a `cluster` is used instead. `progress` is called with the number of files just
    finished.
    """
    folder = folder / candidates_name(source, settings)
    finished = folder / "finished.json"
    if finished.exists():
        progress(json.loads(finished.read_text())["files"])
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, hours=0)  # of a killed build
    files = shards = 0
    lasting = cluster is None or sees(cluster, source.place)  # whether workers can read files themselves
    with _Workers(workers, settings, progress, cluster) as pool:
        for entries in _cut(source.entries()):
            path = folder / f"{shards:06d}.arrow"
            if _is_of(path, entries) and not _is_partly_read(path):
                progress(len(entries))
            else:
                path.unlink(missing_ok=True)
                pool.submit(path, entries if lasting else [with_bytes(entry) for entry in entries])
            files, shards = files + len(entries), shards + 1
    found = sorted(folder.glob("[0-9]*.arrow"))
    for path in found[shards:]:  # left by an earlier call, to which the source gave more files
        path.unlink()
    if not any(_is_partly_read(path) for path in found[:shards]):
        write_atomic(finished, json.dumps({"files": files}), flush=True)
    return folder


def _is_of(path: Path, entries: list[Entry]) -> bool:
    """Whether a shard exists and is of these files with these labels.

    An archive or a table of labels that an earlier call could not read changes which files later shards are of.
    """
    if not path.exists():
        return False
    rows = [{"name": entry.name, **{label: entry.labels.get(label) for label in LABELS}} for entry in entries]
    return _columns(path, ["name", *LABELS]).to_pylist() == rows


def _is_partly_read(path: Path) -> bool:
    """Whether a shard has files that could not be read, but may be later: a disk, a network or permissions failed."""
    details = _columns(path, ["detail"])["detail"].to_pylist()
    return any(detail and detail.startswith(NOT_READ_NOW) for detail in details)


def _columns(path: Path, names: list[str]) -> pa.Table:
    options = pa.ipc.IpcReadOptions(included_fields=[SCHEMA.get_field_index(name) for name in names])
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file, options=options).read_all().select(names)


def candidates_name(source: Source, settings: Cleaning) -> str:
    """Changes with the source's contents and with the settings that cleaning uses."""
    used = asdict(settings)
    for name in ("reject", "allow"):
        used[name] = [step for step in used[name] if step not in OF_SELECTION]
    key = json.dumps([FORMAT_VERSION, source.name, source.identity, used], sort_keys=True)
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _cut(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """The files of each shard, wherever files are read. Those that only their source can read are read here."""
    size = 0
    shard: list[Entry] = []
    for entry in entries:
        own = 0 if entry.lasting else entry.size
        if shard and (len(shard) == SHARD_FILES or size + own > SHARD_BYTES):
            yield shard
            size, shard = 0, []
        size += own
        shard.append(entry if entry.lasting else with_bytes(entry))
    if shard:
        yield shard


class _Workers:
    """An executor that makes shards; its queue is short, because it holds pictures in memory.

    Local processes write their shards themselves; cluster workers send them, because they may not have access to the
    folder. A cluster reassigns a lost worker's shard by itself.
    """

    def __init__(
        self,
        count: int,
        settings: Cleaning,
        progress: Callable[[int], object],
        cluster: "distributed.Client | None" = None,
    ):
        self.cluster = cluster
        self.count = 2 * sum(cluster.nthreads().values()) if cluster else count
        self.settings = settings
        self.progress = progress
        self.pool: Executor | None = None
        if cluster:
            self.pool = cluster.get_executor()
        elif count:
            self.pool = start_pool(count)
        self.probe: ProcessPoolExecutor | None = None
        self.waiting: dict[Future, tuple[Path, list[Entry]]] = {}

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            while kind is None and self.waiting:
                self._collect()
        finally:
            for future in self.waiting:
                future.cancel()
            for pool in (self.pool, self.probe):
                if pool:
                    pool.shutdown()

    def submit(self, path: Path, entries: list[Entry]) -> None:
        if self.pool is None:
            make_shard(path, entries, self.settings)
            self.progress(len(entries))
            return
        while len(self.waiting) > self.count:
            self._collect()
        try:
            make = partial(make_shard, path) if self.cluster is None else shard_bytes
            self.waiting[self.pool.submit(make, entries, self.settings)] = (path, entries)
        except BrokenProcessPool:
            self._recover()
            self.submit(path, entries)

    def _collect(self) -> None:
        done, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        for future in done:
            if isinstance(future.exception(), BrokenProcessPool):
                self._recover()
                return
            path, entries = self.waiting.pop(future)
            if type(future.exception()).__name__ == "KilledWorker":  # of dask: several workers died of this shard
                make_shard(path, [self._probed(entry) for entry in entries], self.settings)
            elif self.cluster:
                write_atomic(path, future.result(), flush=True)
            else:
                future.result()
            self.progress(len(entries))

    def _recover(self) -> None:
        """Handle a picture that crashed its worker: find it by cleaning one file at a time, and go on without it."""
        for path, entries in self.waiting.values():
            if not path.exists():
                make_shard(path, [self._probed(entry) for entry in entries], self.settings)
            self.progress(len(entries))
        self.waiting = {}
        if self.pool:
            self.pool.shutdown()
        self.pool = start_pool(self.count)

    def _probed(self, entry: Entry) -> Entry:
        """The entry, with a reason to reject it if cleaning crashes the process."""
        self.probe = self.probe or start_pool(1)
        try:
            self.probe.submit(_try, entry, self.settings).result()
            return entry
        except BrokenProcessPool:
            self.probe = None
            return replace(entry, reason="corrupt", detail="its decoder crashed")


def _try(entry: Entry, settings: Cleaning) -> None:
    _clean_entry(entry, settings)


def make_shard(path: Path, entries: list[Entry], settings: Cleaning) -> None:
    """Clean files and write them as one shard."""
    write_atomic(path, shard_bytes(entries, settings), flush=True)


def shard_bytes(entries: list[Entry], settings: Cleaning) -> bytes:
    """Clean files, and return the content of their shard."""
    examples: Counter = Counter()
    rows = []
    for entry in entries:
        cleaned = _clean_entry(entry, settings)
        row = {name: getattr(cleaned, name, None) for name in SCHEMA.names}
        row |= {"name": entry.name, **{label: entry.labels.get(label) for label in LABELS}}
        row["example"] = None
        if cleaned.reason and cleaned.example is not None and examples[cleaned.reason] < EXAMPLES:
            examples[cleaned.reason] += 1
            row["example"] = preview(as_image(cleaned.example))
        rows.append(row)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    return buffer.getvalue().to_pybytes()


def _clean_entry(entry: Entry, settings: Cleaning) -> Cleaned:
    entry = with_bytes(entry)
    if entry.reason:
        return Cleaned(reason=entry.reason, detail=entry.detail)
    return clean(entry.read(), entry.name, settings)


def preview(image: Image.Image) -> bytes:
    """A small JPEG for the report."""
    image = image.copy()
    image.thumbnail((EXAMPLE_SIZE, EXAMPLE_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


class Shard:
    """A shard mapped into memory: only the columns in use are read."""

    def __init__(self, path: Path):
        with open(path, "rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.table = pa.ipc.open_file(pa.py_buffer(self._mapped)).read_all()

    def forget(self) -> None:
        """Release the memory of pages already read; the system may still cache them."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._mapped.madvise(mmap.MADV_DONTNEED)
