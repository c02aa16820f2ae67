"""The last step of a build: the chosen covers into Parquet files that `datasets` loads, and a list of all files."""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .candidates import read_shard, write_whole
from .choosing import KEPT, STEP_NAMES, Candidates, Choice
from .labels import LABELS
from .split import is_held_out

ROWS = 4_096  # covers a file, about 100 MB at 256 pixels
ROW_GROUP = 128  # covers that a reader takes in at once

COVERS = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        *[(name, pa.string()) for name in LABELS[:3]],
        ("year", pa.int32()),
        ("group", pa.string()),
        ("source", pa.string()),
        ("source_path", pa.string()),
        ("source_sha256", pa.string()),
        ("source_format", pa.string()),
        ("source_mode", pa.string()),
        ("source_width", pa.int32()),
        ("source_height", pa.int32()),
        ("source_bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("dhash", pa.string()),
        ("phash", pa.string()),
        ("copies_found", pa.int32()),
        ("labels_borrowed", pa.string()),
        ("notes", pa.string()),
    ]
)


def split_of(files: Candidates, choice: Choice) -> dict[str, np.ndarray]:
    """The rows that are kept, "train" and "test", each in the order of their ids, which is a random one."""
    rows = np.flatnonzero(choice.reasons == KEPT)
    # Two rows have one id only where exact duplicates are allowed: then by row.
    rows = rows[np.lexsort((rows, *files.digests[rows].T[::-1]))]
    held_out = np.array([is_held_out(group_name(group)) for group in choice.groups[rows]], bool)
    return {"train": rows[~held_out], "test": rows[held_out]}


def group_name(group: np.uint64) -> str:
    """Sixteen hex digits: the smallest id in the group."""
    return f"{int(group):016x}"


def write_covers(
    files: Candidates, choice: Choice, sources: list[str], split: dict[str, np.ndarray], folder: Path
) -> Iterator[int]:
    """Write `folder`/<split>-00000-of-00012.parquet and so on; those that are there already stay.

    Gives the number of covers of each file as it is finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    borrowed = borrowed_labels(files, choice)
    for name, rows in split.items():
        count = -(-len(rows) // ROWS)
        for number in range(count):
            part = rows[number * ROWS : (number + 1) * ROWS]
            path = folder / f"{name}-{number:05d}-of-{count:05d}.parquet"
            if not path.exists():
                table = _table(files, choice, sources, part, borrowed)
                buffer = io.BytesIO()
                pq.write_table(
                    table, buffer, row_group_size=ROW_GROUP, compression={"image.bytes": "NONE"}, use_dictionary=False
                )
                write_whole(path, buffer.getbuffer())
            yield len(part)


def borrowed_labels(files: Candidates, choice: Choice) -> dict[int, dict]:
    """Labels that kept rows lack and one of their copies has: of the first copy that has it."""
    copies = np.flatnonzero((choice.kept_as >= 0) & (choice.kept_as != np.arange(len(files))))
    lacking = files.labels[copies] & ~files.labels[choice.kept_as[copies]]
    copies = copies[lacking != 0]
    found: dict[int, dict] = {}
    for shard, rows, places in files.by_shard(copies):
        table = read_shard(files.shards[shard], list(LABELS)).take(rows).to_pylist()
        for copy, labels in zip(copies[places], table, strict=True):
            kept = int(choice.kept_as[copy])
            for bit, label in enumerate(LABELS):
                if labels[label] is not None and not files.labels[kept] >> bit & 1:
                    found.setdefault(kept, {}).setdefault(label, labels[label])
    return found


def _table(files: Candidates, choice: Choice, sources: list[str], rows: np.ndarray, borrowed: dict) -> pa.Table:
    parts, order = [], []
    for shard, within, places in files.by_shard(rows):
        table = read_shard(files.shards[shard]).drop_columns(["thumbnail", "example", "reason", "detail"])
        names = pa.array([sources[files.sources[shard]]] * len(within))
        parts.append(table.take(within).append_column("source", names))
        order.append(places)
    table = pa.concat_tables(parts).take(np.argsort(np.concatenate(order), kind="stable"))
    result = []
    for row, cover in zip(rows.tolist(), table.to_pylist(), strict=True):
        identity = cover["source_sha256"][:16]
        extra = borrowed.get(row, {})
        result.append(
            cover
            | extra
            | {
                "id": identity,
                "image": {"bytes": cover["jpeg"], "path": f"{identity}.jpg"},
                "group": group_name(choice.groups[row]),
                "source_path": cover["name"],
                "dhash": f"{cover['dhash']:016x}",
                "phash": f"{cover['phash']:016x}",
                "copies_found": int(choice.copies[row]),
                "labels_borrowed": ",".join(sorted(extra)) or None,
                "notes": ",".join(cover["notes"]) or None,
            }
        )
    return pa.Table.from_pylist(result, COVERS.with_metadata({"huggingface": _features()}))


def _features() -> str:
    """What makes `datasets` show the column as pictures."""
    features = {field.name: {"dtype": str(field.type), "_type": "Value"} for field in COVERS}
    features["image"] = {"_type": "Image"}
    return json.dumps({"info": {"features": features}})


def write_list(files: Candidates, choice: Choice, sources: list[str], path: Path) -> None:
    """What became of each file of the sources, as a compressed CSV."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as raw:
            # No date and no name inside: two builds give the same bytes.
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                text = io.TextIOWrapper(packed, "utf-8", newline="")
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow(["source", "file", "outcome", "detail", "kept_as", "notes"])
                for shard in range(len(files.shards)):
                    writer.writerows(_lines(files, choice, sources, shard))
                text.flush()
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _lines(files: Candidates, choice: Choice, sources: list[str], shard: int) -> Iterator[tuple]:
    table = read_shard(files.shards[shard], ["name", "detail", "notes"]).to_pylist()
    for row, cover in enumerate(table, files.starts[shard]):
        reason, kept_as = choice.reasons[row], choice.kept_as[row]
        yield (
            sources[files.sources[shard]],
            cover["name"],
            "kept" if reason == KEPT else STEP_NAMES[reason],
            cover["detail"],
            f"{int(files.digests[kept_as, 0]):016x}" if kept_as >= 0 else "",
            ",".join(cover["notes"] or ()),
        )
