"""Every kind of file that a pile holds is kept or rejected for the right reason, and none stops the work."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded
from PIL import Image, ImageCms

from album_gan.covers.build.cleaning import STEPS, Cleaning, clean
from album_gan.covers.build.disc_detector import looks_like_disc
from album_gan.covers.build.perceptual_hash import cosine_hash, difference_hash, grey, thumbnail
from album_gan.covers.synthetic import draw_cover

SIZE = 300


def textured(index: int = 3, size: int = SIZE) -> Image.Image:
    """A drawn cover with grain, so that its files are as long as real ones."""
    rng = np.random.default_rng(index)
    pixels = np.asarray(draw_cover(index, size)).astype(int) + rng.integers(-20, 20, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    return encoded(image, "JPEG", **options)


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """A PNG that Pillow would not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_png() -> bytes:
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in np.asarray(textured()))
    return png(SIZE, SIZE, 16, rows)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(textured(), exif=exif)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def blank() -> bytes:
    return jpeg(Image.new("RGB", (SIZE, SIZE), (90, 20, 60)))


def with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    swapped = profile.replace(b"LAB", b"???")  # not a profile of RGB pictures: it is left alone
    return jpeg(textured(), icc_profile=swapped)


REJECTED = {
    "not_an_image": lambda: b"<html>404 Not Found</html>",
    "empty": lambda: b"",
    "truncated": lambda: half(jpeg(textured())),
    "truncated progressive": lambda: half(jpeg(textured(), progressive=True)),
    "truncated PNG": lambda: half(encoded(textured(), "PNG")),
    "truncated GIF": lambda: half(encoded(textured(), "GIF")),
    "truncated WebP": lambda: half(encoded(textured(), "WEBP")),
    "truncated AVIF": lambda: half(encoded(textured(), "AVIF")),
    "corrupt": lambda: half(encoded(textured(), "JPEG2000")),
    "too_many_pixels": lambda: png(60_000, 60_000, 8, bytes(10_000)),
    "too_many_pixels a little": lambda: png(9_000, 9_000, 8, bytes(10_000)),
    "too_small": lambda: jpeg(draw_cover(1, 100)),
    "not_square": lambda: jpeg(draw_cover(1).resize((300, 260))),
    "near_blank": blank,
    "not_an_image EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n",
}
MENDED = {
    "": lambda: jpeg(textured()),
    "animation": lambda: encoded(draw_cover(1, SIZE), "GIF", save_all=True, append_images=[draw_cover(2, SIZE)]),
    "exif_rotation": lambda: turned(6),
    "transparency": lambda: encoded(Image.merge("RGBA", (*textured().split(), textured().split()[0])), "PNG"),
    "cmyk": lambda: jpeg(textured().convert("CMYK")),
    "sixteen_bit": deep_png,
    "sixteen_bit grayscale": lambda: encoded(
        Image.fromarray(np.asarray(textured().convert("L")).astype("u2") * 257), "PNG"
    ),
    "grayscale": lambda: jpeg(textured().convert("L")),
    "cropped": lambda: jpeg(textured().crop((0, 0, 300, 295))),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_rejected_for_the_right_reason(kind):
    cleaned = clean(REJECTED[kind](), "cover", Cleaning())
    assert cleaned.reason == kind.split()[0]
    assert cleaned.jpeg is None
    assert cleaned.reason in STEPS


@pytest.mark.parametrize("kind", MENDED)
def test_kept_with_the_right_notes(kind):
    cleaned = clean(MENDED[kind](), "cover", Cleaning())
    assert (cleaned.reason, cleaned.notes) == (None, kind.split())
    with Image.open(io.BytesIO(cleaned.jpeg)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (256, 256))
        wanted = Image.open(io.BytesIO(MENDED[""]())).convert("RGB").resize((256, 256))
        if kind in ("sixteen_bit", "cmyk"):
            assert np.abs(np.asarray(image).astype(int) - np.asarray(wanted)).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(orientation):
    upright = Image.new("RGB", (200, 200), "blue")
    upright.paste("red", (0, 0, 100, 100))
    upright.paste("green", (100, 0, 200, 100))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that undoes each
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    cleaned = clean(jpeg(stored, exif=exif, quality=95), "a.jpg", Cleaning())
    image = Image.open(io.BytesIO(cleaned.jpeg))
    assert image.getpixel((20, 20))[0] > 200
    assert 90 < image.getpixel((180, 20))[1] < 160
    assert image.getpixel((20, 180))[2] > 200


def test_names_are_noted():
    data = jpeg(textured())
    for name, note in (
        ("x/cover.png", "wrong_extension"),
        ("Album (back).jpg", "back_cover"),
        ("abba_gold_back.jpg", "back_cover"),
        ("Album (CD 2).jpg", "back_cover"),
        ("../up.jpg", "unsafe_name"),
        ("/etc/cover.jpg", "unsafe_name"),
        ("C:\\covers\\a.jpg", "unsafe_name"),
    ):
        assert clean(data, name, Cleaning()).notes == [note], name
    for name in ("cover", "Vol. 1", "Hurra!_So_Nicht..jpg", "Artist - Come Back.jpg", "a.JPEG", "a.jpe", "..jpg"):
        assert clean(data, name, Cleaning()).notes == [], name


def test_bad_exif_and_profiles_lose_no_cover():
    for data in (jpeg(textured(), exif=b"Exif\0\0" + b"\xff" * 50), jpeg(textured(), icc_profile=b"nonsense")):
        assert clean(data, "a.jpg", Cleaning()).reason is None
    assert clean(with_profile(), "a.jpg", Cleaning()).reason is None


def test_small_covers_are_not_enlarged():
    cleaned = clean(encoded(draw_cover(5, 150), "PNG"), "a.png", Cleaning())
    assert (cleaned.width, cleaned.height) == (150, 150)


def test_steps_are_switched():
    assert clean(MENDED["cmyk"](), "a.jpg", Cleaning(reject=("cmyk",))).reason == "cmyk"
    assert clean(MENDED["animation"](), "a.gif", Cleaning(reject=("animation",))).reason == "animation"
    assert clean(blank(), "a.jpg", Cleaning(allow=("near_blank",))).reason is None
    assert clean(REJECTED["not_square"](), "a.jpg", Cleaning(allow=("not_square",))).reason is None
    assert clean(MENDED["grayscale"](), "a.jpg", Cleaning(allow=("grayscale",))).notes == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 5}, "resolution must be from 16 to 2048, got 5"),
        ({"quality": 0}, "quality must be from 1 to 100, got 0"),
        ({"max_crop": 2}, "max_crop must be from 0 to 1, got 2"),
        ({"reject": ("ugly",)}, "reject must name steps, got 'ugly'; choose from animation"),
        ({"allow": ("corrupt",)}, "got 'corrupt', which cannot"),
    ],
)
def test_bad_settings_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        Cleaning(**options)


