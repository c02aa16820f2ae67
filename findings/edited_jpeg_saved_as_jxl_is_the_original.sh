#!/bin/sh
# pillow-jxl-plugin 1.3.8 with Pillow 12.3.0: a picture that was opened from a JPEG file and then edited in place (`paste`,
# `putpixel`, ImageDraw) is saved as JPEG XL without the edits. The plugin does not encode the pixels but losslessly
# repacks the JPEG that the object still names, and `quality` has no effect either: an edited cover of quality 20 has the
# size and the pixels of the original. There is a warning of "JPEG reconstruction", but none that pixels were thrown away.
# Methods that return a new picture (`convert`, `crop`, `resize`) lose the JPEG's name and are safe; with
# `lossless_jpeg=False` the edits are kept.
#
# Guess beforehand: `save` writes the picture's pixels, as for every other format of Pillow; 0 levels of difference
# to the edited picture but for JPEG XL's loss, 10 or so.
# Seen: a red square of 32 px, pasted into grey noise: mean difference in it to red 131 levels, to the original 0;
# same file at quality 20 and 95; with `lossless_jpeg=False` 1 and 130, the edits are there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 pillow-jxl-plugin==1.3.8 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
from pathlib import Path

import numpy as np
import pillow_jxl  # noqa: F401  (registers the format)
from PIL import Image

warnings.filterwarnings("ignore")
noise = np.random.default_rng(0).integers(60, 200, (8, 8, 1), np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2)
Image.fromarray(noise).save("cover.jpg", quality=92)
original = np.asarray(Image.open("cover.jpg")).astype(int)[4:28, 4:28]
RED = np.array([255, 0, 0])


def edited_and_saved(name, **options):
    """Mean difference, in the red square, to red and to the original."""
    cover = Image.open("cover.jpg")
    cover.paste((255, 0, 0), (0, 0, 32, 32))
    assert (np.asarray(cover)[4:28, 4:28] == RED).all()
    cover.save(name, **options)
    square = np.asarray(Image.open(name).convert("RGB")).astype(int)[4:28, 4:28]
    return abs(square - RED).mean(), abs(square - original).mean()


for name, options in {
    "default.jxl": {"quality": 95},
    "low.jxl": {"quality": 20},
    "pixels.jxl": {"lossless_jpeg": False},
    "default.webp": {},
}.items():
    print(name, "to red %.1f, to the original %.1f" % edited_and_saved(name, **options))
to_red, to_original = edited_and_saved("default.jxl", quality=95)
assert to_red > 100 and to_original < 2
assert Path("default.jxl").read_bytes() == Path("low.jxl").read_bytes()
to_red, to_original = edited_and_saved("pixels.jxl", lossless_jpeg=False)
assert to_red < 10 and to_original > 100
PYTHON
