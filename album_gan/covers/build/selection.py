"""The second phase of a build: select candidates, and group them. Deterministic."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from .candidates import SCHEMA, Shard
from .cleaning import STEPS, Cleaning
from .duplicates import compare_pairs, components, near_hashes, originals
from .metadata import LABELS, letters_and_digits

STEP_NAMES = tuple(STEPS)
KEPT = 255  # code for "not rejected"
OPEN_SHARDS = 128  # at once: a million covers have 4,000, and a system may allow a process 256 open files
AT_ONCE = 4  # rows read before their memory is released: each cell loads 64 KB of its shard
COLUMNS = ["reason", "notes", *LABELS, "name", "source_sha256", "source_width", "source_height", "source_bytes"]


@dataclass
class Candidates:
    """The data about all files for the selection: about 150 bytes each, whatever the size of the pictures."""

    shards: list[Path]
    sources: np.ndarray  # the source of each shard
    starts: np.ndarray  # the first row of each shard, and the total count
    reasons: np.ndarray  # index into STEP_NAMES, or KEPT
    notes: np.ndarray  # a bit for each of STEP_NAMES
    labels: np.ndarray  # a bit for each of LABELS that is present
    digests: np.ndarray  # (N, 4) uint64: SHA-256 of the file
    sizes: np.ndarray  # pixels of the original
    lengths: np.ndarray  # bytes of the original
    hashes: np.ndarray  # (N, 2) uint64
    albums: np.ndarray  # hash of artist and title, 0 where one is unknown
    artists: np.ndarray  # hash of the artist, or else of the file's folder

    def __post_init__(self) -> None:
        self.open = lru_cache(OPEN_SHARDS)(Shard)

    def __len__(self) -> int:
        return len(self.reasons)

    def locate(self, rows: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """The shard of each row, and its position there."""
        shards = np.searchsorted(self.starts, rows, side="right") - 1
        return shards, rows - self.starts[shards]

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """These columns of these rows, in this order, copied."""
        parts = [SCHEMA.empty_table().select(columns)]
        for start in range(0, len(rows), AT_ONCE):
            shards, places = (part.tolist() for part in self.locate(rows[start : start + AT_ONCE]))
            opened = {shard: self.open(self.shards[shard]) for shard in set(shards)}
            tables = {shard: one.table.select(columns) for shard, one in opened.items()}
            picked = [tables[shard].slice(place, 1) for shard, place in zip(shards, places, strict=True)]
            parts.append(pa.concat_tables(picked).combine_chunks())
            for one in opened.values():
                one.forget()
        return pa.concat_tables(parts).combine_chunks()

    def each_shard(self, columns: list[str]) -> Iterator[tuple[int, list[dict]]]:
        """The first row of each shard, and its rows with these columns."""
        for start, path in zip(self.starts.tolist(), self.shards, strict=False):
            shard = self.open(path)
            yield start, shard.table.select(columns).to_pylist()
            shard.forget()


@dataclass
class Choice:
    """The result for each candidate."""

    reasons: np.ndarray  # index into STEP_NAMES, or KEPT
    kept_as: np.ndarray  # the row kept for it: itself, another, or -1
    groups: np.ndarray  # uint64 of each row; 0 for rows that are neither kept nor a copy
    copies: np.ndarray  # number of files merged into this one, including itself


def load(folders: list[Path]) -> Candidates:
    """All candidates of these folders, in this order."""
    shards, sources, parts = [], [], []
    for source, folder in enumerate(folders):
        for path in sorted(folder.glob("[0-9]*.arrow")):
            shards.append(path)
            sources.append(source)
            parts.append(_load_shard(Shard(path).table))
    starts = np.cumsum([0] + [len(part[0]) for part in parts])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.empty(0)] * 9
    return Candidates(shards, np.array(sources), starts, *columns)


def _load_shard(table: pa.Table) -> tuple[np.ndarray, ...]:
    rows = table.select(COLUMNS).to_pylist()
    codes = {name: code for code, name in enumerate(STEP_NAMES)} | {None: KEPT}
    return (
        np.array([codes[row["reason"]] for row in rows], np.uint8),
        np.array([sum(1 << codes[note] for note in row["notes"] or ()) for row in rows], np.uint64),
        np.array([sum((row[label] is not None) << bit for bit, label in enumerate(LABELS)) for row in rows], np.uint8),
        np.array([_digest(row["source_sha256"]) for row in rows], np.uint64).reshape(-1, 4),
        np.array([row["source_width"] * row["source_height"] for row in rows], np.int64),
        np.array([row["source_bytes"] for row in rows], np.int64),
        np.stack([table["dhash"].to_numpy(), table["phash"].to_numpy()], 1),
        np.array([_album(row["artist"], row["title"]) for row in rows], np.uint64),
        np.array([_hash(_artist_or_folder(row["artist"], row["name"])) for row in rows], np.uint64),
    )


def _digest(text: str) -> list[int]:
    return [int(text[start : start + 16], 16) for start in range(0, 64, 16)] if text else [0] * 4


def _album(artist: str | None, title: str | None) -> int:
    artist, title = letters_and_digits(artist or ""), letters_and_digits(title or "")
    return _hash(f"{artist}\n{title}") if artist and title else 0


def _artist_or_folder(artist: str | None, name: str) -> str:
    """Where the artist is unknown, the folder; without numbers, which are of years, discs, or rows of a table."""
    folders = [part for part in name.split("/")[:-1] if not part.isdecimal()]
    return letters_and_digits(artist or "") or "/".join([*folders, ""])


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def choose(files: Candidates, settings: Cleaning, placeholder_copies: int) -> Choice:
    """Find placeholders, duplicates and groups.

    `placeholder_copies`: a file that occurs this often, under at least half as many artists, is not a cover. Where an
    artist is unknown, the folder counts instead.
    """
    reasons = files.reasons.copy()
    kept_as = np.where(reasons == KEPT, np.arange(len(files)), -1)
    # In order of preference: an original with enough pixels, not in CMYK, whose conversion to RGB is a guess; then the
    # largest picture, the longest file, the smallest hash, the first row.
    alive = np.flatnonzero(reasons == KEPT)
    enough = np.minimum(files.sizes[alive], settings.resolution**2)
    print_colours = files.notes[alive] >> np.uint64(STEP_NAMES.index("cmyk")) & np.uint64(1)
    keys = (alive, *files.digests[alive].T[::-1], -files.lengths[alive], -files.sizes[alive], print_colours, -enough)
    alive = alive[np.lexsort(keys)]

    _, inverse, counts = np.unique(files.digests[alive], axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if settings.rejects("placeholder") and placeholder_copies:
        many = np.flatnonzero(counts >= placeholder_copies)
        for same_file in many:
            rows = alive[inverse == same_file]
            if len(np.unique(files.artists[rows])) * 2 >= placeholder_copies:
                reasons[rows], kept_as[rows] = STEP_NAMES.index("placeholder"), -1
        stays = reasons[alive] == KEPT
        alive, inverse = alive[stays], inverse[stays]

    links = [np.empty((0, 2), np.int64)]
    _, first, inverse = np.unique(inverse, return_index=True, return_inverse=True)
    best = alive[first[inverse.reshape(-1)]]
    copies = best != alive
    links.append(np.stack([best, alive], 1)[copies])
    copied, first_of = alive[copies], best[copies]
    alive = alive[~copies]
    if settings.rejects("exact_duplicate"):
        reasons[copied], kept_as[copied] = STEP_NAMES.index("exact_duplicate"), first_of

    pairs = near_hashes(files.hashes[alive, 0], files.hashes[alive, 1])
    same, related = compare_pairs(pairs, lambda rows: _thumbnails(files, alive[rows]))
    links.append(alive[pairs[related]])
    if settings.rejects("near_duplicate"):
        replaced = originals(pairs[same], len(alive))
        gone = replaced != np.arange(len(alive))
        reasons[alive[gone]], kept_as[alive[gone]] = STEP_NAMES.index("near_duplicate"), alive[replaced[gone]]
        if not settings.rejects("exact_duplicate"):  # the same bytes have the same near duplicates
            gone = kept_as[first_of] != first_of
            reasons[copied[gone]] = STEP_NAMES.index("near_duplicate")
            kept_as[copied[gone]] = kept_as[first_of[gone]]
    kept_as = np.where(kept_as >= 0, kept_as[kept_as], -1)  # a copy of a copy

    links.append(_albums(files, np.flatnonzero(kept_as >= 0)))
    labels = components(np.concatenate(links), len(files))
    groups = np.full(len(files), np.iinfo(np.uint64).max, np.uint64)
    found = np.flatnonzero(kept_as >= 0)
    np.minimum.at(groups, labels[found], files.digests[found, 0])
    return Choice(
        reasons=reasons,
        kept_as=kept_as,
        groups=np.where(kept_as >= 0, groups[labels], np.uint64(0)),
        copies=np.bincount(kept_as[found], minlength=len(files)),
    )


def _albums(files: Candidates, rows: np.ndarray) -> np.ndarray:
    """Pairs of rows of one artist and title."""
    rows = rows[files.albums[rows] != 0]
    rows = rows[np.argsort(files.albums[rows], kind="stable")]
    equal = files.albums[rows][1:] == files.albums[rows][:-1]
    return np.stack([rows[:-1][equal], rows[1:][equal]], 1)


def _thumbnails(files: Candidates, rows: np.ndarray) -> np.ndarray:
    """(N, THUMBNAIL_BYTES)"""
    pixels = files.take(rows, ["thumbnail"])["thumbnail"]
    return np.stack([np.frombuffer(value.as_buffer(), np.uint8) for value in pixels])
