"""Layers lead to the cover, and the critic of a pipeline says what the Learn tab says."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pictures import encoded
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.covers.synthetic import draw_cover
from album_gan.inference import pipeline
from album_gan.inference.inside import square_tensor
from album_gan.inference.model_store import find_model
from album_gan.inference.pixels import to_pil
from album_gan.space.lessons import Lessons, picture_of
from album_gan.space.service import CoverService


def test_the_last_layer_is_the_cover(tiny_pipeline):
    layers = tiny_pipeline.layers("The Flat Tyres", truncation=0.8)
    assert layers[0].name.startswith("stem")
    assert layers[0].output.shape == (256, 4, 4)
    assert {"stem", "blocks.8", "blocks.32", "to_rgb"} <= {layer.name for layer in layers}
    cover = tiny_pipeline("The Flat Tyres", truncation=0.8).images[0]
    assert to_pil(torch.tanh(layers[-1].output)[None])[0].tobytes() == cover.tobytes()
    assert not any(module._forward_hooks for module in tiny_pipeline.generator.modules())


def test_layers_are_those_of_this_threads_cover(tiny_pipeline):
    alone = tiny_pipeline.layers(3)
    with ThreadPoolExecutor(3) as pool:
        several = list(pool.map(tiny_pipeline.layers, [3, 4, 5] * 4))
    assert [[layer.name for layer in layers] for layers in several] == [[layer.name for layer in alone]] * 12
    torch.testing.assert_close([layer.output for layer in several[0]], [layer.output for layer in alone])


def test_the_critic_is_of_the_generators_commit(tiny_model, tmp_path, monkeypatch):
    """A branch of the Hub may move on before the critic is asked for."""
    snapshot = tmp_path / "snapshots" / "0123abcd"
    shutil.copytree(tiny_model, snapshot)
    asked = []

    def find(source, revision=None, *rest, **others):
        asked.append(revision)
        return find_model(source) if source == "bundled" else snapshot

    monkeypatch.setattr(pipeline, "find_model", find)
    pipe = AlbumCoverPipeline.from_pretrained("me/model", revision="main")
    pipe._find_discriminator()
    assert (asked[0], asked[-1]) == ("main", "0123abcd")


def test_the_critic_is_that_of_the_learn_tab():
    pipe = AlbumCoverPipeline.from_pretrained(device="cpu")
    pictures = [draw_cover(1, 200), *pipe([3]).images, Image.new("RGB", (300, 100), "red")]
    scores = pipe.critic(pictures)
    critic = Lessons(CoverService(pipe), "bundled").critic_of("bundled")
    assert scores == pytest.approx([critic.judge(picture).score for picture in pictures], abs=1e-3)
    assert pipe.critic(pictures[0]) == pytest.approx(scores[:1], abs=1e-4)


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8, 3), np.uint8), "cover.png", Image.new("RGB", (0, 9)), Image.new("I", (9, 9))], ids=type
)
def test_what_is_no_picture_is_named(tiny_pipeline, picture):
    for use in (
        lambda: tiny_pipeline.upscale(picture, 200),
        lambda: tiny_pipeline.find(picture),
        lambda: square_tensor(picture, 32),
    ):
        with pytest.raises(ValueError, match=r"picture must (be a PIL image, got (ndarray|str)|have (pixels|8 bits))"):
            use()


def test_a_picture_is_judged_as_it_is_shown(tmp_path):
    """A photo that lies on its side, as cameras write them, and transparency on white: as covers are decoded."""
    picture = draw_cover(1, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=exif)
    with Image.open(tmp_path / "lying.png") as lying:
        assert torch.equal(square_tensor(lying, 32), square_tensor(picture, 32))
    assert (square_tensor(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), 32) == 1).all()


def test_an_uploaded_picture_is_judged_as_it_is_shown():
    """As above, on the page: converting it to RGB first would show what lies under the transparency."""
    assert (square_tensor(picture_of(encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 0)))), 32) == 1).all()


def test_a_model_without_its_discriminator_says_so(tiny_pipeline, tiny_model):
    with pytest.raises(OSError, match="has no discriminator; train"):
        tiny_pipeline.critic(draw_cover(0, 32))
    with pytest.raises(ValueError, match="critic needs the model's folder"):
        AlbumCoverPipeline(tiny_pipeline.generator).critic(draw_cover(0, 32))
