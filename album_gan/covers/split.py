"""The fixed split: which covers are held out from all training."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from .decoding import read_bytes

if TYPE_CHECKING:
    import datasets

HELD_OUT_SHARE = 0.095  # about 1,000 of 10,500 covers; fixed before the first training step


def is_held_out(group: str) -> bool:
    """Whether the covers of `group` are held out for evaluation. All editions of one cover share a group."""
    digest = hashlib.sha256(f"held-out:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


def group_of(row: dict, image_column: str) -> str:
    """The group of a row; without that column, each distinct file is its own group."""
    if "group" in row:
        return str(row["group"])
    try:
        return hashlib.sha256(read_bytes(row[image_column])).hexdigest()
    except ValueError:
        return str((row[image_column] or {}).get("path"))  # unreadable; decoding will skip it


def held_out_rows(rows: "datasets.Dataset", image_column: str) -> np.ndarray:
    """Which rows are held out, as (N,) bool."""
    groups: Iterable[str]
    if "group" in rows.column_names:
        groups = map(str, rows["group"])
    else:
        pictures = tqdm(rows[image_column], desc="hashing covers", unit=" covers", disable=len(rows) < 2_000)
        groups = (group_of({image_column: picture}, image_column) for picture in pictures)
    return np.fromiter((is_held_out(group) for group in groups), bool, len(rows))
