"""The first phase of a build: every file of a source cleaned, into shards of candidates that are never made twice.

A shard is an Arrow file with one row a file of the source, kept or rejected. It appears whole or not at all.
"""

import hashlib
import io
import json
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from .cleaning import Cleaned, Cleaning, clean
from .entry import MAX_BYTES, Entry
from .sources import Source

FORMAT_VERSION = 1
SHARD_FILES, SHARD_BYTES = 512, 32 << 20  # a shard is as large as either
EXAMPLES, EXAMPLE_SIZE = 8, 96  # small pictures of what each step rejected, a shard; pixels

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


@dataclass
class Raw:
    """One file as it goes to a worker: its bytes, or why there are none."""

    name: str
    labels: dict
    data: bytes | None
    reason: str | None
    detail: str = ""


def gather(source: Source, folder: Path, settings: Cleaning, workers: int, progress: Callable[[int], None]) -> Path:
    """Clean all files of `source` into a folder of shards below `folder`, and return that one.

    Goes on where an earlier call was interrupted. `workers` processes; with 0 this one does it.
    `progress` is told how many files are done.
    """
    folder = folder / candidates_name(source, settings)
    finished = folder / "finished.json"
    if finished.exists():
        progress(json.loads(finished.read_text())["files"])
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    done = {int(path.stem) for path in folder.glob("[0-9]*.arrow")}
    files = 0
    with _Workers(workers) as pool:
        for number, count, raws in _cut(source.entries(), done):
            files += count
            if raws is None:
                progress(count)
            else:
                pool.submit(folder / f"{number:06d}.arrow", raws, settings, lambda count=count: progress(count))
    write_whole(finished, json.dumps({"files": files}).encode())
    return folder


def candidates_name(source: Source, settings: Cleaning) -> str:
    """Changes with the source's contents and with how they are cleaned."""
    key = json.dumps([FORMAT_VERSION, source.name, source.identity, asdict(settings)], sort_keys=True)
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _cut(entries: Iterator[Entry], done: set[int]) -> Iterator[tuple[int, int, list[Raw] | None]]:
    """Number, count of files, and the files of each shard; None in place of those of shards that are done."""
    number, count, size, raws = 0, 0, 0, []
    for entry in entries:
        if count and (count == SHARD_FILES or size + entry.size > SHARD_BYTES):
            yield number, count, None if number in done else raws
            number, count, size, raws = number + 1, 0, 0, []
        count, size = count + 1, size + entry.size
        if number not in done:
            raws.append(_read(entry))
    if count:
        yield number, count, None if number in done else raws


def _read(entry: Entry) -> Raw:
    if entry.reason:
        return Raw(entry.name, entry.labels, None, entry.reason)
    try:
        data = entry.read()
    except Exception as error:  # disks and archives fail in many ways: OSError, BadZipFile, zlib.error, ...
        # Its message may hold the path of this machine, which is nobody's business.
        return Raw(entry.name, entry.labels, None, "unreadable", type(error).__name__)
    if len(data) > MAX_BYTES:  # more than its archive said
        return Raw(entry.name, entry.labels, None, "too_many_bytes")
    return Raw(entry.name, entry.labels, data, None)


class _Workers:
    """Processes that make shards, with no more work waiting than keeps them busy."""

    def __init__(self, count: int):
        self.count = count
        self.pool = self._start(count) if count else None
        self.waiting: dict[Future, tuple] = {}

    @staticmethod
    def _start(count: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # forking beside Arrow's threads can hang
        return ProcessPoolExecutor(count, context, initializer=_die_with_parent)

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            while kind is None and self.waiting:
                self._collect()
        finally:
            if self.pool:
                self.pool.shutdown(cancel_futures=True)

    def submit(self, path: Path, raws: list[Raw], settings: Cleaning, finished: Callable[[], None]) -> None:
        if self.pool is None:
            make_shard(path, raws, settings)
            finished()
            return
        while len(self.waiting) > self.count:
            self._collect()
        try:
            self.waiting[self.pool.submit(make_shard, path, raws, settings)] = (path, raws, settings, finished)
        except BrokenProcessPool:
            self._recover()
            self.submit(path, raws, settings, finished)

    def _collect(self) -> None:
        done, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        for future in done:
            if isinstance(future.exception(), BrokenProcessPool):
                self._recover()
                return
            future.result()
            self.waiting.pop(future)[-1]()

    def _recover(self) -> None:
        """A picture killed its worker: find out which, one by one, and go on without it."""
        for path, raws, settings, finished in self.waiting.values():
            if not path.exists():
                for raw in raws:
                    if raw.data is not None and not self._survives(raw, settings):
                        raw.data, raw.reason, raw.detail = None, "corrupt", "its decoder crashed"
                make_shard(path, raws, settings)
            finished()
        self.waiting = {}
        self.pool.shutdown()
        self.pool = self._start(self.count)

    def _survives(self, raw: Raw, settings: Cleaning) -> bool:
        probe = getattr(self, "probe", None) or self._start(1)
        try:
            probe.submit(_try, raw, settings).result()
            self.probe = probe
            return True
        except BrokenProcessPool:
            self.probe = None
            return False


def _try(raw: Raw, settings: Cleaning) -> None:
    clean(raw.data, raw.name, settings)


def _die_with_parent() -> None:
    """A killed build must not leave workers behind."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_shard(path: Path, raws: list[Raw], settings: Cleaning) -> None:
    """Clean files and write them as one shard."""
    seen: Counter = Counter()
    rows = []
    for raw in raws:
        if raw.data is None:
            cleaned = Cleaned(reason=raw.reason, detail=raw.detail)
        else:
            cleaned = clean(raw.data, raw.name, settings)
        row = {name: getattr(cleaned, name, None) for name in SCHEMA.names}
        row |= {"name": raw.name, **{label: raw.labels.get(label) for label in ("genre", "artist", "title", "year")}}
        row["example"] = None
        if cleaned.reason and cleaned.example is not None and seen[cleaned.reason] < EXAMPLES:
            seen[cleaned.reason] += 1
            row["example"] = _example(cleaned)
        rows.append(row)
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    write_whole(path, buffer.getbuffer())


def _example(cleaned: Cleaned) -> bytes:
    image = cleaned.example.copy()
    image.thumbnail((EXAMPLE_SIZE, EXAMPLE_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever kills us."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_shard(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A shard, mapped into memory: only what is looked at is read."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    return table.select(columns) if columns else table
