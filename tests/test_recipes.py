"""Every recipe that the package holds: its terms, gradients and rules, on tiny batches."""

import dataclasses

import pytest
import torch
from torch import nn

from album_gan import losses
from album_gan.draws import Draw
from album_gan.recipes.base import Step, recipe_modules, recipe_names

RECIPES = dict(recipe_modules())
SMALL = {
    "cgan": {"width": 64, "classes": 3},
    "dcgan": {"width": 64},
    "vanilla": {"width": 64, "discriminator_width": 32},
    "wgan": {"width": 64},
    "wgan_gp": {"width": 32},
    "r3gan": {"width": 32, "blocks": 1, "learning_rate": 2e-3, "gamma": 0.05},
}


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
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        if parameter.ndim > 1 and not parameter.any():  # a weight that starts at zero hides those before it
            nn.init.normal_(parameter, 0.0, 0.1)
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
def test_the_discriminator_learns_to_tell_a_flat_picture_from_noise(name):
    recipe, generator, discriminator = build(name)
    _, optimizer = recipe.optimizers(generator, discriminator)
    losses = []
    for number in range(12):
        step = step_of(recipe, generator, discriminator, number)
        step.real = torch.full((4, 3, 32, 32), 0.5)
        step.fake = torch.rand(4, 3, 32, 32) * 2 - 1
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


# --- Penalties against closed form: the slope of a linear critic is its weight, everywhere


def linear_critic():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 1)).double()


def pictures(number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, 4, 4, dtype=torch.float64)


def test_gradient_penalty_of_a_linear_critic():
    critic = linear_critic()
    penalty = losses.gradient_penalty(critic, pictures(), pictures(), torch.rand(2, 1, 1, 1, dtype=torch.float64))
    norm = critic[1].weight.norm()
    assert penalty.item() == pytest.approx((norm.item() - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, critic[1].weight)
    assert torch.allclose(gradient, 2 * (norm - 1) * critic[1].weight / norm)


def test_zero_centred_penalty_of_a_linear_critic():
    critic = linear_critic()
    penalty = losses.zero_centred_penalty(critic, pictures())
    assert penalty.item() == pytest.approx(critic[1].weight.square().sum().item())
    (gradient,) = torch.autograd.grad(penalty, critic[1].weight)
    assert torch.allclose(gradient, 2 * critic[1].weight)


def test_penalties_are_per_image_and_at_the_mixture():
    """The slope of sum(x^2) / 2 is x itself."""

    def critic(images):
        return images.square().sum((1, 2, 3)) / 2

    real, fake = pictures(), pictures()
    mix = torch.tensor([0.25, 1.0]).reshape(2, 1, 1, 1)
    norms = (mix * real + (1 - mix) * fake).flatten(1).norm(dim=1)
    assert losses.gradient_penalty(critic, real, fake, mix).item() == pytest.approx((norms - 1).square().mean().item())
    expected = real.square().sum() / 2
    assert losses.zero_centred_penalty(critic, real).item() == pytest.approx(expected.item())


def test_penalties_have_right_gradients_and_gradients_of_gradients():
    torch.manual_seed(0)
    first, second = torch.randn(4, 12, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64)
    mix = torch.rand(2, 1, 1, 1, dtype=torch.float64)

    def critic_of(first, second):
        return lambda images: torch.tanh(images.flatten(1) @ first.T) @ second.T

    def eq_3(first, second):
        return losses.gradient_penalty(critic_of(first, second), real, fake, mix)

    def r1(first, second):
        return losses.zero_centred_penalty(critic_of(first, second), real)

    weights = (first.requires_grad_(), second.requires_grad_())
    for penalty in (eq_3, r1):
        assert torch.autograd.gradcheck(penalty, weights)
        assert torch.autograd.gradgradcheck(penalty, weights)


def test_penalties_are_in_full_precision_under_autocast():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 1))
    real, fake, mix = pictures().float(), pictures().float(), torch.rand(2, 1, 1, 1)

    def both():
        return losses.gradient_penalty(critic, real, fake, mix), losses.zero_centred_penalty(critic, real)

    plain = both()
    with torch.autocast("cpu", torch.bfloat16):
        assert both() == plain


# --- What makes each recipe itself


def test_wgan_clips():
    recipe, generator, discriminator = build("wgan")
    assert recipe.discriminator_steps == 5
    nn.init.normal_(next(discriminator.parameters()))
    before = [parameter.clone() for parameter in generator.parameters()]
    recipe.after_discriminator_step(step_of(recipe, generator, discriminator))
    largest = max(parameter.abs().max().item() for parameter in discriminator.parameters())
    assert largest == pytest.approx(0.01)
    assert all(torch.equal(a, b) for a, b in zip(before, generator.parameters(), strict=True))


def test_cgan_labels_change_the_image_and_the_judgement():
    recipe, generator, discriminator = build("cgan")
    generator.eval(), discriminator.eval()
    z, labels = recipe.generator_inputs({}, Draw(0, 0, 4))
    assert labels.tolist() == [0] * 4  # a cover without a label is of unknown class
    assert torch.equal(generator(z), generator(z, labels))
    assert torch.equal(discriminator(generator(z)), discriminator(generator(z), labels))
    others = torch.tensor([0, 1, 2, 3])
    same = (generator(z) == generator(z, others)).flatten(1).all(1)
    assert same.tolist() == [True, False, False, False]
    same = discriminator(generator(z)) == discriminator(generator(z), others)
    assert same.flatten().tolist() == [True, False, False, False]


def test_cgan_hides_some_labels():
    recipe, _, _ = build("cgan")
    _, labels = recipe.generator_inputs({"labels": torch.full((1_000,), 3)}, Draw(0, 0, 1_000))
    assert set(labels.tolist()) == {0, 3}
    assert 150 < (labels == 0).sum() < 250


