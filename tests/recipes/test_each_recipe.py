"""What makes each recipe itself: the equations and schedules of its paper."""

import copy

import pytest
import torch
from tiny_recipes import RECIPES, build, step_of
from torch import nn

from album_gan.metrics.kernel_distance import witness
from album_gan.recipes import losses, projected
from album_gan.recipes.base import Step
from album_gan.recipes.memory import LatentPool, MemoryBank
from album_gan.recipes.named_random import Draw
from album_gan.training.ema import update_average


def test_projected_uses_the_fakes_features_once():
    recipe, generator, discriminator = build("projected")
    calls = []
    compute = discriminator.backbone_features
    discriminator.backbone_features = lambda images: calls.append(len(images)) or compute(images)
    step = step_of(recipe, generator, discriminator)
    recipe.discriminator_terms(step)
    recipe.generator_terms(step)
    assert len(calls) == 2  # real and fake


def test_projected_compares_drawn_covers_with_those_it_remembers():
    recipe, generator, discriminator = build("projected")
    step = step_of(recipe, generator, discriminator)
    recipe.discriminator_terms(step)
    assert recipe.generator_terms(step)["mixture"] == 0  # nothing is remembered yet
    recipe.after_generator_step(step.shared_rows)
    remembered = [traits.detach() for traits in recipe.traits(step)]
    assert remembered[0].shape == (4, 1280 + 4 * (32 + 32 + 64 + 128))
    assert torch.equal(recipe.bank.real[-4:], remembered[0])
    assert torch.equal(recipe.bank.fake[-4:], remembered[1])

    step = step_of(recipe, generator, discriminator, number=2)
    recipe.discriminator_terms(step)
    fake = recipe.traits(step)[1]
    mixture = recipe.generator_terms(step)["mixture"]
    expected = recipe.config.mixture_weight * 2 * witness(fake, *remembered).mean()
    assert mixture.item() == pytest.approx(expected.item(), rel=1e-3)
    (slope,) = torch.autograd.grad(mixture, step.fake)
    assert (slope.flatten(1).norm(dim=1) > 0).all()
    recipe.after_generator_step(step.shared_rows)
    assert recipe.bank.count == 8

    step.draw = Draw(0, 3, len(step.fake))  # pieces are judged now
    step.shared_rows = None
    assert set(recipe.generator_terms(step)) == {"hinge"}
    assert step.shared_rows is None


