import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from colour_profiles import swapped_primaries
from PIL import Image, ImageCms

from album_gan.inference.pixels import png_bytes
from album_gan.media import image_files


def noise(size: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))


def test_png_carries_its_settings(tmp_path):
    settings = {"format": 1, "seed": 42, "name": "velvet-otter-042", "label": None}
    picture = noise(16)
    (tmp_path / "a.png").write_bytes(png_bytes(picture, settings))
    assert image_files.read_settings(tmp_path / "a.png") == settings
    with Image.open(tmp_path / "a.png") as reopened:
        assert image_files.read_settings(reopened) == settings
        assert reopened.tobytes() == picture.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("text", [None, "no json", "[1]", "3", "[" * 100_000])
def test_pictures_without_settings(tmp_path, text):
    picture = Image.new("RGB", (2, 2))
    if text is not None:
        picture.info["album_gan"] = text
    assert image_files.read_settings(picture) is None
    (tmp_path / "b.png").write_bytes(png_bytes(Image.new("RGB", (2, 2))))
    assert image_files.read_settings(tmp_path / "b.png") is None


@pytest.mark.parametrize("comment", ['{"seed": 7, "model": "of another program"}', '{"album_gan": 7}', "[]"])
def test_a_comment_of_another_program_holds_no_settings(tmp_path, comment):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg", comment=comment)
    assert image_files.read_settings(tmp_path / "a.jpg") is None


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="cannot write mode"):
        image_files.save_print(Image.new("HSV", (2, 2)), path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_for_printing(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    image_files.save_print(noise(64), path, {"seed": 7})
    with Image.open(path) as reopened:
        assert tuple(round(float(value)) for value in reopened.info["dpi"]) == (300, 300)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(reopened.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert image_files.read_settings(path) == {"seed": 7}
    with pytest.raises(ValueError, match=r"end in .png or .jpg, got 'a.webp'"):
        image_files.save_print(noise(8), tmp_path / "a.webp")


def test_a_cover_for_stores(tmp_path):
    path = tmp_path / "a.jpg"
    image_files.save_for_store(noise(3000), path, {"seed": 7})  # noise is the largest JPEG there is
    assert path.stat().st_size < 10_000_000
    with Image.open(path) as reopened:
        assert (reopened.size, reopened.mode, reopened.format) == ((3000, 3000), "RGB", "JPEG")
    assert image_files.read_settings(path) == {"seed": 7}
    with pytest.raises(ValueError, match="must be 3000x3000, got 64x64"):
        image_files.save_for_store(noise(64), tmp_path / "b.jpg")
    assert not (tmp_path / "b.jpg").exists()


def test_transparent_pictures_lie_on_white_in_a_jpeg(tmp_path):
    image_files.save_print(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), tmp_path / "a.jpg")
    assert Image.open(tmp_path / "a.jpg").getpixel((4, 4)) == (255, 255, 255)


def test_read_picture_turns_upright_and_keeps_settings(tmp_path):
    image_files.save_print(noise(8), tmp_path / "a.jpg", {"seed": 7})
    picture = image_files.read_picture(tmp_path / "a.jpg")
    assert image_files.read_settings(picture) == {"seed": 7}
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(8).crop((0, 0, 8, 4)).save(tmp_path / "lying.png", exif=exif)
    assert image_files.read_picture(tmp_path / "lying.png").size == (4, 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_read_picture_converts_to_srgb(tmp_path, mode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # does not fit RGB
    colour, swapped = (100, 150, 200), (150, 100, 200)
    for profile, expected in ((srgb, colour), (lab, colour), (swapped_primaries(), swapped)):
        picture = Image.new("RGB", (4, 4), colour)
        if mode == "RGBA":
            picture.putalpha(7)
        (picture.quantize(4) if mode == "P" else picture).save(tmp_path / "a.png", icc_profile=profile)
        found = image_files.read_picture(tmp_path / "a.png")
        assert np.abs(np.subtract(found.getpixel((0, 0))[:3], expected)).max() <= 2
        assert mode != "RGBA" or found.getpixel((0, 0))[3] == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deep.png", "more than 8 bits per channel"),
        ("press.jpg", r"not in RGB or grey \(mode CMYK\)"),
        ("lab.tif", r"not in RGB or grey \(mode LAB\)"),
        ("moving.gif", "an animation of 2 pictures"),
        ("cut.png", "truncated"),
        ("bomb.png", "has more than 178,956,970 pixels, too many to be read; make it smaller first"),
        ("long.png", "has 16385x2 pixels, more than 16384 a side; make it smaller first"),
        ("text.png", "is not a readable picture"),
        ("folder.png", "is a folder"),
    ],
)
def test_unfit_pictures_are_explained(tmp_path, name, message):
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    Image.new("CMYK", (8, 8)).save(tmp_path / "press.jpg")
    Image.new("LAB", (8, 8)).save(tmp_path / "lab.tif")
    frames = [noise(8), noise(8).rotate(90)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    noise(64).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.new("1", (16_385, 2)).save(tmp_path / "long.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=message) as caught:
        image_files.read_picture(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that even root cannot read, of Linux")
def test_what_the_system_cannot_read_is_no_broken_picture():
    with pytest.raises(OSError, match=r"Input/output error: '/proc/self/mem'"):
        image_files.read_picture("/proc/self/mem")


WITHOUT_AVIF = """
import io, sys
from PIL import Image
Image.init()
Image.OPEN.pop("AVIF", None)  # as in Pillow 11.0 to 11.2
from album_gan.covers.decoding import decode
from album_gan.media.image_files import read_picture
for name in sys.argv[1:]:
    assert read_picture(name).size == (40, 40)
    assert decode(open(name, "rb").read(), 32).shape == (32, 32, 3)
"""


def test_a_pillow_without_avif_reads_all_the_others(tmp_path):
    names = [str(tmp_path / f"x.{ending}") for ending in ("png", "jpg", "webp", "bmp", "tiff", "ppm", "tga", "jp2")]
    for name in names:
        Image.new("RGB", (40, 40), "red").save(name)
    done = subprocess.run([sys.executable, "-c", WITHOUT_AVIF, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_pictures_are_opened(tmp_path):
    """Pillow would give PostScript to Ghostscript."""
    Image.new("RGB", (40, 40), "red").save(tmp_path / "x.eps")
    with pytest.raises(ValueError, match="is not a readable picture"):
        image_files.read_picture(tmp_path / "x.eps")


def test_a_photo_of_a_phone_is_no_animation(tmp_path):
    """Phones add a depth map or a preview as a second picture: the MPO format, in a file named .jpg."""
    depth = Image.new("L", (20, 20))
    Image.new("RGB", (40, 40), "red").save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[depth])
    with Image.open(tmp_path / "x.jpg") as picture:
        assert (picture.format, picture.n_frames) == ("MPO", 2)
    picture = image_files.read_picture(tmp_path / "x.jpg")
    assert picture.size == (40, 40)
    assert picture.getpixel((20, 20))[0] > 240


def test_a_picture_with_layers_is_no_animation(tmp_path):
    """Pillow counts the layers of Photoshop's format as pictures; what is read is the whole."""
    layer = struct.pack(">4iH", 0, 0, 2, 2, 0) + b"8BIMnorm" + bytes([255, 0, 0, 0]) + struct.pack(">I", 0)
    layers = struct.pack(">h", 2) + 2 * layer
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 2, 2, 8, 3) + bytes(8)
    section = struct.pack(">II", len(layers) + 4, len(layers)) + layers
    whole = struct.pack(">H", 0) + b"".join(bytes([value]) * 4 for value in (10, 20, 30))
    (tmp_path / "x.psd").write_bytes(header + section + whole)
    with Image.open(tmp_path / "x.psd") as picture:
        assert (picture.format, picture.n_frames) == ("PSD", 2)
    picture = image_files.read_picture(tmp_path / "x.psd")
    assert (picture.size, picture.getpixel((1, 1))) == ((2, 2), (10, 20, 30))
