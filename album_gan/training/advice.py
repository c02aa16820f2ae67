"""Advice on a run's options, printed first by a run or a dry run."""

from collections.abc import Iterator

from ..covers.dataset import Split
from ..covers.recommended_settings import FEW_COVERS
from ..recipes.base import Recipe
from .config import TrainingConfig


def advice(split: Split, config: TrainingConfig, recipe: Recipe) -> Iterator[str]:
    """Better options for a run on these covers, a line each."""
    # A stream's covers are not counted, and synthetic ones are only for trials.
    counted = split.train.stream is None and config.dataset_name != "synthetic"
    if counted and len(split.train) < FEW_COVERS and not config.init_from:
        fits = config.recipe == "projected" and config.resolution >= 128  # the bundled model's, or one it can grow to
        options = "--init_from bundled" if fits else "--recipe projected --resolution 128 --init_from bundled"
        few = f"ADVICE: {len(split.train):,} covers are few to start from scratch."
        yield f"{few} Start from a model that draws covers: {options}"
    if recipe.without_labels and not recipe.classes:
        yield (
            f"ADVICE: {config.recipe} without a label column trains as {recipe.without_labels}. Name the column that "
            "holds each cover's class: --label_column genre"
        )
