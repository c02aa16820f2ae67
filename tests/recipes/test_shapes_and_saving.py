"""What the protocol promises of every recipe that the package holds, on tiny batches."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from tiny_recipes import RECIPES, build, step_of
from torch import nn

from album_gan.inference.latents import latents_of
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.recipes.base import Step, recipe_names
from album_gan.recipes.named_random import Draw


def test_the_recipes_are_found():
    assert {"dcgan", "projected"} <= set(recipe_names())


@pytest.mark.parametrize("name", RECIPES)
def test_terms_are_scalars_and_reach_the_right_network(name):
    recipe, generator, discriminator = build(name)
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        if parameter.ndim > 1 and not parameter.any():  # a weight that starts at zero hides those before it
            nn.init.normal_(parameter, 0.0, 0.1)
    steps = [step_of(recipe, generator, discriminator)]
    if name == "progressive":  # all of its layers take part only in all of its fades together
        steps = [step_of(recipe, generator, discriminator) for _ in range(3)]
        for step, growth in zip(steps, (0.5, 1.5, 2.5), strict=True):
            step.memo["growth"] = growth
            generator.growth.fill_(growth)
            step.fake = generator(*step.inputs)

    for step in steps:
        if name == "progressive":
            discriminator.growth.fill_(step.memo["growth"])
        terms = recipe.discriminator_terms(step)
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        sum(terms.values()).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in generator.parameters())
    judged = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in judged)

    for parameter in judged:
        parameter.requires_grad_(False)
        parameter.grad = None
    for step in steps:
        if name == "progressive":
            discriminator.growth.fill_(step.memo["growth"])
        terms = recipe.generator_terms(step)
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        sum(terms.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())
    assert all(parameter.grad is None for parameter in discriminator.parameters())


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_networks_draw_and_judge_at_every_resolution(name, resolution):
    if resolution > RECIPES[name].Recipe.largest_resolution:
        pytest.skip("the recipe does not claim to")
    _, generator, discriminator = build(name, resolution)
    z = torch.randn(2, generator.config.latent_dim)
    with torch.no_grad():
        images = generator(z)
        assert images.shape == (2, 3, resolution, resolution)
        assert images.abs().max() <= 1
        assert generator.embed(z).shape == (2, *generator.stem_mean.shape)
        assert torch.equal(generator.eval()(z), generator.paint(generator.embed(z)))
        logits = discriminator(images)
    assert logits.shape[0] == 2
    assert logits.ndim == 2
    assert generator.config.resolution == resolution


@pytest.mark.parametrize("name", ["dcgan", "cgan", "infogan", "improved_dcgan"])
@pytest.mark.parametrize("width", [24, 32, 48, 64])  # of which some have layers with as many channels as a picture
def test_all_layers_but_the_first_have_batch_norm(name, width):
    module = RECIPES[name]
    recipe = module.Recipe(module.Config(width=width), 64)
    recipe.classes = ("jazz", "rock") if name == "cgan" else ()
    layers = recipe.build_networks()[1].layers
    after = [type(layers[place + 1]).__name__ for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert after == ["LeakyReLU", "BatchNorm2d", "BatchNorm2d", "BatchNorm2d"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_seed_is_a_cover_and_stays_one_when_saved(name, tmp_path):
    _, generator, _ = build(name)
    pipe = AlbumCoverPipeline(generator)
    pipe.save_pretrained(tmp_path)
    loaded = AlbumCoverPipeline.from_pretrained(tmp_path)
    drawn = loaded(seeds=[1, 2, 3], output_type="pt").images
    assert torch.allclose(drawn, pipe(seeds=[1, 2, 3], output_type="pt").images, atol=0.02)  # weights are rounded
    assert torch.allclose(drawn[2:], loaded(seeds=[3], output_type="pt").images, atol=1e-5)
    assert len(list(loaded.interpolate([1, 2], frames=3))) == 3


@pytest.mark.parametrize("name", RECIPES)
def test_the_discriminator_learns_to_tell_a_flat_picture_from_noise(name):
    recipe, generator, discriminator = build(name)
    _, optimizer = recipe.optimizers(generator, discriminator)
    losses = []
    for number in range(40 if name == "vanilla" else 12):  # plain descent takes longer
        step = step_of(recipe, generator, discriminator, number)
        step.real = torch.full((4, 3, 32, 32), 0.5)
        step.fake = torch.rand(4, 3, 32, 32) * 2 - 1
        terms = recipe.discriminator_terms(step)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        for unreadable in ("categorical", "continuous"):  # codes, of which noise shows none
            terms.pop(unreadable, None)
        losses.append(sum(terms.values()).item())
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


CONDITIONAL = [name for name in RECIPES if RECIPES[name].Recipe.takes_labels]
CLASSES = ("jazz", "metal", "rock")


def test_three_recipes_take_labels():
    assert CONDITIONAL == ["cgan", "projected", "r3gan"]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_labels_change_the_image_and_the_judgement(name):
    recipe, generator, discriminator = build(name, classes=CLASSES)
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        if parameter.requires_grad and parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter)
    generator.eval(), discriminator.eval()
    (z, labels) = recipe.generator_inputs({}, Draw(0, 0, 4))
    assert labels.tolist() == [0] * 4  # a cover without a label is of unknown class
    others = torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        plain, shown = generator(z), generator(z, others)
        judged, judged_as = discriminator(plain), discriminator(plain, others)
    assert torch.equal(plain, generator(z, labels))
    assert (plain == shown).flatten(1).all(1).tolist() == [True, False, False, False]
    assert (judged == judged_as).all(1).tolist() == [True, False, False, False]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_share_of_labels_is_hidden(name):
    recipe, *_ = build(name, classes=CLASSES)
    _, labels = recipe.generator_inputs({"labels": torch.full((1_000,), 3)}, Draw(0, 0, 1_000))
    assert set(labels.tolist()) == {0, 3}
    share = {"cgan": 0.2, "projected": 0.1}.get(name, 0.5)
    assert (labels == 0).float().mean().item() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_every_class_trains_both_networks(name):
    recipe, generator, discriminator = build(name, classes=CLASSES)
    draw = Draw(0, 0, 8)
    inputs = recipe.generator_inputs({"labels": torch.arange(8) % 4}, draw)
    real, fake = torch.rand(8, 3, 32, 32) * 2 - 1, generator(*inputs)
    step = Step(real, fake, inputs, generator, discriminator, draw, 0.0, augmentation=recipe.augmentation)
    sum(recipe.discriminator_terms(step).values()).backward()
    judged = [(n, p) for n, p in discriminator.named_parameters() if p.requires_grad]
    assert [n for n, p in judged if p.grad is None] == []
    sum(recipe.generator_terms(step).values()).backward()
    assert (generator.label.weight.grad.abs().sum(1) > 0).tolist() == [
        label in inputs[1].tolist() for label in range(4)
    ]


@pytest.mark.parametrize("name", CONDITIONAL)
def test_without_classes_there_are_no_labels(name):
    recipe, generator, discriminator = build(name)
    assert len(recipe.generator_inputs({"labels": torch.ones(4, dtype=torch.long)}, Draw(0, 0, 4))) == 1
    assert not any("label" in key for key in (*generator.state_dict(), *discriminator.state_dict()))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_pipeline_draws_classes_by_name(name, tmp_path):
    _, generator, _ = build(name, classes=CLASSES)
    AlbumCoverPipeline(generator).save_pretrained(tmp_path)
    pipe = AlbumCoverPipeline.from_pretrained(tmp_path)
    assert pipe.labels == list(CLASSES)
    drawn = {label: pipe(seeds=[1, 2], label=label, output_type="np").images for label in (None, *CLASSES)}
    assert all((drawn[None] != drawn[label]).any() for label in CLASSES)
    alone = pipe(seeds=[2], label="rock", output_type="np").images
    assert abs(drawn["rock"][1:] - alone).max() < 1e-5
    z = latents_of([1, 2], generator.config.latent_dim)
    assert abs(drawn["jazz"] - pipe(latents=z, label="jazz", output_type="np").images).max() < 1e-5
    first = next(pipe.interpolate([1, 2], frames=3, label="metal"))
    assert first.tobytes() == pipe(seeds=[1], label="metal").images[0].tobytes()
    assert pipe.settings(1, 1.0, "jazz")["label"] == "jazz"
    with pytest.raises(ValueError, match="label must be one of jazz, metal, rock, got 'polka'"):
        pipe(seeds=[1], label="polka")


FRESH = """
import sys
from album_gan import AlbumCoverPipeline

