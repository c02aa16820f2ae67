"""A trained generator made into a model that others load, and a model taken to go on from."""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..hub.run_checkpoints import read_state
from ..inference.atomic import write_atomic
from ..inference.model_store import find_model, read_json, read_weights, write_weights
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.upscaling import lanczos, one_pass
from ..light_diffusers import ModelMixin
from ..networks.cover_upscaler import SCALE
from ..recipes.base import Recipe
from ..recipes.named_random import Draw
from .config import TrainingConfig
from .ema import reestimate_batch_norm, round_to_half

DRAWN_TOGETHER = 64  # covers of a sheet or an evaluation
STATISTICS_BATCHES = 100
STATISTICS_BATCH_SIZE = 8


def save_model(
    folder: Path,
    average: ModelMixin,
    discriminator: ModelMixin,
    recipe: Recipe,
    seed: int,
    labels: Tensor | None,
    record: dict[str, Any],
) -> ModelMixin:
    """Write generator, discriminator and training.json so that `from_pretrained` and `--init_from` load them.

    Returns the averaged network as others will load it.
    """
    average = copy.deepcopy(average)
    round_to_half(average)
    make_ready_to_draw(average, recipe, seed, labels)
    pipeline_of(average).save_pretrained(folder)
    (folder / "discriminator").mkdir(exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in discriminator.state_dict().items()}
    write_weights(folder / "discriminator", weights)
    write_atomic(folder / "discriminator" / "config.json", discriminator.to_json_string())
    write_atomic(folder / "training.json", json.dumps(record, indent=2) + "\n")
    loaded = AlbumCoverPipeline.from_pretrained(folder, device="cpu")
    return loaded.generator if draws(average) else loaded.upscaler


@torch.no_grad()
def make_ready_to_draw(
    generator: ModelMixin, recipe: Recipe, seed: int, labels: Tensor | None = None, batches: int = STATISTICS_BATCHES
) -> None:
    """Give averaged weights their own BatchNorm statistics and mean stem, over seeded latents.

    `labels` (N,), those of the training covers, are drawn from as well.
    """
    device = next(generator.parameters()).device

    def inputs(number: int, size: int, turn: str) -> tuple[Tensor, ...]:
        draw = Draw(seed, number, size, device=device, turn=turn)
        some = {} if labels is None else {"labels": labels.to(device)[draw.integers("labels", 0, len(labels))]}
        return recipe.generator_inputs(some, draw)

    reestimate_batch_norm(generator, (inputs(n, STATISTICS_BATCH_SIZE, "statistics") for n in range(batches)))
    if draws(generator):
        generator.stem_mean.copy_(
            generator.embed(  # type: ignore[operator]  # of its own class
                *inputs(0, 4_096, "stem")
            ).mean(0)
        )


def draws(network: nn.Module) -> bool:
    """Whether a network draws covers; the upscaler, trained in the same loop, enlarges what others have drawn."""
    return hasattr(network, "paint")


def pipeline_of(network: ModelMixin) -> AlbumCoverPipeline:
    """A pipeline that draws with `network`, or that enlarges with it what the bundled model draws."""
    if draws(network):
        return AlbumCoverPipeline(network)
    return AlbumCoverPipeline(AlbumCoverPipeline.from_pretrained(device="cpu").generator, network)


def draw_samples(network: ModelMixin, seeds: Sequence[int]) -> list[Image.Image]:
    """What to show of a network: covers of these seeds; of an upscaler, covers made small and enlarged by it."""
    covers = pipeline_of(network)(seeds=seeds, truncation=1.0, batch_size=DRAWN_TOGETHER).images
    if draws(network):
        return covers
    small = (covers[0].width // SCALE, covers[0].height // SCALE)
    return [one_pass(network, lanczos(cover, small)) for cover in covers]


def take_over_settings(recipe: Recipe, config: TrainingConfig, checkpoint: Path | None) -> None:
    """Set what `recipe` leaves open of its networks' form as the checkpoint or `init_from` has it: its weights fit."""
    if not recipe.taken_over or not (checkpoint or config.init_from):
        return
    if checkpoint:
        known = read_state(checkpoint)["config"].get(config.recipe)
    else:
        known = read_json(find_model(config.init_from, parts=("generator", "discriminator")) / "generator/config.json")
    for name in recipe.taken_over:
        value = known.get(name) if isinstance(known, dict) else None
        if getattr(recipe.config, name) is None and type(value) is int:
            recipe.config = dataclasses.replace(recipe.config, **{name: value})


def load_initial_weights(source: str, generator: ModelMixin, discriminator: ModelMixin) -> None:
    """Copy a published model's networks into freshly built ones; ValueError when they do not fit.

    Of its classes, those of the same name are taken over; the others of the new networks stay as they were built.
    """
    drawing = "generator" if draws(generator) else "upscaler"
    folder = find_model(source, parts=(drawing, "discriminator"))
    for name, network in ((drawing, generator), ("discriminator", discriminator)):
        weights = read_weights(folder / name)
        config = read_json(folder / name / "config.json")
        weights = _with_own_classes(weights, config.get("classes") or (), network)
        try:
            found = network.load_state_dict(weights, strict=False)
            if found.unexpected_keys or any(not may_be_new(key) for key in found.missing_keys):
                raise RuntimeError(f"keys do not match: {found}")
        except RuntimeError as error:
            kind, resolution = config.get("_class_name", "network"), config.get("resolution", "any")
            raise ValueError(
                f"init_from {source!r} holds a {kind} of {resolution} px that does not fit this run's "
                f"{type(network).__name__}; use the same recipe and resolution"
            ) from error


def may_be_new(key: str) -> bool:
    """Whether a network computes the same with this weight as it was built, so that a trained one may lack it."""
    return key.startswith("label") or ".refinement." in key


def _with_own_classes(weights: dict[str, Tensor], classes: Sequence[str], network: ModelMixin) -> dict[str, Tensor]:
    """The weights of a network of `classes`, their rows of classes replaced by those that `network` has."""
    own = list(network.config.get("classes") or ())
    if own == list(classes):
        return weights
    fitted = {key: value for key, value in weights.items() if not key.startswith("label")}
    rows = [(own.index(name) + 1, number) for number, name in enumerate(classes, 1) if name in own]
    for key, value in network.state_dict().items():
        if key in weights and key not in fitted:
            fitted[key] = value.clone()
            for here, there in [(0, 0), *rows]:
                fitted[key][here] = weights[key][there]
    return fitted
