"""The recipe that enlarges: what it makes small, what it gives back, and a run of it from start to model."""

import numpy as np
import pytest
import torch
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.networks.cover_upscaler import CoverUpscaler
from album_gan.networks.projected_discriminator import ProjectedDiscriminator
from album_gan.recipes import upscaler
from album_gan.recipes.augmentation import blur
from album_gan.recipes.base import Step
from album_gan.recipes.named_random import Draw
from album_gan.training.config import TrainingConfig
from album_gan.training.loop import train
from album_gan.training.packaging import load_initial_weights


def stripes(count: int, size: int) -> torch.Tensor:
    images = torch.zeros(count, 3, size, size)
    images[..., ::8] = 1
    return images


def build(resolution: int = 64, **settings):
    torch.manual_seed(0)
    recipe = upscaler.Recipe(upscaler.Config(channels=8, blocks=1, **settings), resolution)
    return recipe, *recipe.build_networks()


def test_small_and_large_are_of_the_same_place():
    recipe = upscaler.Recipe(upscaler.Config(softness=0, lowest_quality=100), 256)
    squares = torch.randn(6, 1, 16, 16).clamp(-1, 1)  # grey: JPEG is coarse with colours
    images = squares.repeat_interleave(16, -1).repeat_interleave(16, -2).expand(6, 3, 256, 256)
    for step in (2, 3):  # a piece; the whole
        draw = Draw(0, step, 6)
        target = recipe.target(images, draw)
        (small,) = recipe.generator_inputs({"images": images}, draw)
        assert (target.shape, small.shape) == ((6, 3, 128, 128), (6, 3, 32, 32))
        assert (small - torch.nn.functional.avg_pool2d(target, 4)).abs().mean() < 0.15  # of another place 0.7
    assert torch.equal(recipe.target(images, Draw(0, 2, 6)), recipe.target(images, Draw(0, 2, 6)))


def test_soften_blurs_each_image_by_its_own():
    images = stripes(2, 32)
    blurred = blur(images, torch.tensor([0.0, 0.8]))
    assert torch.allclose(blurred[0], images[0], atol=1e-5)
    assert blurred[1].std() < 0.7 * images[1].std()
    assert torch.allclose(blurred.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.02)


def test_terms_reach_the_right_network():
    recipe, generator, discriminator = build()
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    draw, real = Draw(0, 0, 4), stripes(4, 64)
    inputs = recipe.generator_inputs({"images": real}, draw)
    step = Step(real, generator(*inputs), inputs, generator, discriminator, draw, progress=1.0)
    sum(recipe.discriminator_terms(step).values()).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert all(p.grad is not None for p in discriminator.parameters() if p.requires_grad)
    terms = recipe.generator_terms(step)
    assert set(terms) == {"pixels", "features", "hinge"}
    sum(terms.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())
    step.progress = 0.1
    assert "hinge" not in recipe.generator_terms(step)


def test_it_learns_to_enlarge_edges():
    recipe, generator, discriminator = build(softness=0, lowest_quality=100, learning_rate=2e-3)
    optimizer, _ = recipe.optimizers(generator, discriminator)
    pixels = []
    for number in range(30):
        draw, real = Draw(0, number, 4), stripes(4, 64)
        inputs = recipe.generator_inputs({"images": real}, draw)
        step = Step(real, generator(*inputs), inputs, generator, discriminator, draw, progress=0.0)
        terms = recipe.generator_terms(step)
        pixels.append(terms["pixels"].item())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert np.mean(pixels[-4:]) < 0.7 * np.mean(pixels[:4]), pixels


@pytest.mark.slow
def test_a_run_leaves_a_model_that_enlarges(tmp_path):
    config = TrainingConfig(
        recipe="upscaler", dataset_name="synthetic", resolution=32, output_dir=str(tmp_path), train_batch_size=4,
        max_train_steps=2, dataloader_num_workers=0, report_to="none", evaluation_images=0,
    )  # fmt: skip
    train(config, upscaler.Config(channels=8, blocks=1))
    pipe = AlbumCoverPipeline.from_pretrained(tmp_path)
    assert pipe.upscaler.config.channels == 8
    assert pipe.fingerprint == AlbumCoverPipeline.from_pretrained().fingerprint
    assert pipe.upscale(Image.new("RGB", (16, 16)), 64).size == (64, 64)
    goes_on, discriminator = CoverUpscaler(channels=8, blocks=1), ProjectedDiscriminator(input_size=128)
    load_initial_weights(str(tmp_path), goes_on, discriminator)
    assert torch.equal(goes_on.enter.weight, pipe.upscaler.enter.weight)
    assert len(list((tmp_path / "samples").glob("0*.png"))) == 1