def test_discs_are_told_from_covers():
    disc = Image.new("L", (64, 64), 250)
    steps = (np.arange(64) + 0.5) / 32 - 1
    radius = np.hypot(*np.meshgrid(steps, steps))
    pixels = np.where(radius < 0.96, 60 + 40 * (radius * 8 % 1), np.asarray(disc)).astype(np.uint8)
    assert looks_like_disc(pixels)
    found = [looks_like_disc(grey(thumbnail(draw_cover(index)))) for index in range(300)]
    assert sum(found) == 0


def test_hashes_are_frozen():
    pixels = grey(thumbnail(draw_cover(7, 128)))
    assert f"{difference_hash(pixels):016x} {cosine_hash(pixels):016x}" == GOLDEN_HASHES
    assert difference_hash(255 - pixels) != difference_hash(pixels)


GOLDEN_HASHES = "8080c0c0c0c00000 e351d0a14d6c7e33"


def decibels(first: Image.Image, second: Image.Image) -> float:
    """Peak signal-to-noise ratio of one picture against another."""
    difference = np.asarray(first).astype(float) - np.asarray(second)
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)))


@pytest.mark.parametrize("size", [300, 513, 640, 1000, 1400])
def test_cubic_is_close_to_full_decoding(size):
    data = jpeg(draw_cover(5, size), quality=90)
    full = Image.open(io.BytesIO(data)).resize((256, 256), Image.Resampling.LANCZOS)
    cubic, lanczos = (clean(data, "a.jpg", Cleaning(resampling=name, quality=90)) for name in ("cubic", "lanczos"))
    losses = [decibels(Image.open(io.BytesIO(cleaned.jpeg)), full) for cleaned in (cubic, lanczos)]
    assert losses[0] > max(32, losses[1] - 2.5)  # JPEG's own loss included; the rest is the scaled decoding's
    assert (cubic.width, cubic.notes, cubic.reason) == (256, lanczos.notes, None)
    for name in ("dhash", "phash"):
        assert (getattr(cubic, name) ^ getattr(lanczos, name)).bit_count() <= 4


