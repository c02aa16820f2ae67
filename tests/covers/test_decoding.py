"""Training decodes a picture as building does."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from album_gan.covers.build.cleaning import Cleaning, clean
from album_gan.covers.decoding import decode
from album_gan.covers.synthetic import draw_cover


def swapped_primaries() -> bytes:
    """The profile of colours whose red is sRGB's green, and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


@pytest.mark.parametrize("resampling", ["lanczos", "cubic"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_colour_profiles_give_the_same_colours_in_training_and_building(resampling, kind):
    cover, buffer = draw_cover(3, 128), io.BytesIO()
    cover.save(buffer, kind, icc_profile=swapped_primaries(), **({"quality": 95} if kind == "JPEG" else {}))
    cleaned = clean(buffer.getvalue(), f"a.{kind.lower()}", Cleaning(resolution=128, quality=98, resampling=resampling))
    assert cleaned.notes == ["colour_profile"]
    built = np.asarray(Image.open(io.BytesIO(cleaned.jpeg))).astype(float)
    trained = decode(buffer.getvalue(), 128).astype(float)
    ignored = np.asarray(cover).astype(float)
    assert np.abs(trained - built).mean() < 4  # what encoding changes
    assert np.abs(trained - ignored[..., [1, 0, 2]]).mean() < 4
    assert np.abs(trained - ignored).mean() > 10