def test_vanilla_drops_units_by_named_draws():
    recipe, generator, discriminator = build("vanilla")
    step = step_of(recipe, generator, discriminator)
    assert recipe.discriminator_terms(step) == recipe.discriminator_terms(step)
    chance = torch.ones(4, 2, 32)  # all units are dropped: only the last bias is left
    assert torch.equal(discriminator(step.real, chance), discriminator.last.bias.expand(4, 1))


def test_r3gan_compares_fakes_with_reals():
    recipe, generator, discriminator = build("r3gan")
    step = step_of(recipe, generator, discriminator)
    real, fake = discriminator(step.real), discriminator(step.fake)
    terms = recipe.discriminator_terms(step)
    assert terms["relativistic"].item() == pytest.approx((1 + (fake - real).exp()).log().mean().item(), rel=1e-5)
    expected = (1 + (real - fake).exp()).log().mean()
    assert recipe.generator_terms(step)["relativistic"].item() == pytest.approx(expected.item(), rel=1e-5)
    images = step.real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(images).sum(), images)
    assert terms["r1"].item() == pytest.approx(recipe.config.gamma / 2 * slope.square().sum().item() / 4, rel=1e-4)


def test_r3gan_schedules_run_from_first_to_last():
    recipe = RECIPES["r3gan"].Recipe(RECIPES["r3gan"].Config(), 64)
    first, middle, last = (recipe.schedule(progress) for progress in (0.0, 0.5, 1.0))
    assert (first.learning_rate, first.beta2, first.average_half_life) == (1.0, 0.9, 0.0)
    assert (middle.learning_rate, middle.beta2) == pytest.approx((0.625, 0.945))
    assert (last.learning_rate, last.beta2, last.average_half_life) == pytest.approx((0.25, 0.99, 500_000))


def test_r3gan_learns_any_class_from_dropped_labels():
    module = RECIPES["r3gan"]
    recipe = module.Recipe(module.Config(**SMALL["r3gan"], classes=3), 32)
    generator, discriminator = recipe.build_networks()
    z, labels = recipe.generator_inputs({"labels": torch.full((200,), 2)}, Draw(0, 0, 200))
    assert set(labels.tolist()) == {0, 2}
    assert 70 < (labels == 0).sum() < 130
    assert torch.equal(generator.embed(z[:2]), generator.embed(z[:2], torch.tensor([0, 0])))
    assert not torch.equal(generator.embed(z[:2]), generator.embed(z[:2], torch.tensor([1, 2])))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(discriminator(images), discriminator(images, torch.tensor([0, 0])))
    assert not torch.equal(discriminator(images), discriminator(images, torch.tensor([1, 2])))


# --- A toy that every recipe must learn: covers of one of two flat colours

COLOURS = torch.tensor([[0.9, 0.5, -0.3], [0.5, -0.2, -0.8]])
LEARN = {  # other settings, and how many steps, where the papers' own need more than seconds
    "cgan": ({"learning_rate": 1e-3}, 100),
    "dcgan": ({"learning_rate": 1e-3}, 100),
    "projected": ({}, 40),
    "wgan": ({"learning_rate": 5e-4}, 50),
    "wgan_gp": ({"learning_rate": 1e-3}, 25),
    "r3gan": ({}, 50),
}


def flat_covers(draw: Draw) -> torch.Tensor:
    """Real images (B, 3, 32, 32)."""
    colours = COLOURS[draw.integers("colour", 0, 2)][:, :, None, None]
    return (colours + 0.05 * draw.normal("grain", 3, 32, 32)).clamp(-1, 1)


def sliced_wasserstein(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean distance of sorted projections on 64 random directions; both (B, ...)."""
    directions = torch.randn(one[0].numel(), 64, generator=torch.Generator().manual_seed(0))
    projected = [(images.flatten(1) @ directions).sort(dim=0).values for images in (one, other)]
    return (projected[0] - projected[1]).abs().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_learn_two_flat_colours(name):
    module = RECIPES[name]
    settings, steps = LEARN.get(name, ({}, 150))
    torch.manual_seed(0)
    recipe = module.Recipe(module.Config(**{**SMALL.get(name, {}), **settings}), 32)
    generator, discriminator = recipe.build_networks()
    optimizers = recipe.optimizers(generator, discriminator)
    judged = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def distance() -> float:
        draw = Draw(1, 0, 128)
        return sliced_wasserstein(generator(*recipe.generator_inputs({}, draw)), flat_covers(draw))

    before = distance()
    for number in range(steps):
        progress = number / steps
        for turn in range(recipe.discriminator_steps):
            draw = Draw(0, number, 8, turn=str(turn))
            step = toy_step(recipe, generator, discriminator, draw, progress)
            sum(recipe.discriminator_terms(step).values()).backward()
            optimizers[1].step()
            optimizers[1].zero_grad()
            recipe.after_discriminator_step(step)
        for parameter in judged:
            parameter.requires_grad_(False)
        sum(recipe.generator_terms(step).values()).backward()
        for parameter in judged:
            parameter.requires_grad_(True)
        optimizers[0].step()
        optimizers[0].zero_grad()
    after = distance()
    print(f"{name}: {before:.2f} -> {after:.2f}")
    assert after < before / 2


def toy_step(recipe, generator, discriminator, draw: Draw, progress: float) -> Step:
    inputs = recipe.generator_inputs({}, draw)
    fake = generator(*inputs)
    real, augmentation = flat_covers(draw), recipe.augmentation
    return Step(real, fake, inputs, generator, discriminator, draw, progress, augmentation=augmentation)
