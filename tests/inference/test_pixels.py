import numpy as np
import pytest
import torch
from PIL import Image

from album_gan.inference import pixels as images


def all_bytes() -> np.ndarray:
    """(1, 16, 16, 3) with every byte in every channel, each channel in another order."""
    ramp = np.arange(256, dtype=np.uint8)
    return np.stack([ramp, ramp[::-1], np.roll(ramp, 100)], axis=1).reshape(1, 16, 16, 3)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_bytes_survive_the_round_trip(convert):
    tensor = images.to_unit_range(convert(all_bytes()))
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (-1, 1)
    np.testing.assert_array_equal(images.to_pixels(tensor), all_bytes())


def test_channels_and_places_are_kept():
    picture = Image.new("RGB", (5, 3))
    picture.putpixel((4, 1), (255, 0, 51))
    tensor = images.to_tensor([picture])
    assert tensor.shape == (1, 3, 3, 5)
    assert tensor[0, :, 1, 4].tolist() == pytest.approx([1, -1, -0.6], abs=1e-6)
    [back] = images.to_pil(tensor)
    assert back.tobytes() == picture.tobytes()


@pytest.mark.parametrize("wrong", [1.002, -1.002, float("nan"), float("inf"), -float("inf")])
def test_values_outside_the_range_are_refused(wrong):
    tensor = torch.zeros(2, 3, 4, 4)
    tensor[1, 2, 3, 3] = wrong
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        images.to_pixels(tensor)


def test_rounding_within_the_tolerance():
    tensor = torch.tensor([1.0009, -1.0009, 0.0]).view(1, 3, 1, 1)
    assert images.to_pixels(tensor).ravel().tolist() == [255, 0, 128]  # 127.5 rounds to even


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((1, 3, 4, 4), np.uint8)],
)
def test_only_bytes_of_the_right_shape_are_scaled(pixels):
    with pytest.raises(ValueError, match="uint8"):
        images.to_unit_range(pixels)


def test_mixed_sizes_and_no_pictures_are_refused():
    with pytest.raises(ValueError, match="one size"):
        images.to_tensor([Image.new("RGB", (2, 2)), Image.new("RGB", (3, 2))])
    with pytest.raises(ValueError, match="none"):
        images.to_tensor([])


def test_grid_fills_rows_and_leaves_gaps():
    colours = [(10 * i, 0, 0) for i in range(1, 6)]
    sheet = images.grid([Image.new("RGB", (4, 6), colour) for colour in colours], columns=3, gap=2)
    assert sheet.size == (16, 14)
    assert [sheet.getpixel((x, 0))[0] for x in (0, 3, 4, 6, 12)] == [10, 10, 0, 20, 30]
    assert [sheet.getpixel((x, 8))[0] for x in (0, 6, 12)] == [40, 50, 0]


def test_grid_of_one_and_bad_grids():
    assert images.grid([Image.new("RGB", (4, 4))], columns=8).size == (4, 4)
    for pictures, columns, gap in [
        ([], 1, 0),
        ([Image.new("RGB", (1, 1))], 0, 0),
        ([Image.new("RGB", (1, 1))], 1, -1),
    ]:
        with pytest.raises(ValueError, match="grid needs"):
            images.grid(pictures, columns, gap)


def test_zero_to_one():
    assert images.to_zero_one(torch.tensor([-1.0, 0.0, 1.0005]).view(1, 3, 1, 1)).ravel().tolist() == [
        0,
        0.5,
        1,
    ]
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        images.to_zero_one(torch.full((1, 3, 1, 1), 2.0))
    drawn = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert torch.equal(images.from_zero_one(images.to_zero_one(drawn)), drawn)
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        images.from_zero_one(torch.full((1, 3, 1, 1), -0.5))
