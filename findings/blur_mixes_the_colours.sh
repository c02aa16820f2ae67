#!/bin/sh
# keras 3.15.1 on torch 2.13.0: `keras.ops.image.gaussian_blur(pictures, kernel_size, sigma)` blurs along the width and
# across the colours, and not along the height. "If not specified, the value will default to
# `keras.config.image_data_format`", its documentation says of `data_format`, which is channels last. But None is handed
# to the backend, and on torch (as on jax) everything but the word "channels_last" is taken for channels first: rows
# become channels. Beyond red and blue there is zero padding, so that both darken, and red, green and blue run into each
# other. With a square kernel the shape is right, and the picture looks blurred, so it is easily taken for what was asked
# for; with another one the number of colours changes. It hits the blur of a critic's inputs that is faded out at the
# beginning of training, losses of low frequencies, and antialiasing. `data_format="channels_last"` helps.
# `keras.ops.pad(..., mode="symmetric")` on torch repeats the last pixel instead of mirroring, which a border of one
# pixel doesn't show. Both are mended in the repository (pull requests 23542 and 23230), and not in 3.15.1, PyPI's newest
# release at the end of November 2026. Where: `gaussian_blur` in keras/src/backend/torch/image.py, `pad` in
# keras/src/backend/torch/numpy.py.
#
# Guess beforehand: what scipy or NumPy compute, to 1e-3. (Neither was suspected, when some 270 operations were compared
# between torch and jax; average pooling and bicubic resizing were, at 35% and 60%.)
# Seen: mean of pictures 0.51, after the blur 0.37, with the format named 0.46 (zero padding); largest difference to
# SciPy's blur 0.32, with the format named 0.00; the middle of a green picture becomes 0.24, 0.40, 0.24; a white line of
# one row stays as sharp as it was; of 3 colours, with a kernel of 3 x 5, one is left. The padded picture differs by 0.98
# from NumPy's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 scipy==1.17.1 keras==3.15.1
cd "$folder"
OMP_NUM_THREADS=1 KERAS_BACKEND=torch KERAS_HOME="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy import ndimage

import keras
from keras import ops

assert keras.config.image_data_format() == "channels_last"
pictures = np.random.default_rng(0).random((2, 12, 15, 3), dtype=np.float32)
weights = np.exp(-(np.arange(-2, 3) ** 2) / 2)
weights /= weights.sum()  # deviation 1, five pixels
expected = pictures
for axis in (1, 2):
    expected = ndimage.correlate1d(expected, weights, axis, mode="constant")


def blur(images, size=(5, 5), **options):
    return ops.convert_to_numpy(ops.image.gaussian_blur(images, size, (1.0, 1.0), **options))


def difference(images, other):
    return float(np.abs(images - other).max())


plain, named = blur(pictures), blur(pictures, data_format="channels_last")
print(f"mean {pictures.mean():.3f}, blurred {plain.mean():.3f}, with the format named {named.mean():.3f}")
print(f"difference to SciPy's {difference(plain, expected):.3f}, named {difference(named, expected):.3f}")
assert plain.shape == pictures.shape and difference(plain, expected) > 0.1 and difference(named, expected) < 1e-4

green = np.zeros((1, 12, 15, 3), np.float32)
green[..., 1] = 1
print("middle of a green picture, blurred:", blur(green)[0, 6, 7].round(2))
assert blur(green)[0, 6, 7, 0] > 0.1 and blur(green, data_format="channels_last")[0, 6, 7, 0] == 0

column = np.zeros((1, 12, 15, 3), np.float32)
column[:, 6] = 1  # one white row
print("rows of a white line, blurred:", blur(column)[0, 4:9, 7, 1].round(2))
assert blur(column)[0, 5, 7, 1] == 0

print("shape with a kernel of 3 x 5:", blur(pictures, (3, 5)).shape)
assert blur(pictures, (3, 5)).shape != pictures.shape

border = ((0, 0), (2, 3), (1, 4), (0, 0))
padded = {mode: ops.convert_to_numpy(ops.pad(pictures, border, mode=mode)) for mode in ("symmetric", "reflect")}
seen = {mode: difference(images, np.pad(pictures, border, mode=mode)) for mode, images in padded.items()}
print("padding, difference to NumPy's:", {mode: round(value, 3) for mode, value in seen.items()})
assert seen["reflect"] == 0 and seen["symmetric"] > 0.5
assert difference(padded["symmetric"], np.pad(pictures, border, mode="edge")) == 0
PYTHON
