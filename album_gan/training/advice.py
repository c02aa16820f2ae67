"""Advice on a run's options, printed first by a run or a dry run."""

from collections.abc import Iterator

import datasets
import numpy as np

from ..covers.dataset import Covers, Split
from ..covers.recommended_settings import FEW_COVERS, resolution_of
from ..recipes.base import Recipe
from .config import TrainingConfig

NUMBERS = ("int", "uint", "float")  # with gaps, whole numbers become floats


def usual_side(covers: Covers) -> int | None:
    """The median of the covers' shorter sides in pixels; None unless columns say it, as those of a build do."""
    if covers.rows is None:
        return None
    columns = ["width", "height"]
    kinds = [covers.rows.features.get(name) for name in columns]
    if not all(isinstance(kind, datasets.Value) and kind.dtype.startswith(NUMBERS) for kind in kinds):
        return None
    table = covers.rows.select_columns(columns).with_format("numpy")[:]
    sides = np.minimum(*(np.asarray(table[name], float) for name in columns))
    known = sides[sides > 0]
    return int(np.median(known)) if len(known) else None


def advice(split: Split, config: TrainingConfig, recipe: Recipe) -> Iterator[str]:
    """Better options for a run on these covers, a line each."""
    # A stream's covers are not counted, and synthetic ones are only for trials.
    counted = split.train.stream is None and config.dataset_name != "synthetic"
    if counted and config.recipe != "upscaler" and len(split.train) < FEW_COVERS and not config.init_from:
        fits = config.recipe == "projected" and config.resolution >= 128  # the bundled model's, or one it can grow to
        options = "--init_from bundled" if fits else "--recipe projected --resolution 128 --init_from bundled"
        few = f"ADVICE: {len(split.train):,} covers are too few to train from scratch."
        yield f"{few} Start from a trained model: {options}"
    side = usual_side(split.train)
    if side is not None and side < config.resolution:
        smaller = resolution_of(side)
        possible = smaller <= side and not config.init_from
        instead = f", or train at their size: --resolution {smaller}" if possible else ""
        yield (
            f"ADVICE: Most covers are {side} px or smaller, enlarged to {config.resolution} px, so the model learns "
            f"their blur. Find larger ones{instead}"
        )
    if recipe.without_labels and not recipe.classes:
        yield (
            f"ADVICE: {config.recipe} without a label column trains as {recipe.without_labels}. Name the column that "
            "holds each cover's class: --label_column genre"
        )
