"""Saving a trained generator as a model, and starting from the weights of one."""

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..covers.labels import class_of_variant
from ..hub.run_checkpoints import read_state
from ..inference.atomic import replacing_files, write_atomic
from ..inference.model_store import find_model, load_network, read_json, read_weights, write_weights
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.upscaling import lanczos, one_pass
from ..light_diffusers import ModelMixin
from ..networks.cover_upscaler import SCALE
from ..recipes.base import Recipe
from ..recipes.named_random import Draw
from . import growth
from .config import TrainingConfig
from .ema import reestimate_batch_norm, round_to_half

DRAWN_TOGETHER = 64  # batch size for sheets and evaluations
STATISTICS_BATCHES = 100
# Batches of 32, as in training, gave the last level of a bundled model (1.26 million images) 7 % more variance, so its
# covers less contrast; its kernel distance x 1,000 in EfficientNet-Lite2 was 4.6 instead of 4.4, its precision .65
# instead of .64, its recall .19 instead of .20.
STATISTICS_BATCH_SIZE = 8


def save_model(folder: Path, published: ModelMixin, discriminator: ModelMixin, record: dict[str, Any]) -> ModelMixin:
    """Write generator, discriminator and training.json so that `from_pretrained` and `--init_from` load them.

    `published` comes from `as_published`. Returns the same network as loaded from these files.
    """
    with replacing_files(folder, "model_index.json") as new:
        pipeline_of(published).save_pretrained(new)
        (new / "discriminator").mkdir()
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in discriminator.state_dict().items()}
        write_weights(new / "discriminator", weights)
        write_atomic(new / "discriminator" / "config.json", discriminator.to_json_string())
        write_atomic(new / "training.json", json.dumps(record, indent=2) + "\n")
    loaded = AlbumCoverPipeline.from_pretrained(folder, device="cpu")
    return loaded.generator if is_generator(published) else loaded.upscaler


def as_published(
    average: ModelMixin, recipe: Recipe, seed: int, labels: Tensor | None, batches: int = STATISTICS_BATCHES
) -> ModelMixin:
    """A copy of averaged weights as it would be published: rounded to fp16, then made ready to draw."""
    published = copy.deepcopy(average)
    round_to_half(published)
    make_ready_to_draw(published, recipe, seed, labels, batches)
    return published


@torch.no_grad()
def make_ready_to_draw(
    generator: ModelMixin, recipe: Recipe, seed: int, labels: Tensor | None = None, batches: int = STATISTICS_BATCHES
) -> None:
    """Compute BatchNorm statistics and mean stem of averaged weights, over seeded latents.

    The statistics are means over `batches` batches of STATISTICS_BATCH_SIZE latents each. `labels` (N,) are those of
    the training covers, sampled along with the latents.
    """
    device = next(generator.parameters()).device

    def inputs(number: int, size: int, turn: str) -> tuple[Tensor, ...]:
        draw = Draw(seed, number, size, device=device, turn=turn)
        some = {} if labels is None else {"labels": labels.to(device)[draw.integers("labels", 0, len(labels))]}
        return recipe.generator_inputs(some, draw)

    reestimate_batch_norm(generator, (inputs(n, STATISTICS_BATCH_SIZE, "statistics") for n in range(batches)))
    if is_generator(generator):
        generator.stem_mean.copy_(
            generator.embed(  # type: ignore[operator]  # of its own class
                *inputs(0, 4_096, "stem")
            ).mean(0)
        )


def is_generator(network: nn.Module) -> bool:
    """Whether a network draws covers; the other kind is the upscaler, which is trained in the same loop."""
    return hasattr(network, "paint")


def pipeline_of(network: ModelMixin) -> AlbumCoverPipeline:
    """A pipeline with `network` as generator, or as upscaler of the bundled generator."""
    if is_generator(network):
        return AlbumCoverPipeline(network)
    return AlbumCoverPipeline(AlbumCoverPipeline.from_pretrained(device="cpu").generator, network)


