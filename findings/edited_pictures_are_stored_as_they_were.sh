#!/bin/sh
# datasets 5.2.0 with Pillow 12.3.0: of a picture that was opened from a file, not the pixels are stored but the file's path,
# by `from_dict`, `from_list`, `from_generator` and `map` alike. What was done to it in place is lost: a cover shrunk by
# `thumbnail` comes out in its original size (and the dataset is as large as the originals), what ImageDraw, `paste` or
# `putpixel` changed is unchanged, a face that was painted over for privacy is there again. The file is read when the
# dataset is read or written, so a file that was overwritten in the meantime gives its new content for every row that was
# made from it. Methods that return a new picture (`resize`, `crop`, `convert`, `copy`) lose the path and are stored as pixels.
#
# Guess beforehand: the pixels are encoded when the row is added, as JPEG with its loss perhaps.
# Seen, a cover of 600 px after `thumbnail((128, 128))`: 600 px in all four; red painted onto grey: grey, in the dataset and in
# its Parquet file; two covers from one file written twice: both the second; with `.copy()`: 128 px.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==12.3.0
cd "$folder"
HF_HOME="$folder/cache" "$folder/venv/bin/python" - <<'PYTHON'
import datasets
from datasets import Dataset
from PIL import Image, ImageDraw

datasets.disable_progress_bars()
Image.new("RGB", (600, 600), (128, 128, 128)).save("cover.jpg")


def small(_=None):
    cover = Image.open("cover.jpg")
    cover.thumbnail((128, 128))
    assert cover.size == (128, 128)
    return {"cover": cover}


def generate():
    yield small()


features = datasets.Features({"cover": datasets.Image()})
made = {
    "from_dict": Dataset.from_dict({"cover": [small()["cover"]]}, features=features),
    "from_list": Dataset.from_list([small()]),
    "from_generator": Dataset.from_generator(generate),
    "map": Dataset.from_dict({"number": [0]}).map(small),
}
for name, dataset in made.items():
    print(name, dataset[0]["cover"].size)
    assert dataset[0]["cover"].size == (600, 600)

painted = Image.open("cover.jpg")
ImageDraw.Draw(painted).rectangle((0, 0, 300, 300), fill=(255, 0, 0))
dataset = Dataset.from_list([{"cover": painted}])
dataset.to_parquet("covers.parquet")
for name, stored in {"painted": dataset, "its Parquet file": Dataset.from_parquet("covers.parquet")}.items():
    pixel = stored[0]["cover"].getpixel((50, 50))
    print(name, pixel)
    assert max(pixel) - min(pixel) < 5

rows = []
for colour in (0, 255):
    Image.new("RGB", (64, 64), (colour,) * 3).save("temporary.png")
    rows.append({"cover": Image.open("temporary.png")})
    rows[-1]["cover"].load()
stored = [row["cover"].getpixel((0, 0)) for row in Dataset.from_list(rows)]
print("black, then white, by way of one file:", stored)
assert stored == [(255, 255, 255)] * 2

copied = Dataset.from_list([{"cover": small()["cover"].copy()}])
print("copied", copied[0]["cover"].size)
assert copied[0]["cover"].size == (128, 128)
PYTHON
