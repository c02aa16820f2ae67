"""Training decodes a picture as building does."""

import io

import numpy as np
import pytest
from colour_profiles import swapped_primaries
from pictures import encoded
from PIL import Image

from album_gan.covers.build.cleaning import Cleaning, clean
from album_gan.covers.decoding import decode
from album_gan.covers.synthetic import draw_cover


@pytest.mark.parametrize("resampling", ["lanczos", "cubic"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "transparent", "key colour", "palette"])
def test_colour_profiles_give_the_same_colours_in_training_and_building(resampling, kind):
    cover = draw_cover(3, 128)
    more = {"quality": 95} if kind == "JPEG" else {"transparency": (1, 2, 3)} if kind == "key colour" else {}
    if kind == "transparent":
        alpha = Image.new("L", cover.size, 255)
        alpha.paste(0, (0, 0, 128, 64))
        cover.putalpha(alpha)
    saved = cover.quantize(256) if kind == "palette" else cover
    data = encoded(saved, "JPEG" if kind == "JPEG" else "PNG", icc_profile=swapped_primaries(), **more)
    name = "a.jpeg" if kind == "JPEG" else "a.png"
    cleaned = clean(data, name, Cleaning(resolution=128, quality=98, resampling=resampling))
    assert cleaned.notes == ["colour_profile", *(["transparency"] if kind == "transparent" else [])]
    built = np.asarray(Image.open(io.BytesIO(cleaned.jpeg))).astype(float)
    trained = decode(data, 128).astype(float)
    if kind == "transparent":
        assert (trained[:60] == 255).all()
        trained, built, cover = trained[68:], built[68:], cover.convert("RGB").crop((0, 68, 128, 128))
    ignored = np.asarray(cover).astype(float)
    assert np.abs(trained - built).mean() < 4  # what encoding changes
    assert np.abs(trained - ignored[..., [1, 0, 2]]).mean() < 4
    assert np.abs(trained - ignored).mean() > 10
