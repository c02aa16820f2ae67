"""Starting a run from a model of a lower resolution.

Levels that both generators have are copied. The finer ones, and the layer after them that turns features into colours,
are first fitted to the model's enlarged covers, so that adversarial training starts from covers, not from noise, which
would damage the trained levels. Progressive growing (Karras et al. 2018, arXiv:1710.10196) blends its new levels in
instead, for thousands of steps.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ..light_diffusers import ModelMixin
from ..networks.lite_generator import LiteGenerator
from ..recipes.named_random import named_generator
from .distributed import is_first_process

STEPS = 200
BATCH_SIZE = 16
LEARNING_RATE = 2e-3  # falls to a hundredth of it
COLOURS = "to_rgb."  # the layer whose input depends on the resolution


def can_grow(config: Mapping[str, Any], network: ModelMixin) -> bool:
    """Whether a published model with this config is a generator of the same kind at a lower resolution."""
    return (
        isinstance(network, LiteGenerator)
        and config.get("_class_name") == type(network).__name__
        and isinstance(config.get("resolution"), int)
        and config["resolution"] < network.config.resolution
    )


def coarse_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a smaller generator that a larger one inherits."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(COLOURS)}


def is_finer(key: str, resolution: int) -> bool:
    """Whether a weight of the larger generator has no counterpart in a model of `resolution` pixels."""
    level = re.match(r"(?:blocks|excitations)\.(\d+)\.", key)
    return key.startswith(COLOURS) or (level is not None and int(level[1]) > resolution)


def fit_finer_levels(generator: LiteGenerator, smaller: LiteGenerator) -> None:
    """Train the levels that `smaller` lacks to draw its covers enlarged; the others stay as they are.

    `generator` must have the weights of `smaller`. The loss is the mean absolute difference of pixels in [-1, 1], over
    seeded latents and labels.
    """
    resolution, device = smaller.config.resolution, generator.device
    smaller.to(device).eval()
    generator.eval()
    finer = [block for name, block in generator.blocks.items() if int(name) > resolution]
    for block in finer:
        block.train()  # normalises by its batch and collects statistics, as in the run that follows
    weights = [weight for name, weight in generator.named_parameters() if is_finer(name, resolution)]
    optimizer = torch.optim.Adam(weights, LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-2, STEPS)
    classes = len(generator.config.classes)
    for step in tqdm(range(STEPS), "growing", leave=False, disable=not is_first_process()):
        rng = named_generator(step, "growth")
        z = torch.randn(BATCH_SIZE, generator.config.latent_dim, generator=rng).to(device)
        labels = torch.randint(classes + 1, (BATCH_SIZE,), generator=rng).to(device)
        with torch.no_grad():
            stem = generator.embed(z, labels)
            target = enlarged(smaller.paint(stem), generator.config.resolution)
        loss = (generator.paint(stem).float() - target).abs().mean()
        loss.backward(inputs=weights)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        torch.clear_autocast_cache()  # holds the weights of before the step


def enlarged(images: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), bilinear."""
    return F.interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False)
