"""The cover nearest to a picture, for every recipe's generator."""

import numpy as np
import pytest
import torch
from PIL import Image

from album_gan.inference import finding
from album_gan.inference.latents import name_of
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.inference.pixels import to_pil
from album_gan.networks.dcgan import DCGANGenerator
from album_gan.recipes.base import recipe_modules


def difference(one: Image.Image, other: Image.Image) -> float:
    return np.abs(np.asarray(one, float) - np.asarray(other.resize(one.size), float)).mean() / 255


NAMES = [name for name, _ in recipe_modules() if name not in ("upscaler", "r3gan")]  # r3gan's takes minutes at 32 px


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "projected" else pytest.mark.slow) for name in NAMES]
)
def test_every_generator_comes_nearer(name, monkeypatch):
    monkeypatch.setattr(finding, "POOL", 512)  # the whole one is searched below
    module = dict(recipe_modules())[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator, _ = module.Recipe(module.Config(), 32).build_networks()
        pipe = AlbumCoverPipeline(generator)
        z = torch.randn(64, generator.config.latent_dim)
    with torch.no_grad():
        generator.train()
        for _ in range(3):
            stems = generator.embed(z)
            generator.paint(stems)  # statistics, where there are any
        generator.eval().stem_mean.copy_(generator.embed(z).mean(0))
        [picture] = to_pil(generator.paint(generator.embed(z[:1])))
    found = pipe.find(picture, steps=12)
    before = min(difference(picture, cover) for cover in pipe(seeds=range(8)).images)
    assert found.distance < 0.8 * pipe.find(picture, steps=1).distance  # the descent starts there
    assert difference(picture, found.image) <= before


def test_a_seed_of_the_pool_finds_itself(tiny_pipeline):
    found = tiny_pipeline.find(tiny_pipeline(5).images[0], steps=2)
    assert (found.seed, found.seed_distance) == (5, pytest.approx(0, abs=0.01))
    assert found.name == name_of(5)
    lying = tiny_pipeline(5).images[0].transpose(Image.Transpose.ROTATE_90)
    lying.getexif()[0x0112] = 6  # as a camera writes it
    assert tiny_pipeline.find(lying, steps=1).seed == 5
    with pytest.raises(ValueError, match="steps must be 1 or more, got 0"):
        tiny_pipeline.find(found.image, 0)


@pytest.fixture
def narrow() -> DCGANGenerator:
    """A generator with few channels, because float16 convolutions take minutes on a CPU."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        generator = DCGANGenerator(resolution=32, width=16)
        generator.layers[-2].weight.mul_(20)  # contrast
        z = torch.randn(64, generator.config.latent_dim)
        for _ in range(20):
            generator.paint(generator.embed(z))  # statistics
        generator.eval().stem_mean.copy_(generator.embed(z).mean(0))
    return generator.requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_comes_as_near_as_float32(narrow, monkeypatch, dtype):
    monkeypatch.setattr(finding, "POOL", 64)
    pipe = AlbumCoverPipeline(narrow)
    picture = pipe(99_999).images[0]
    start, theirs = pipe.find(picture, steps=1).distance, pipe.find(picture, steps=20).distance
    assert theirs < 0.9 * start
    ours = pipe.to(dtype).find(picture, steps=20)
    assert ours.stem.dtype == dtype
    assert ours.distance < theirs + 0.1 * (start - theirs)
