"""Every recipe that draws, with networks so small that tests can train them."""

import torch

from album_gan.recipes.base import Step, recipe_modules
from album_gan.recipes.named_random import Draw

RECIPES = {name: module for name, module in recipe_modules() if name != "upscaler"}
SMALL = {
    "began": {"width": 16, "learning_rate": 1e-3},
    "cgan": {"width": 64},
    "dcgan": {"width": 64},
    "vanilla": {"width": 64, "discriminator_width": 32},
    "wgan": {"width": 64},
    "wgan_gp": {"width": 32},
    "improved_dcgan": {"width": 64},
    "infogan": {"width": 64},
    "progressive": {"width": 32, "latent_dim": 32, "learning_rate": 1e-2},
    "r3gan": {"width": 32, "blocks": 1, "learning_rate": 2e-3, "gamma": 0.05},
}


def build(name: str, resolution: int = 32, classes: tuple[str, ...] = ()):
    module = RECIPES[name]
    torch.manual_seed(0)
    recipe = module.Recipe(module.Config(**SMALL.get(name, {})), resolution)
    recipe.classes = classes
    return recipe, *recipe.build_networks()


def step_of(recipe, generator, discriminator, number: int = 0) -> Step:
    draw = Draw(seed=0, step=number, batch_size=4)
    inputs = recipe.generator_inputs({}, draw)
    real = torch.rand(4, 3, 32, 32) * 2 - 1
    augmentation = recipe.augmentation
    return Step(real, generator(*inputs), inputs, generator, discriminator, draw, 0.0, augmentation=augmentation)


STILL = {"learning_rate": 1e-12, "generator_learning_rate": 1e-12, "critic_steps": 1}  # so the first step moves nothing


def settings_of(name: str, more: dict) -> dict:
    """SMALL and `more`, of which only what the recipe knows."""
    known = RECIPES[name].Config.__dataclass_fields__
    return {**SMALL.get(name, {}), **{key: value for key, value in more.items() if key in known}}
