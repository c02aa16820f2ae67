import numpy as np
import pytest
from PIL import Image

from album_gan.upscaling import ENGINES, upscale


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


def test_pictures_beyond_the_limit_and_unknown_engines_are_refused():
    with pytest.raises(ValueError, match="at most 4096"):
        upscale(Image.new("L", (5000, 10)), 5000)
    with pytest.raises(ValueError, match=f"engine must be one of {next(iter(ENGINES))}, got 'magic'"):
        upscale(ramp(8, 8), 16, engine="magic")
