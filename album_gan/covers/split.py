"""The fixed split: which covers are held out from all training."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from .columns import value_text
from .decoding import read_bytes

if TYPE_CHECKING:
    import datasets

HELD_OUT_SHARE = 0.095  # about 1,000 of 10,500 covers; fixed before the first training step


def is_held_out(group: str) -> bool:
    """Whether the covers of `group` are held out for evaluation. All editions of one cover share a group.

    The same group is held out in any data set, but data sets may name groups differently: see `group_of`.
    """
    digest = hashlib.sha256(f"held-out:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


def group_of(row: dict, image_column: str) -> str:
    """The group of a row; without one, each distinct file is its own group, by its SHA-256.

    A build names groups by the first 16 digits of one instead, so a pile and its build hold out different covers.
    """
    if value_text(row.get("group")) is not None:
        return str(row["group"])
    try:
        return hashlib.sha256(read_bytes(row[image_column])).hexdigest()
    except ValueError:
        return str((row[image_column] or {}).get("path"))  # unreadable; decoding will skip it


def held_out_rows(rows: "datasets.Dataset", image_column: str) -> np.ndarray:
    """Which rows are held out, as (N,) bool."""
    groups = list(rows["group"]) if "group" in rows.column_names else [None] * len(rows)
    without = [index for index, group in enumerate(groups) if value_text(group) is None]
    pictures = rows.select_columns(image_column).select(without)[image_column]
    bar = tqdm(pictures, desc="hashing covers", unit=" covers", disable=len(without) < 2_000)
    for index, picture in zip(without, bar, strict=True):
        groups[index] = group_of({image_column: picture}, image_column)
    return np.fromiter((is_held_out(str(group)) for group in groups), bool, len(rows))
