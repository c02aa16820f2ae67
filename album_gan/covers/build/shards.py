"""The last step of a build: write the selected covers to Parquet files for `datasets`, and a list of all files."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...inference.atomic import atomic_path
from ..split import is_held_out
from .metadata import LABELS
from .selection import KEPT, STEP_NAMES, Candidates, Choice

ROWS = 4_096  # covers per file, about 100 MB at 256 pixels
ROW_GROUP = 128  # covers that a reader loads at once
PARQUET = {"compression": {"image.bytes": "NONE"}, "use_dictionary": False}

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
# Columns taken from the candidates, some in another form.
CLEANED = [
    *LABELS, "name", "source_sha256", "source_format", "source_mode", "source_width", "source_height", "source_bytes",
    "width", "height", "dhash", "phash", "notes", "jpeg",
]  # fmt: skip


def split_of(files: Candidates, choice: Choice) -> dict[str, np.ndarray]:
    """The rows of "train" and "test", each ordered by id, which is a random order."""
    rows = np.flatnonzero(choice.reasons == KEPT)
    # Two rows have the same id only if exact duplicates are allowed: then order by row.
    rows = rows[np.lexsort((rows, *files.digests[rows].T[::-1]))]
    held_out = np.array([is_held_out(group_name(group)) for group in choice.groups[rows]], bool)
    return {"train": rows[~held_out], "test": rows[held_out]}


def group_name(group: np.uint64 | int) -> str:
    """Sixteen hex digits: the smallest id in the group when it was first built."""
    return f"{int(group):016x}"


def earlier_groups(files: Candidates, choice: Choice, data: list[Path]) -> np.ndarray:
    """`choice.groups`, where those with a cover of the earlier build in the parquet files `data` keep its group.

    So no cover changes between training and held-out ones when sources are added. Of several earlier groups that are
    one now, the first that is trained on gives the name.
    """
    earlier: dict[int, int] = {}
    for path in data:
        columns = pq.read_table(path, columns=["id", "group"]).to_pydict()
        earlier |= {int(key, 16): int(group, 16) for key, group in zip(columns["id"], columns["group"], strict=True)}
    names: dict[int, int] = {}
    for row in np.flatnonzero(choice.kept_as >= 0).tolist():
        name = earlier.get(int(files.digests[row, 0]))
        if name is not None:
            group = int(choice.groups[row])
            names[group] = min(names.get(group, name), name, key=lambda one: (is_held_out(group_name(one)), one))
    return np.array([names.get(group, group) for group in choice.groups.tolist()], np.uint64)


def write_covers(
    files: Candidates, choice: Choice, sources: list[str], split: dict[str, np.ndarray], folder: Path
) -> Iterator[int]:
    """Write `folder`/<split>-00000-of-00012.parquet and so on; existing files are kept.

    Yields the number of covers of each file as it is finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    borrowed = borrowed_labels(files, choice)
    schema = COVERS.with_metadata({"huggingface": _features()})
    for name, rows in split.items():
        count = -(-len(rows) // ROWS)
        for number in range(count):
            part = rows[number * ROWS : (number + 1) * ROWS]
            path = folder / f"{name}-{number:05d}-of-{count:05d}.parquet"
            if not path.exists():
                with atomic_path(path, flush=True) as file, pq.ParquetWriter(file, schema, **PARQUET) as writer:
                    for start in range(0, len(part), ROW_GROUP):
                        writer.write_table(_table(files, choice, sources, part[start : start + ROW_GROUP], borrowed))
                        pa.default_memory_pool().release_unused()  # it would hold on to more with each group
            yield len(part)


def borrowed_labels(files: Candidates, choice: Choice) -> dict[int, dict]:
    """Labels that a cover lacks and one of its copies has, taken from the first such copy."""
    copies = np.flatnonzero((choice.kept_as >= 0) & (choice.kept_as != np.arange(len(files))))
    copies = copies[files.labels[copies] & ~files.labels[choice.kept_as[copies]] != 0]
    found: dict[int, dict] = {}
    lent = files.take(copies, [*LABELS]).to_pylist()
    for kept, labels in zip(choice.kept_as[copies].tolist(), lent, strict=True):
        for bit, label in enumerate(LABELS):
            if labels[label] is not None and not files.labels[kept] >> bit & 1:
                found.setdefault(kept, {}).setdefault(label, labels[label])
    return found


def _table(files: Candidates, choice: Choice, sources: list[str], rows: np.ndarray, borrowed: dict) -> pa.Table:
    """Rows in their final form; pictures are copied without becoming Python objects."""
    cleaned = files.take(rows, CLEANED)
    columns = {name: cleaned[name] for name in CLEANED}
    identities = pc.utf8_slice_codeunits(cleaned["source_sha256"], 0, 16).combine_chunks()
    paths = pc.binary_join_element_wise(identities, ".jpg", "")
    columns["id"] = identities
    columns["image"] = pa.StructArray.from_arrays([cleaned["jpeg"].combine_chunks(), paths], ["bytes", "path"])
    extra = [borrowed.get(row, {}) for row in rows.tolist()]
    for label in LABELS:
        lent = pa.array([labels.get(label) for labels in extra], COVERS.field(label).type)
        columns[label] = pc.coalesce(cleaned[label], lent)
    columns["labels_borrowed"] = [",".join(sorted(labels)) or None for labels in extra]
    columns["group"] = [group_name(group) for group in choice.groups[rows]]
    columns["source"] = [sources[files.sources[shard]] for shard in files.locate(rows)[0]]
    columns["source_path"] = cleaned["name"]
    for name in ("dhash", "phash"):
        columns[name] = [f"{value:016x}" for value in cleaned[name].to_pylist()]
    columns["copies_found"] = choice.copies[rows]
    columns["notes"] = [",".join(notes) or None for notes in cleaned["notes"].to_pylist()]
    return pa.Table.from_pydict(columns, COVERS)


def _features() -> str:
    """Metadata by which `datasets` treats the column as pictures."""
    features = {field.name: {"dtype": str(field.type), "_type": "Value"} for field in COVERS}
    features["image"] = {"_type": "Image"}
    return json.dumps({"info": {"features": features}})


def write_list(files: Candidates, choice: Choice, sources: list[str], path: Path) -> None:
    """What became of each file of the sources, as a compressed CSV."""
    # Without date and name, so that two builds give the same bytes.
    with (
        atomic_path(path, flush=True) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        text = io.TextIOWrapper(packed, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["source", "file", "outcome", "detail", "kept_as", "notes"])
        for start, rows in files.each_shard(["name", "detail", "notes"]):
            writer.writerows(_lines(files, choice, sources, start, rows))
        text.flush()


def _lines(files: Candidates, choice: Choice, sources: list[str], start: int, rows: list[dict]) -> Iterator[tuple]:
    source = sources[files.sources[files.locate(start)[0]]]
    for row, cover in enumerate(rows, start):
        reason, kept_as = choice.reasons[row], choice.kept_as[row]
        yield (
            source,
            cover["name"],
            "kept" if reason == KEPT else STEP_NAMES[reason],
            cover["detail"],
            f"{int(files.digests[kept_as, 0]):016x}" if kept_as >= 0 else "",
            ",".join(cover["notes"] or ()),
        )
