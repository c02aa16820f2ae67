#!/bin/sh
# datasets 5.2.0, imagefolder: a metadata.csv that names some of the pictures makes the others vanish, without an error
# or a warning.
#
# Guess beforehand: an error ("image x has no metadata"), or a null in the other columns.
# Seen: 4 pictures, of which metadata.csv names 2 -> 2 rows. Without the file: 4 rows.
# So album_gan reads folders of pictures itself (covers/folders.py), and a picture without metadata has no label.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==12.3.0
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/hf" "$folder/venv/bin/python" - <<'PYTHON'
import pathlib
import warnings

import datasets
from PIL import Image

datasets.disable_progress_bars()
root = pathlib.Path("pictures")
for name in ("a/1.png", "a/2.png", "b/3.png", "4.png"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / name)


def count() -> int:
    return len(datasets.load_dataset("imagefolder", data_dir="pictures", split="train"))


without = count()
(root / "metadata.csv").write_text("file_name,genre\na/1.png,rock\n4.png,jazz\n")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    listed = count()
about = [str(warning.message) for warning in caught if "metadata" in str(warning.message)]
print(f"datasets {datasets.__version__}: {without} pictures without metadata.csv, {listed} with one that names two")
print(f"warnings about it: {about}")
assert (without, listed, about) == (4, 2, []), "the behaviour has changed"
PYTHON
