#!/bin/sh
# pdqhash 0.2.8, qoi 0.8.0: two compiled packages take an array's memory for the picture. pdqhash, Meta's perceptual hash of
# 256 bits, by which near duplicates are sought in a set of covers, hashes a picture that was turned by `np.rot90` or
# `torch.rot90` as if it were the mirror image of the unturned one, and one whose axes were swapped, as EXIF's orientation 5
# asks for, as the unturned one itself. If width and height differ, it hashes something that no picture shows. So whoever
# looks for copies turned by a quarter finds none of them, and holds mirror images for such copies. Nothing is raised, and
# the quality, by which hashes are sorted out, is 100. Mirrored, cropped, and BGR views, a turn by 180 degrees,
# and `tensor.permute(1, 2, 0)` are right, so a test with one of those is passed; `np.ascontiguousarray` helps. The grey
# picture is made by `(...).astype("float32")`, which keeps the order in memory, and C++ is given a pointer to its first
# element (`compute` in bindings.pyx; `compute_float` and `compute_dihedral` likewise).
# Pictures from MATLAB's files, as SVHN's digits are, come from `scipy.io.loadmat` in Fortran's order: pdqhash hashes them
# transposed, and qoi, which refuses every other view ("array should be C-contiguous"), writes them scrambled.
#
# Guess beforehand: the picture, or an error that says contiguous. (That some of thirty encoders and hashes would ignore
# strides was suspected, of pdqhash at 40%, of qoi at 30%, by `permute`, with which both are right or raise.)
# Seen, bits of 256 that differ from the hash of a copy: turned by 90, 180, 270 degrees 118, 0, 110, by torch 118, transposed
# 76, mirrored, cropped, BGR, permuted 0; turned by 90 from the hash of the mirror image 0; 138 between two pictures. From
# MATLAB's file 76, and a mean difference of the QOI file of 73 of 255.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 scipy==1.17.1 pillow==12.3.0 \
    pdqhash==0.2.8 qoi==0.8.0
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pdqhash
import qoi
import torch
from PIL import Image
from scipy.io import loadmat, savemat


def cover(seed, size=(256, 256)):
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(blocks).resize(size, Image.BICUBIC))


def bits(one, other):
    """Number of bits, of 256, in which two pictures' hashes differ."""
    return int((pdqhash.compute(one)[0] != pdqhash.compute(other)[0]).sum())


picture = cover(0)
tensor = torch.from_numpy(picture).permute(2, 0, 1).contiguous()
savemat("pictures.mat", {"X": picture[..., None]})
from_matlab = loadmat("pictures.mat")["X"][..., 0]
views = {
    "turned by 90": np.rot90(picture),
    "turned by 180": np.rot90(picture, 2),
    "turned by 270": np.rot90(picture, 3),
    "turned by torch": torch.rot90(tensor, 1, (1, 2)).permute(1, 2, 0).numpy(),
    "transposed": picture.transpose(1, 0, 2),
    "mirrored": np.fliplr(picture),
    "cropped": picture[10:, 5:],
    "BGR": picture[..., ::-1],
    "permuted": tensor.permute(1, 2, 0).numpy(),
    "from MATLAB": from_matlab,
    "300 x 200, turned by 90": np.rot90(cover(0, (300, 200))),
}
seen = {name: bits(view, np.ascontiguousarray(view)) for name, view in views.items()}
print("bits that differ from the hash of a copy:", seen)
print("quality of the turned one:", pdqhash.compute(views["turned by 90"])[1])
wrong = {"turned by 90", "turned by 270", "turned by torch", "transposed", "from MATLAB", "300 x 200, turned by 90"}
assert all(count > 64 if name in wrong else count == 0 for name, count in seen.items())

mirrored, other = bits(views["turned by 90"], np.fliplr(picture)), bits(picture, cover(1))
print(f"turned by 90 from the mirror image {mirrored}, transposed from the untransposed {bits(views['transposed'], picture)},")
print(f"from another picture {other}")
assert mirrored == 0 and bits(views["transposed"], picture) == 0 and other > 64

assert np.array_equal(from_matlab, picture)
difference = np.abs(qoi.decode(qoi.encode(from_matlab)).astype(int) - picture).mean()
refused = []
for name, view in views.items():
    try:
        qoi.encode(view)
    except ValueError:
        refused.append(name)
print(f"QOI of the array from MATLAB: mean difference {difference:.0f}; refused: {', '.join(refused)}")
assert difference > 20 and {"mirrored", "transposed", "permuted"} <= set(refused)
assert np.array_equal(qoi.decode(qoi.encode(picture)), picture)
PYTHON