def draw_samples(network: ModelMixin, seeds: Sequence[int]) -> list[Image.Image]:
    """Samples of a network: covers of these seeds; for an upscaler, covers that are downscaled and upscaled by it."""
    covers = pipeline_of(network)(seeds=seeds, truncation=1.0, batch_size=DRAWN_TOGETHER).images
    if is_generator(network):
        return covers
    small = (covers[0].width // SCALE, covers[0].height // SCALE)
    return [one_pass(network, lanczos(cover, small)) for cover in covers]


def inherit_settings(recipe: Recipe, config: TrainingConfig, checkpoint: Path | None) -> None:
    """Inherit architecture settings left at their defaults from the checkpoint or `init_from`, so that weights fit."""
    if not recipe.inherited_settings or not (checkpoint or config.init_from):
        return
    if checkpoint:
        known = read_state(checkpoint)["config"].get(config.recipe)
    else:
        folder = find_model(config.init_from, parts=("generator", "discriminator"))
        networks = [read_json(folder / name / "config.json") for name in ("discriminator", "generator")]
        known = {name: value for network in networks if isinstance(network, dict) for name, value in network.items()}
    for name in recipe.inherited_settings:
        value = known.get(name) if isinstance(known, dict) else None
        if getattr(recipe.config, name) == getattr(recipe.Config(), name) and type(value) in (int, bool):
            recipe.config = dataclasses.replace(recipe.config, **{name: value})


def load_initial_weights(source: str, generator: ModelMixin, discriminator: ModelMixin, fit: bool = True) -> None:
    """Copy a published model's weights into newly built networks; ValueError if they do not fit.

    Classes are matched by name, variants like "pale sky 2" also by that of their class, "pale sky"; other classes of
    the new networks keep their initialisation. A generator of the same
    kind at a lower resolution fits too: the levels that it lacks are fitted to its enlarged covers (`growth`),
    unless `fit` is false.
    """
    drawing = "generator" if is_generator(generator) else "upscaler"
    folder = find_model(source, parts=(drawing, "discriminator"))
    for name, network in ((drawing, generator), ("discriminator", discriminator)):
        weights = read_weights(folder / name)
        config = read_json(folder / name / "config.json")
        weights = _with_own_classes(weights, config.get("classes") or (), network)
        grows = growth.can_grow(config, network)
        if grows:
            weights = growth.coarse_weights(weights)
        try:
            found = network.load_state_dict(weights, strict=False)
            missing = [key for key in found.missing_keys if not may_be_new(key)]
            if grows:
                missing = [key for key in missing if not growth.is_finer(key, config["resolution"])]
            if found.unexpected_keys or missing:
                raise RuntimeError(f"keys do not match: {found}")
        except RuntimeError as error:
            raise ValueError(
                f"init_from {source!r} holds a {config.get('_class_name', 'network')} that does not fit this run's "
                f"{type(network).__name__}{_differences(config, network)}; use the same recipe and settings"
                f"{_resolution_for(config, network)}"
            ) from error
        if grows and fit:
            growth.fit_finer_levels(network, load_network(folder / name, "paint"))  # type: ignore[arg-type]  # see can_grow


def _differences(config: dict[str, Any], network: ModelMixin) -> str:
    """Settings in which `network` differs from a published one with this config, as the end of a sentence."""
    if config.get("_class_name") != type(network).__name__:
        return ""
    pairs = {name: (config[name], value) for name, value in network.config.items() if name in config}
    differing = [
        f"{name} {there} there and {here} here"
        for name, (there, here) in pairs.items()
        if isinstance(here, int) and there != here
    ]
    return f" ({', '.join(differing)})" if differing else ""


def _resolution_for(config: dict[str, Any], network: ModelMixin) -> str:
    """The resolution to choose for a published network with this config, as the end of a sentence, if it differs."""
    there, here = config.get("resolution"), network.config.get("resolution")
    return f", such as --resolution {there}" if isinstance(there, int) and there != here else ""


def may_be_new(key: str) -> bool:
    """Whether a trained network may lack this weight: its initial value has no effect, or a second network is added."""
    return key.startswith(("label", "code.", "second.")) or ".refinement." in key or "modulation." in key


def _with_own_classes(weights: dict[str, Tensor], classes: Sequence[str], network: ModelMixin) -> dict[str, Tensor]:
    """Weights of a network with `classes`, with label rows rearranged to the classes of `network`."""
    own = list(network.config.get("classes") or ())
    if own == list(classes):
        return weights
    fitted = {key: value for key, value in weights.items() if not key.removeprefix("second.").startswith("label")}
    numbers = {name: number for number, name in enumerate(classes, 1)}
    known = [numbers.get(name) or numbers.get(class_of_variant(name)) for name in own]
    rows = [(here, there) for here, there in enumerate(known, 1) if there]
    for key, value in network.state_dict().items():
        if key in weights and key not in fitted:
            fitted[key] = value.clone()
            for here, there in [(0, 0), *rows]:
                fitted[key][here] = weights[key][there]
    return fitted
