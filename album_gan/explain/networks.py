"""The networks to explain: those of the bundled models, and an untrained pair for every recipe."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..inference.class_labels import ClassLabels
from ..inference.latents import latents_of
from ..inference.model_store import BUNDLED, find_model, load_network, read_json
from ..inference.pipeline import AlbumCoverPipeline
from ..recipes.base import SMALLEST_RESOLUTION, recipe_module, recipe_names
from .trace import Trace, trace

ENLARGER = "upscaler"  # the only recipe that takes pictures, not latents
RECIPES = tuple(name for name in recipe_names() if name != ENLARGER)


@dataclass(frozen=True)
class Pair:
    """A generator and its discriminator, both in evaluation mode on the CPU.

    `discriminator` is None if the model has none that can score pictures: see `missing`.
    """

    generator: Any  # torch types every attribute of a module as Tensor or Module
    discriminator: Any
    title: str
    trained: bool
    missing: str = ""

    @property
    def resolution(self) -> int:
        """Resolution of the pictures, in pixels."""
        return self.generator.config.resolution

    def inputs(self, seeds: list[int]) -> tuple[Tensor, ...]:
        """The generator's inputs for these seeds: latents (B, latent_dim), and classes (B,) if it has any."""
        z = torch.from_numpy(latents_of(seeds, self.generator.config.latent_dim)).float()
        classes = ClassLabels.of(self.generator.config)
        return (z, torch.tensor(classes.of_seeds(seeds))) if classes.names else (z,)

    def label_of(self, seed: int) -> str:
        """The name of the class that the seed draws; "" if it draws none."""
        classes = ClassLabels.of(self.generator.config)
        [number] = classes.of_seeds([seed])
        return classes.names[number - 1] if number else ""

    def draw(self, seeds: list[int]) -> Tensor:
        """The covers of these seeds, the same as everywhere else: (B, 3, R, R) in [-1, 1]."""
        return self.generator(*self.inputs(seeds))


@lru_cache(maxsize=4)
def recipe_pair(name: str, resolution: int | None = None, **settings: int) -> Pair:
    """A recipe's newly initialised networks, with the paper's settings unless `settings` overrides them.

    By default at the paper's resolution. Raises ValueError for an unknown recipe or an unsupported resolution.
    """
    module = recipe_module(name)
    config = module.Config(**settings)
    recipe = module.Recipe(config, resolution or resolutions(name)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, discriminator = recipe.build_networks()
    for network in (generator, discriminator):
        if hasattr(network, "growth"):
            network.growth.fill_(len(network.blocks))  # fully grown
        network.eval().requires_grad_(False)
    if name == ENLARGER:
        return Pair(generator, discriminator, name, trained=False)
    return Pair(generator, discriminator, f"{name} at {recipe.resolution} px, untrained", trained=False)


def resolutions(name: str) -> list[int]:
    """The resolutions a recipe supports; the paper's (or the bundled model's) first."""
    largest = recipe_module(name).Recipe.largest_resolution
    possible = [2**n for n in range(5, 10) if SMALLEST_RESOLUTION <= 2**n <= largest]
    first = {"vanilla": 32, "infogan": 32, "projected": 128, ENLARGER: 256}.get(name, 64)
    return sorted(possible, key=lambda resolution: resolution != first)


@lru_cache(maxsize=2)
def bundled_pair(name: str) -> Pair:
    """A model of this package: "bundled" or "teaching". Raises OSError and ValueError as `load_network`."""
    if name not in BUNDLED:
        raise ValueError(f"model must be one of {', '.join(map(str, BUNDLED))}, got {name!r}")
    pipe = AlbumCoverPipeline.from_pretrained(name, device="cpu")
    folder = find_model(name)
    discriminator, missing = discriminator_of(folder)
    recipe = read_json(folder / "training.json")["recipe"]
    title = f"{name}: {recipe} at {pipe.generator.config.resolution} px, trained"
    return Pair(pipe.generator, discriminator, title, trained=True, missing=missing)


def discriminator_of(folder: Path) -> tuple[nn.Module | None, str]:
    """The discriminator in a model's folder, in evaluation mode; or None, and why none can score pictures."""
    if not (folder / "discriminator" / "config.json").is_file():
        return None, "this model does not include its discriminator"
    try:
        record = folder / "training.json"
        recipe = read_json(record).get("recipe") if record.is_file() else None
        if recipe in RECIPES and not recipe_module(recipe).Recipe.zero_is_threshold:
            return None, f"the scores of recipe {recipe} have no threshold between real and fake covers"
        return load_network(folder / "discriminator", "forward", "fp16").eval(), ""
    except (ImportError, OSError, ValueError) as error:
        return None, " ".join(str(error).split())


def trace_generator(pair: Pair, seed: int, mute: dict[int, list[int]] | None = None) -> Trace:
    """Trace the generator drawing one seed's cover. Raises ValueError as `trace`."""
    return trace(pair.generator, *pair.inputs([seed]), mute=mute)


def trace_both(name: str, resolution: int | None = None) -> tuple[Trace, Trace]:
    """Trace a recipe's generator on one picture, and its discriminator on the result; shapes only."""
    pair = recipe_pair(name, resolution)
    if name == ENLARGER:
        small = torch.zeros(1, 3, (resolution or resolutions(name)[0]) // 4, (resolution or resolutions(name)[0]) // 4)
        drawing = trace(pair.generator, small, keep=False)
        return drawing, trace(pair.discriminator, drawing.output, keep=False)
    drawing = trace(pair.generator, *pair.inputs([0]), keep=False)
    return drawing, trace(pair.discriminator, drawing.output, keep=False)
