"""One split, for ever: which covers nothing trained here may see."""

import hashlib

from .decoding import read_bytes

HELD_OUT_SHARE = 0.095  # about 1,000 of 10,500 covers; fixed before the first training step


def is_held_out(group: str) -> bool:
    """Whether the covers of `group` are kept for evaluation. All editions of one cover share a group."""
    digest = hashlib.sha256(f"held-out:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


def group_of(row: dict, image_column: str) -> str:
    """The group of a row; without that column every distinct file is a group of its own."""
    if "group" in row:
        return str(row["group"])
    try:
        return hashlib.sha256(read_bytes(row[image_column])).hexdigest()
    except ValueError:
        return str((row[image_column] or {}).get("path"))  # unreadable; decoding will skip it