def test_a_memory_bank_forgets_the_oldest():
    bank = MemoryBank(3)
    for number in range(MemoryBank.SIZE // 100 + 1):
        bank.add(torch.full((100, 3), float(number)), torch.full((100, 3), -1.0))
    assert bank.count == MemoryBank.SIZE
    assert bank.real.min() == 0  # the oldest hundred are not all gone
    bank.add(torch.full((100, 3), 11.0), torch.full((100, 3), -1.0))
    assert bank.real.min() == 1
    assert (bank.fake == -1).all()


def test_a_pool_finds_the_nearest_of_the_same_label():
    pool = LatentPool(2, 3)
    features = torch.tensor([[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [1, 0, 0]])
    pool.add(torch.arange(8.0).view(4, 2), torch.tensor([1.0, 2, 1, 2]), features)
    wanted = torch.tensor([[1.0, 0, 0], [3, 0, 0], [1, 0, 0]])
    rows, exist = pool.nearest(wanted, torch.tensor([1, 1, 3]), lambda rows: rows)
    assert exist.tolist() == [True, True, False]
    assert pool.z[rows[:2]].tolist() == [[0, 1], [4, 5]]
    for _ in range(LatentPool.SIZE // 4):
        pool.add(torch.zeros(4, 2), torch.full((4,), 3.0), features)
    assert pool.nearest(wanted, torch.tensor([1, 1, 3]), lambda rows: rows)[1].tolist() == [False, False, True]


def test_projected_pulls_the_nearest_generated_cover_to_each_real_one():
    torch.manual_seed(0)
    recipe = projected.Recipe(projected.Config(coverage_weight=3.0, augmentation_share=0.0), 32)
    recipe.classes = ("jazz", "pop")
    generator, discriminator = recipe.build_networks()
    step = step_of(recipe, generator, discriminator)
    step.labels = torch.tensor([1, 1, 2, 2])
    recipe.discriminator_terms(step)
    assert recipe.generator_terms(step)["coverage"] == 0  # nothing is remembered yet
    recipe.after_generator_step(step.shared_rows)
    z, labels = step.inputs
    assert torch.equal(recipe.pool.z[-4:], z)
    assert torch.equal(recipe.pool.labels[-4:], labels)

    recipe.bank.add(torch.randn(MemoryBank.SIZE, recipe.bank.real.shape[1]), torch.zeros_like(recipe.bank.fake))
    recipe.pool.labels[-4:] = torch.tensor([1, 2, 2, -1])
    coverage = recipe.generator_terms(step)["coverage"]
    real, fake = map(recipe.bank.standardized, recipe.traits(step))
    pop = torch.cdist(real[2:], fake[1:3]).argmin(1) + 1
    rows = torch.cat([torch.zeros(2, dtype=torch.long), pop])
    images = generator(z[rows], torch.tensor([1, 1, 2, 2]))
    drawn = recipe.traits(Step(step.real, images, step.inputs, generator, discriminator, step.draw, 0.0))[1]
    expected = 3 * (recipe.bank.standardized(drawn) - real).square().mean()
    assert coverage.item() == pytest.approx(expected.item(), rel=1e-4)
    coverage.backward()
    assert generator.label.weight.grad[1:].abs().sum() > 0


def test_dcgan_latents_are_the_papers():
    recipe, generator, _ = build("dcgan")
    seen = []
    generator.project.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    generator(*recipe.generator_inputs({}, Draw(0, 0, 2_000)))
    uniform = seen[0]
    assert uniform.abs().max() <= 1
    assert uniform.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_wgan_clips():
    recipe, generator, discriminator = build("wgan")
    assert recipe.discriminator_steps == 5
    nn.init.normal_(next(discriminator.parameters()))
    before = [parameter.clone() for parameter in generator.parameters()]
    recipe.after_discriminator_step([step_of(recipe, generator, discriminator)])
    largest = max(parameter.abs().max().item() for parameter in discriminator.parameters())
    assert largest == pytest.approx(0.01)
    assert all(torch.equal(a, b) for a, b in zip(before, generator.parameters(), strict=True))


def test_began_moves_its_balance_by_the_papers_equation():
    recipe, generator, discriminator = build("began")
    step = step_of(recipe, generator, discriminator)
    step.fake = step.fake * 0.1  # easy to repeat
    terms = recipe.discriminator_terms(step)
    assert terms["error_of_fake"].item() == 0  # the fakes do not count yet
    real = (discriminator.reconstruct(step.real) - step.real).abs().mean().item()
    fake = (discriminator.reconstruct(step.fake) - step.fake).abs().mean().item()
    recipe.after_discriminator_step([step])
    expected = 0.001 * (0.5 * real - fake)
    assert expected > 0
    assert recipe.balance.item() == pytest.approx(expected, rel=1e-4)
    assert recipe.discriminator_terms(step)["error_of_fake"].item() == pytest.approx(-expected * fake, rel=1e-4)
    step.memo["errors"] = torch.tensor(0.0), torch.tensor(10_000.0)
    recipe.after_discriminator_step([step])
    assert recipe.balance.item() == 0
    parts = [step_of(recipe, generator, discriminator) for _ in range(2)]  # of one batch, with accumulation
    for part, errors in zip(parts, ((0.6, 0.1), (1.0, 0.1)), strict=True):
        part.memo["errors"] = tuple(map(torch.tensor, errors))
    recipe.after_discriminator_step(parts)
    assert recipe.balance.item() == pytest.approx(0.001 * (0.5 * 0.8 - 0.1), rel=1e-4)
    assert "balance" in recipe.state_dict()


def test_infogan_codes_come_out_of_the_latent_evenly():
    recipe, generator, _ = build("infogan")
    choices, continuous = generator.codes(*recipe.generator_inputs({}, Draw(0, 0, 5_000)))
    assert choices.shape == (5_000, 4)
    assert (choices.flatten().bincount(minlength=10) / 20_000).tolist() == pytest.approx([0.1] * 10, abs=0.01)
    assert continuous.abs().max() <= 1
    assert continuous.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_infogan_trunk_learns_to_read_codes_too():
    recipe, generator, discriminator = build("infogan")
    terms = recipe.discriminator_terms(step_of(recipe, generator, discriminator))
    (terms["categorical"] + terms["continuous"]).backward()
    assert all(parameter.grad.any() for parameter in discriminator.layers.parameters())
    assert discriminator.judge.weight.grad is None
    assert all(parameter.grad is None for parameter in generator.parameters())


@pytest.mark.parametrize("without", ["categorical_codes", "continuous_codes"])
def test_infogan_with_codes_of_one_kind(without):
    module = RECIPES["infogan"]
    recipe = module.Recipe(module.Config(width=64, **{without: 0}), 32)
    terms = recipe.generator_terms(step_of(recipe, *recipe.build_networks()))
    assert terms.keys() == {"cross_entropy", "continuous" if without == "categorical_codes" else "categorical"}
    assert all(term.isfinite() for term in terms.values())


def test_infogan_reader_trains_with_the_generator():
    recipe, generator, discriminator = build("infogan")
    optimizer, _ = recipe.optimizers(generator, discriminator)
    discriminator.requires_grad_(False)
    losses = []
    for number in range(25):
        draw = Draw(0, number, 16)
        inputs = recipe.generator_inputs({}, draw)
        step = Step(torch.zeros(16, 3, 32, 32), generator(*inputs), inputs, generator, discriminator, draw, 0.0)
        terms = recipe.generator_terms(step)
        losses.append((terms["categorical"] + terms["continuous"]).item())
        sum(terms.values()).backward()
        assert all(parameter.grad.any() for parameter in recipe.reader.parameters())
        optimizer.step()
        optimizer.zero_grad()
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    assert any(name.startswith("reader.") for name in recipe.state_dict())  # in checkpoints


def test_improved_dcgan_averages_from_the_weights_that_a_run_begins_with():
    """Those of `--init_from`, not the ones drawn before."""
    recipe, *networks = build("improved_dcgan")
    for network in networks:
        nn.init.constant_(next(network.parameters()), 3.0)
    recipe.after_initialization(*networks)
    assert recipe.generator_terms(step_of(recipe, *networks))["history"].item() == 0
    assert recipe.discriminator_terms(step_of(recipe, *networks))["history"].item() == 0


def test_improved_dcgan_averages_the_past():
    recipe, generator, discriminator = build("improved_dcgan")
    weight = next(generator.parameters())
    first = weight.detach().clone().flatten()
    step = step_of(recipe, generator, discriminator)
    assert recipe.generator_terms(step)["history"].item() == 0
    for _ in range(2):
        nn.init.constant_(weight, 3.0)
        recipe.after_discriminator_step([step])
    mean = (first + 3 + 3) / 3
    assert torch.allclose(recipe.generator_history[: len(first)], mean, atol=1e-6)
    expected = recipe.config.history_weight * (3 - mean).square().sum().item()
    assert recipe.generator_terms(step_of(recipe, generator, discriminator))["history"].item() == pytest.approx(
        expected, rel=1e-4
    )
    assert {"generator_history", "discriminator_history", "history_length"} <= recipe.state_dict().keys()


def test_improved_dcgan_smooths_the_labels_of_reals_only():
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    smooth = losses.cross_entropy_discriminator(real, fake, 0.9)
    entropy = nn.functional.binary_cross_entropy_with_logits
    assert smooth.item() == pytest.approx((entropy(real, real * 0 + 0.9) + entropy(fake, fake * 0)).item())


def test_minibatch_discrimination_sees_a_collapse():
    _, _, discriminator = build("improved_dcgan")
    nn.init.normal_(discriminator.closeness.project.weight)
    various = torch.randn(4, 1024)
    assert discriminator.closeness(various).max() < 0.1
    assert torch.allclose(discriminator.closeness(various[:1].repeat(4, 1)), torch.tensor(3.0))


def test_virtual_batch_norm_leaves_neighbours_out():
    _, generator, _ = build("improved_dcgan")
    assert generator.training
    z = torch.randn(4, 100)
    with torch.no_grad():
        assert torch.allclose(generator(z)[:1], generator(z[:1]), atol=1e-6)
        assert torch.allclose(generator(z)[:1], generator(torch.cat([z[:1], 9 * z[1:]]))[:1], atol=1e-6)
    before = generator(z)
    generator.reference.normal_()
    assert not torch.allclose(before, generator(z), atol=1e-3)
    assert "reference" in generator.state_dict()


def grow(networks, growth: float) -> None:
    for network in networks:
        network.growth.fill_(growth)


@pytest.mark.parametrize("growth", [0.0, 1.0, 2.0])
def test_progressive_fades_without_a_jump(growth):
    _, *networks = build("progressive")
    z, real = torch.randn(2, 32), torch.rand(2, 3, 32, 32) * 2 - 1
    results = {}
    for now in (growth, growth + 1e-4, growth + 0.5, growth + 1 - 1e-4, growth + 1):
        grow(networks, now)
        with torch.no_grad():
            results[now] = [networks[0](z), networks[1](real), networks[1].at_growth(real)]
    before, starts, half, ends, after = results.values()
    for a, b, c, d, e in zip(before, starts, half, ends, after, strict=True):
        assert torch.allclose(a, b, atol=1e-2)
        assert torch.allclose(d, e, atol=1e-2)
        assert (a - c).abs().max() > 0.02
        assert (c - e).abs().max() > 0.02


def test_progressive_grows_with_the_run():
    recipe, *networks = build("progressive")
    assert networks[0].growth == 0
    grown = []
    for part in (0, 0.5, 1, 1.5, 2, 3, 3.25, 4, 6, 7):  # a pause, and three times a fade and a pause
        recipe.after_discriminator_step([Step(None, None, (), *networks, Draw(0, 0, 1), part / 7)])
        assert networks[0].growth == networks[1].growth
        grown.append(networks[0].growth.item())
    assert grown == pytest.approx([0, 0, 0, 0.5, 1, 1, 1.25, 2, 3, 3], abs=1e-6)


def test_progressive_does_not_shrink_networks_that_have_grown():
    """Such as those of `--init_from`."""
    recipe, *networks = build("progressive")
    grow(networks, 2.0)
    grown = []
    for part in (0, 3.5, 6, 7):
        recipe.after_discriminator_step([Step(None, None, (), *networks, Draw(0, 0, 1), part / 7)])
        grown.append([network.growth.item() for network in networks])
    assert grown == [[2, 2], [2, 2], [3, 3], [3, 3]]


@pytest.mark.parametrize("by", ["moving", "assigning", "copying"])
def test_progressive_knows_its_growth_in_another_tensor(by):
    """Its version may be the one that was read: GPUs and averages get such tensors."""
    _, generator, _ = build("progressive")
    assert generator.current_growth() == 0
    trained = {**generator.state_dict(), "growth": torch.tensor(2.0)}
    if by == "moving":
        generator._apply(torch.clone)
        generator.load_state_dict(trained)
    elif by == "assigning":
        generator.load_state_dict(trained, assign=True)
    else:
        generator.load_state_dict(trained)
        generator = copy.deepcopy(generator)
    assert generator.current_growth() == 2


def test_progressive_sees_reals_as_coarse_as_fakes():
    _, generator, discriminator = build("progressive")
    grow((generator, discriminator), 1.0)
    faded = discriminator.at_growth(torch.rand(2, 3, 32, 32))
    for images in (faded, generator(torch.randn(2, 32))):  # blocks of 4 x 4 pixels
        assert torch.equal(images, nn.functional.interpolate(images[:, :, ::4, ::4], scale_factor=4.0))


def test_minibatch_deviation_sees_a_collapse():
    from album_gan.networks.progressive import minibatch_deviation

    various = torch.randn(8, 16, 4, 4)
    assert minibatch_deviation(various)[:, 16].mean().item() == pytest.approx(1, abs=0.15)
    alike = various[:1].repeat(8, 1, 1, 1)
    assert minibatch_deviation(alike)[:, 16].max() < 1e-3
    nearly = (2 + 0.003 * various).bfloat16()
    spread = nearly.double().std(0, correction=0).mean().item()
    assert minibatch_deviation(nearly)[0, 16, 0, 0].item() == pytest.approx(spread, rel=0.05)


def test_average_has_grown_as_far():
    _, generator, _ = build("progressive")
    average = copy.deepcopy(generator)
    generator.growth.fill_(1.5)
    update_average(average, generator, images=1, half_life=1_000)
    assert average.growth == 1.5


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


def test_projected_lets_the_learning_rate_fall_at_the_end():
    recipe = RECIPES["projected"].Recipe(RECIPES["projected"].Config(decay=0.25), 64)
    rates = [recipe.schedule(progress).learning_rate for progress in (0.0, 0.75, 0.875, 1.0)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.0])
    steady = RECIPES["projected"].Recipe(RECIPES["projected"].Config(decay=0), 64)
    assert steady.schedule(1.0).learning_rate == 1.0


def test_r3gan_schedules_run_from_first_to_last():
    recipe = RECIPES["r3gan"].Recipe(RECIPES["r3gan"].Config(), 64)
    first, middle, last = (recipe.schedule(progress) for progress in (0.0, 0.5, 1.0))
    assert (first.learning_rate, first.beta2, first.average_half_life) == (1.0, 0.9, 0.0)
    assert (middle.learning_rate, middle.beta2) == pytest.approx((0.625, 0.945))
    assert (last.learning_rate, last.beta2, last.average_half_life) == pytest.approx((0.25, 0.99, 500_000))


def test_r3gan_ends_with_a_tenth_of_gamma():
    recipe, generator, discriminator = build("r3gan")
    first, last = step_of(recipe, generator, discriminator), step_of(recipe, generator, discriminator)
    last.progress = 1.0
    at_first, at_last = recipe.discriminator_terms(first), recipe.discriminator_terms(last)
    for name in ("r1", "r2"):
        assert at_last[name].item() == pytest.approx(0.1 * at_first[name].item(), rel=1e-3)
