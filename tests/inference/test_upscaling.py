import numpy as np
import pytest
import torch
from PIL import Image

from album_gan.inference.upscaling import find_engine, one_pass, upscale
from album_gan.networks.cover_upscaler import CoverUpscaler


def ramp(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [((32, 32), 512, (512, 512)), ((33, 21), 100, (100, 64)), ((21, 33), 100, (64, 100)), ((8, 8), 8, (8, 8)),
     ((300, 1), 301, (301, 1))],
)  # fmt: skip
def test_sizes_keep_their_proportions(size, target, expected):
    assert upscale(ramp(*size), target).size == expected


def test_the_picture_stays_the_picture():
    small = ramp(32, 16)
    back = upscale(small, 128).resize((32, 16), Image.Resampling.BOX)
    difference = np.abs(np.asarray(back, int) - np.asarray(small, int))
    assert difference[2:-2, 2:-2].max() <= 2


def test_transparent_pixels_do_not_bleed_their_hidden_colour():
    picture = Image.new("RGBA", (8, 8), (0, 255, 0, 0))  # invisible green around
    picture.paste((255, 0, 0, 255), (2, 2, 6, 6))  # a red square
    pixels = np.asarray(upscale(picture, 64))
    assert pixels.shape == (64, 64, 4)
    assert pixels[0, 0, 3] < 8 < 220 < pixels[32, 32, 3]
    assert pixels[..., 1][pixels[..., 3] > 8].max() == 0


def test_other_modes_become_rgb_and_exif_turns_upright():
    assert upscale(Image.new("L", (8, 4), 77), 16).getpixel((3, 3)) == (77, 77, 77)
    palette = ramp(8, 4).quantize(4)
    assert upscale(palette, 16).mode == "RGB"
    palette.info["transparency"] = 0
    assert upscale(palette, 16).mode == "RGBA"
    lying = ramp(8, 4)
    lying.getexif()[0x0112] = 6
    assert upscale(lying, 16).size == (8, 16)


@pytest.mark.parametrize("size", [31, 0, -1, 4097])
def test_bad_sizes_are_explained(size):
    with pytest.raises(ValueError, match=rf"size must be from 32, .* to 4096, got {size}"):
        upscale(ramp(20, 32), size)


def test_pictures_beyond_the_limits_and_unknown_engines_are_refused():
    with pytest.raises(ValueError, match="from 8 to 4096 pixels long to be enlarged, got 5000"):
        upscale(Image.new("L", (5000, 10)), 5000)
    with pytest.raises(ValueError, match="got 1"):
        upscale(Image.new("L", (1, 1)), 64)
    with pytest.raises(ValueError, match="engine must be one of bundled, lanczos, diffusers:ID, got 'magic'"):
        find_engine("magic")
    with pytest.raises(ValueError, match="this model has none; choose lanczos"):
        find_engine("bundled")
    with pytest.raises(OSError, match=r"engine diffusers:/no/where cannot be loaded"):
        find_engine("diffusers:/no/where")


@pytest.fixture(scope="module")
def network():
    """An upscaler that does something, with the reach of the real one in small."""
    torch.manual_seed(0)
    network = CoverUpscaler(channels=8, blocks=2).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("size", [(40, 40), (37, 21), (16, 50), (1, 9)])
def test_tiles_join_without_a_seam(network, size):
    picture = ramp(*size)
    whole = one_pass(network, picture, tile=64)
    tiled = one_pass(network, picture, tile=16)
    assert whole.size == tiled.size == (size[0] * 4, size[1] * 4)
    assert np.abs(np.asarray(whole, int) - np.asarray(tiled, int)).max() <= 1


def test_the_reach_is_as_far_as_the_network_looks(network):
    image = torch.zeros(1, 3, 31, 31, requires_grad=True)
    network(image)[0, :, 62, 62].sum().backward()
    seen = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (15 - network.reach, 15 + network.reach)


@pytest.mark.parametrize(("size", "target"), [((32, 32), 96), ((32, 20), 700), ((33, 9), 33)])
def test_the_network_reaches_any_size(network, size, target):
    enlarged = upscale(ramp(*size), target, find_engine("bundled", network))
    assert enlarged.size == (target, max(1, round(size[1] * target / size[0])))


def test_an_untrained_network_is_plain_enlargement():
    enlarged = upscale(ramp(32, 32), 128, find_engine("bundled", CoverUpscaler(channels=8, blocks=1)))
    plain = ramp(32, 32).resize((128, 128), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(enlarged, int) - np.asarray(plain, int)).max() <= 1


def test_transparency_with_the_network(network):
    picture = Image.new("RGBA", (16, 16), (0, 255, 0, 0))
    picture.paste((255, 0, 0, 255), (4, 4, 12, 12))
    pixels = np.asarray(upscale(picture, 64, find_engine("bundled", CoverUpscaler(channels=8, blocks=1))))
    assert pixels.shape == (64, 64, 4)
    assert pixels[0, 0, 3] < 8 < 220 < pixels[32, 32, 3]
    assert pixels[..., 1][pixels[..., 3] > 8].max() == 0


def test_a_pipeline_of_diffusers(tmp_path):
    """A tiny one with random weights, of the same class as CompVis' LDM super-resolution."""
    from diffusers import DDIMScheduler, LDMSuperResolutionPipeline, UNet2DModel, VQModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 2}
    unet = UNet2DModel(
        sample_size=16, in_channels=6, out_channels=3, down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"), **blocks,
    )  # fmt: skip
    vqvae = VQModel(
        in_channels=3, out_channels=3, latent_channels=3, num_vq_embeddings=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **blocks,
    )  # fmt: skip
    pipe = LDMSuperResolutionPipeline(vqvae=vqvae, unet=unet, scheduler=DDIMScheduler())
    pipe.save_pretrained(tmp_path)
    engine = find_engine(f"diffusers:{tmp_path}")
    first, second = (upscale(ramp(24, 16), 100, engine) for _ in range(2))
    assert first.size == (100, 67)
    assert first.tobytes() == second.tobytes()
