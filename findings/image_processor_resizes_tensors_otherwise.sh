#!/bin/sh
# diffusers 0.42.1: `VaeImageProcessor.preprocess`, through which most pipelines take their pictures, resizes a PIL image
# with the filter that the processor is configured with (`resample`, Lanczos unless set), as `resize_mode` says. A tensor
# or an array of the same pixels it resizes to their nearest neighbours, whatever `resample` is: enlarged fourfold it is made
# of blocks of 4 x 4 equal pixels, reduced fourfold it is aliased and lies 1.5 pixels aside. A GAN's covers are tensors, and
# so what img2img makes of them depends on whether they were turned into PIL images before. Nothing warns.
#
# Guess beforehand: both are resized with the same filter, up to rounding: 1 of 255.
# Seen: a smooth picture enlarged from 128 to 512 px differs by 3.0 of 255 on average, up to 14; reduced from 512 to 128 px
# by 6.3, up to 12; every 4 x 4 block of the enlarged tensor is constant, with lanczos, bicubic and bilinear alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 diffusers==0.42.1 pillow==12.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image


def picture(size):
    """Waves of 32 px of 128 in both directions: smooth at each of the sizes."""
    y, x = (np.mgrid[:size, :size] + 0.5) * 128 / size
    waves = [np.sin(x / 5 + y / 9), np.sin(y / 5), np.sin((x + y) / 7)]
    return np.stack([127.5 + 100 * wave for wave in waves], -1).round().astype(np.uint8)


def differences(resample, before, after):
    processor = VaeImageProcessor(vae_scale_factor=8, resample=resample)
    pixels = picture(before)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    arrays = {"PIL": Image.fromarray(pixels), "tensor": tensor, "array": pixels[None].astype(np.float32) / 255}
    made = {name: processor.preprocess(one, height=after, width=after) * 127.5 + 127.5 for name, one in arrays.items()}
    assert torch.equal(made["tensor"], made["array"])
    blocks = made["tensor"].unfold(2, 4, 4).unfold(3, 4, 4)
    constant = bool((blocks == blocks[..., :1, :1]).all())
    off = (made["PIL"] - made["tensor"]).abs()
    return round(float(off.mean()), 1), round(float(off.max()), 1), constant


found = {
    (resample, before, after): differences(resample, before, after)
    for resample in ("lanczos", "bicubic", "bilinear")
    for before, after in ((128, 512), (512, 128), (128, 128))
}
for case, values in found.items():
    print(*case, "mean and largest difference, blocks constant:", *values)
for resample in ("lanczos", "bicubic", "bilinear"):
    assert found[resample, 128, 512][0] > 2 and found[resample, 128, 512][2]
    assert found[resample, 512, 128][0] > 5
    assert found[resample, 128, 128][1] <= 1  # nothing to resize
PYTHON