for folder in sys.argv[1:]:
    print(AlbumCoverPipeline.from_pretrained(folder)(seeds=[3], output_type="pt").images.double().sum().item())
"""


def test_models_of_all_recipes_load_in_a_fresh_process(tmp_path):
    expected = []
    for name in RECIPES:
        _, generator, _ = build(name)
        AlbumCoverPipeline(generator).save_pretrained(tmp_path / name)
        loaded = AlbumCoverPipeline.from_pretrained(tmp_path / name)
        expected.append(loaded(seeds=[3], output_type="pt").images.double().sum().item())
    folders = [str(tmp_path / name) for name in RECIPES]
    run = subprocess.run([sys.executable, "-c", FRESH, *folders], capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    assert [float(line) for line in run.stdout.splitlines()] == pytest.approx(expected, rel=1e-6)


def test_directions_of_projected_are_trained_beside_the_hinge():
    """With SAN heads the discriminator has a term more, and its last layers learn from that one alone."""
    torch.manual_seed(0)
    module = RECIPES["projected"]
    recipe = module.Recipe(module.Config(san=True), 32)
    generator, discriminator = recipe.build_networks()
    terms = recipe.discriminator_terms(step_of(recipe, generator, discriminator))
    assert terms.keys() == {"hinge", "direction"}
    terms["hinge"].backward(retain_graph=True)
    assert all(head[-1].weight.grad is None for head in discriminator.heads)
    terms["direction"].backward()
    assert all(head[-1].weight.grad.isfinite().all() for head in discriminator.heads)
    assert "direction" not in recipe.generator_terms(step_of(recipe, generator, discriminator))