@pytest.mark.parametrize("size", [(256, 256), (300, 290), (511, 511), (512, 512), (1030, 1025), (2049, 2050)])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2, "progressive": True}])
def test_simplejpeg_decodes_what_pillow_does(size, options, monkeypatch):
    data = jpeg(draw_cover(7, max(size)).crop((0, 0, *size)), quality=88, **options)
    fast = clean(data, "a.jpg", Cleaning(resampling="cubic"))
    monkeypatch.setattr("album_gan.covers.build.cleaning._simplejpeg", lambda: None)
    by_pillow = clean(data, "a.jpg", Cleaning(resampling="cubic"))
    assert np.array_equal(fast.example, by_pillow.example)
    assert fast.jpeg == by_pillow.jpeg
    assert isinstance(fast.example, np.ndarray)
    assert not isinstance(by_pillow.example, np.ndarray)


def test_resampling_must_exist_and_be_installed(monkeypatch):
    with pytest.raises(ValueError, match="resampling must be one of lanczos, cubic, got 'box'"):
        Cleaning(resampling="box")
    monkeypatch.setattr("album_gan.covers.build.cleaning.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'album-gan\[fast\]'"):
        Cleaning(resampling="cubic")


def fuzz(count: int) -> set[str | None]:
    """Clean mutated pictures of four kinds; what became of them."""
    rng = random.Random(0)
    animated = {"save_all": True, "append_images": [draw_cover(2, 140)]}
    originals = [
        jpeg(textured(1, 140)),
        jpeg(
            textured(1, 140), progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
        ),
        encoded(draw_cover(1, 140), "PNG"),
        encoded(draw_cover(1, 140).convert("P"), "PNG", transparency=0),
        encoded(draw_cover(1, 140), "GIF", **animated),
        encoded(textured(1, 140), "WEBP"),
        encoded(draw_cover(1, 140), "WEBP", **animated),
    ]
    outcomes = set()
    for number in range(count):
        data = bytearray(originals[number % len(originals)])
        for _ in range(rng.choice((1, 2, 5, 30))):
            place = rng.choice((rng.randrange(len(data)), rng.randrange(min(len(data), 200))))
            action = rng.randrange(4)
            if action == 0:
                data[place] = rng.randrange(256)
            elif action == 1:
                data[place : place + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(1, 40))
            elif action == 2:
                data[place : place + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            elif rng.random() < 0.2:
                del data[max(place, 60) :]
        cleaned = clean(bytes(data), "a.jpg", Cleaning())
        outcomes.add(cleaned.reason)
        assert (cleaned.reason is None) == (cleaned.jpeg is not None)
    return outcomes


def test_fuzz_quickly():
    outcomes = fuzz(2_000)
    assert {None, "truncated", "corrupt", "not_an_image"} <= outcomes <= {*STEPS, None}


@pytest.mark.slow
def test_fuzz_thousands():
    fuzz(10_000)
