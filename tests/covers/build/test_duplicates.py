"""Copies are found, series stay whole, and the search misses nothing that a look at all pairs finds."""

import io

import numpy as np
import pytest
from pictures import encoded
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from album_gan.covers.build.duplicates import compare_pairs, components, is_same, near_hashes, originals
from album_gan.covers.build.image_match import compare
from album_gan.covers.build.perceptual_hash import cosine_hash, difference_hash, grey, thumbnail
from album_gan.covers.synthetic import draw_cover


def cover(index: int) -> Image.Image:
    """A drawn cover with its own waves, so that no two are near."""
    rng = np.random.default_rng(index)
    waves = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).resize(
        (256, 256), Image.Resampling.BICUBIC
    )
    return Image.blend(draw_cover(index, 256), waves, 0.5)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality))).convert("RGB")


def copies(image: Image.Image) -> list[Image.Image]:
    crop = round(image.width * 0.02)
    return [
        jpeg(image, 40),
        jpeg(image.resize((128, 128), Image.Resampling.BICUBIC), 80),
        jpeg(image.resize((307, 307), Image.Resampling.BICUBIC), 80),
        jpeg(image.crop((crop, crop, 256 - crop, 256 - crop)).resize((256, 256)), 80),
        jpeg(image.crop((crop, 0, 256, 256 - crop)).resize((256, 256)), 80),
        jpeg(ImageEnhance.Brightness(image).enhance(1.12), 80),
        jpeg(ImageEnhance.Brightness(image).enhance(0.87), 80),
    ]


def described(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    thumbnails = np.stack([thumbnail(image) for image in images])
    pixels = grey(thumbnails)
    hashes = [np.array([function(p) for p in pixels], np.uint64) for function in (difference_hash, cosine_hash)]
    return *hashes, thumbnails


def found_same(images: list[Image.Image]) -> np.ndarray:
    first, second, thumbnails = described(images)
    pairs = near_hashes(first, second)
    return pairs[compare_pairs(pairs, thumbnails.__getitem__)[0]]


def test_planted_copies_are_found():
    count = 24
    images = [cover(index) for index in range(count)]
    planted = [copy for image in images for copy in copies(image)]
    found = set(map(tuple, found_same(images + planted).tolist()))
    each = len(planted) // count
    hits = [(original, count + original * each + turn) in found for original in range(count) for turn in range(each)]
    assert np.mean(hits) >= 0.9  # drawn edges are harder than real covers; see benchmarks/dedup.py
    assert not [pair for pair in found if pair[1] < count]


def test_a_series_that_differs_in_its_lettering_stays_whole():
    font = ImageFont.load_default(26)
    series = []
    for index in range(30):
        for word in ("Sunday Moon", "Quiet Rain"):
            image = cover(index)
            ImageDraw.Draw(image).text((20, 200), word, fill="white", font=font)
            series.append(jpeg(image, 90))
    _, _, thumbnails = described(series)
    assert not is_same(compare(thumbnails[::2], thumbnails[1::2])).any()


def test_other_colours_are_another_cover():
    image = cover(3)
    swapped = Image.merge("RGB", [image.split()[channel] for channel in (1, 2, 0)])
    grey_twin = Image.merge("RGB", [image.convert("L")] * 3)
    thumbnails = described([image, swapped, grey_twin])[2]
    assert not is_same(compare(thumbnails[[0, 0]], thumbnails[[1, 2]])).any()


def test_blank_covers_of_one_colour_are_one_and_of_two_are_two():
    thumbnails = described([Image.new("RGB", (256, 256), colour) for colour in ("#a03020", "#a13121", "#2030a0")])[2]
    assert is_same(compare(thumbnails[[0, 0]], thumbnails[[1, 2]])).tolist() == [True, False]


def test_search_finds_what_a_look_at_all_pairs_finds():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (2000, 2), dtype=np.uint64)
    flips = rng.integers(0, 7, 700)
    for row, count in enumerate(flips):
        for column in range(2):
            mask = sum(1 << int(bit) for bit in rng.choice(64, count, replace=False))
            hashes[1000 + row, column] = hashes[row, column] ^ np.uint64(mask)
    near = [(np.bitwise_count(hashes ^ row) <= 12).all(1) for row in hashes]
    wanted = {(a, int(b)) for a, row in enumerate(near) for b in np.flatnonzero(row) if a < b}
    found = set(map(tuple, near_hashes(hashes[:, 0], hashes[:, 1]).tolist()))
    assert found <= wanted
    assert len(found) / len(wanted) > 0.98


def test_many_equal_hashes_do_not_make_many_pairs():
    hashes = np.full(5000, 7, np.uint64)
    assert len(near_hashes(hashes, hashes)) == 4999
    assert len(near_hashes(hashes[:0], hashes[:0])) == 0


def test_a_chain_does_not_swallow_its_ends():
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    assert originals(pairs, 5).tolist() == [0, 0, 2, 2, 4]
    assert components(pairs, 5).tolist() == [0, 0, 0, 0, 4]


@pytest.mark.parametrize("seed", range(5))
def test_components_against_a_plain_search(seed):
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.integers(0, 200, (120, 2)), axis=1)
    label = list(range(200))
    for _ in range(200):
        for a, b in pairs.tolist():
            label[a] = label[b] = min(label[a], label[b])
    assert components(pairs, 200).tolist() == label
