"""The covers to train on. Standard library only."""

from collections.abc import Iterator

from ..covers.recommended_settings import FEW_COVERS
from .findings import Context, Finding


def check_covers(context: Context) -> Iterator[Finding]:
    """Whether the data set can be read."""
    probe = context.covers
    if probe is None:
        yield Finding("ok", "none given; --train-data-dir or --dataset-name checks a data set")
        return
    train, broken = probe.get("train"), probe.get("broken")
    if train is None and probe.get("timed_out"):
        yield Finding("note", f"not all read within {probe.get('timed_out')} s; a very large data set takes longer")
    elif train is None:
        error = (probe.error() or "it could not be read").replace("reading the data set failed: ValueError: ", "")
        yield Finding("problem", error, "album-gan covers build YOUR_PICTURES --out my_covers   # takes any pile")
    elif broken:
        text = f"{train:,} to train on; of the first ones {len(broken)} cannot be decoded: {broken[0]}"
        yield Finding("note", text, "album-gan covers build YOUR_PICTURES --out my_covers   # leaves them out")
    else:
        yield Finding("ok", f"{train:,} to train on, {probe.get('held_out'):,} held out")
        if train < FEW_COVERS:
            text = "too few to train from scratch; start from a trained model"
            yield Finding("note", text, "accelerate launch train.py --train_data_dir YOUR_COVERS --init_from bundled")
