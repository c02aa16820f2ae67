"""Every recipe that the package holds: its terms, gradients and rules, on tiny batches."""

import dataclasses

import pytest
import torch

from album_gan.draws import Draw
from album_gan.recipes.base import Step, recipe_modules, recipe_names

RECIPES = dict(recipe_modules())
SMALL = {"dcgan": {"width": 64}, "projected": {"discriminator_size": 128}}


def build(name: str, resolution: int = 32):
    module = RECIPES[name]
    torch.manual_seed(0)
    recipe = module.Recipe(module.Config(**SMALL.get(name, {})), resolution)
    return recipe, *recipe.build_networks()


def step_of(recipe, generator, discriminator, number: int = 0) -> Step:
    draw = Draw(seed=0, step=number, batch_size=4)
    inputs = recipe.generator_inputs({}, draw)
    real = torch.rand(4, 3, 32, 32) * 2 - 1
    augmentation = recipe.augmentation
    return Step(real, generator(*inputs), inputs, generator, discriminator, draw, 0.0, augmentation=augmentation)


def test_the_recipes_are_found():
    assert {"dcgan", "projected"} <= set(recipe_names())


@pytest.mark.parametrize("name", RECIPES)
def test_terms_are_scalars_and_reach_the_right_network(name):
    recipe, generator, discriminator = build(name)
    step = step_of(recipe, generator, discriminator)

    terms = recipe.discriminator_terms(step)
    assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in generator.parameters())
    judged = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in judged)

    for parameter in judged:
        parameter.requires_grad_(False)
        parameter.grad = None
    terms = recipe.generator_terms(step)
    assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())
    assert all(parameter.grad is None for parameter in discriminator.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_the_discriminator_learns_to_tell_noise_from_a_flat_picture(name):
    recipe, generator, discriminator = build(name)
    _, optimizer = recipe.optimizers(generator, discriminator)
    losses = []
    for number in range(12):
        step = step_of(recipe, generator, discriminator, number)
        step.real = torch.rand(4, 3, 32, 32) * 2 - 1
        step.fake = torch.zeros(4, 3, 32, 32)
        loss = sum(recipe.discriminator_terms(step).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < 0.7 * losses[0], losses


@pytest.mark.parametrize("name", RECIPES)
def test_configs_are_typed_frozen_and_documented(name):
    module = RECIPES[name]
    config = module.Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.learning_rate = 1.0
    assert "arXiv:" in module.__doc__
    assert "Use it" in module.__doc__


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("resolution", [100, 16, 1024])
def test_resolutions_out_of_range_are_refused(name, resolution):
    module = RECIPES[name]
    with pytest.raises(ValueError, match=f"resolution must be a power of two .* got {resolution}; choose"):
        module.Recipe(module.Config(), resolution)


def test_projected_uses_the_fakes_features_once():
    recipe, generator, discriminator = build("projected")
    calls = []
    features = discriminator.features
    discriminator.features = lambda images: calls.append(len(images)) or features(images)
    step = step_of(recipe, generator, discriminator)
    recipe.discriminator_terms(step)
    recipe.generator_terms(step)
    assert len(calls) == 2  # real and fake


def test_dcgan_latents_are_the_papers():
    recipe, generator, _ = build("dcgan")
    seen = []
    generator.project.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    generator(*recipe.generator_inputs({}, Draw(0, 0, 2_000)))
    uniform = seen[0]
    assert uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, abs=0.01)
