#!/bin/sh
# torchvision 0.28.0 with torch 2.13.0: `v2.functional.rotate`, `affine` and `perspective`, and so the random transforms
# that are made of them, round a float picture to whole numbers if they run under autocast. Of a picture from 0 to 1
# that leaves 0 and 1, of one from -1 to 1 three levels: fp32 in, fp32 out, no warning. The sampling grid comes from a
# matrix product, which autocast turns into bf16 or fp16; since the grid's type then differs from the picture's, the
# picture is taken for one of integers. So a discriminator whose augmentation stands inside `autocast()`, as it does in
# most training steps, sees posters of two tones in place of covers; and rounding has no gradient, so the generator
# learns nothing through it. The older `torchvision.transforms` asks for the type and does not round. A picture in bf16
# is safe, as its grid is bf16, too.
#
# Guess beforehand: `grid_sample` is among the operators that autocast runs in fp32, so the rotated picture is the same
# with and without it up to 1e-3.
# Seen, a smooth picture of 128 px: distinct values after rotation 42,342, under autocast 2, mean difference 63 of 255;
# mean gradient of its pixels 0.88 and 0.00. Affine and perspective likewise. The older `rotate`: 0.6 of 255, 0.88 and
# 0.88; `elastic` and `resize` of v2: no difference.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchvision==0.28.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from contextlib import nullcontext

import torch

if torch.version.cuda is None:  # PyPI's torchvision is built for CUDA, without which its own operators don't load
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision.transforms import functional as older
from torchvision.transforms.v2 import functional as newer

SIZE = 128
BILINEAR = older.InterpolationMode.BILINEAR
torch.manual_seed(0)
coarse = torch.rand(1, 3, SIZE // 16, SIZE // 16)
picture = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1)
corners = [[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]]
moved = [[5, 3], [SIZE - 4, 2], [SIZE - 3, SIZE - 6], [4, SIZE - 5]]
CHANGES = {
    "v2 rotate": lambda image: newer.rotate(image, 20.0, interpolation=BILINEAR),
    "v2 affine": lambda image: newer.affine(image, 0.0, [3.0, 0.0], 1.1, [0.0, 0.0], interpolation=BILINEAR),
    "v2 perspective": lambda image: newer.perspective(image, corners, moved),
    "v2 elastic": lambda image: newer.elastic(image, torch.full((1, SIZE, SIZE, 2), 0.01)),
    "v2 resize": lambda image: newer.resize(image, [SIZE // 2, SIZE // 2]),
    "older rotate": lambda image: older.rotate(image, 20.0, interpolation=BILINEAR),
}


def changed(change, autocast):
    """(The picture, its mean absolute gradient for the sum of the changed one), with or without autocast."""
    image = picture.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
        result = change(image)
    assert result.dtype == torch.float32
    result.sum().backward()
    return result.detach(), image.grad.abs().mean().item()


for name, change in CHANGES.items():
    plain, gradient = changed(change, False)
    mixed, mixed_gradient = changed(change, True)
    difference = 255 * (plain - mixed).abs().mean().item()
    levels = len(plain.unique()), len(mixed.unique())
    print(f"{name:15} levels {levels}, difference {difference:.1f}, gradient {gradient:.2f}, {mixed_gradient:.2f}")
    rounded = name in ("v2 rotate", "v2 affine", "v2 perspective")
    assert levels[0] > 10_000
    assert set(mixed.unique().tolist()) == {0.0, 1.0} if rounded else levels[1] > 5_000
    assert difference > 40 if rounded else difference < 10
    assert gradient > 0.1 and (mixed_gradient == 0.0) == rounded
PYTHON
