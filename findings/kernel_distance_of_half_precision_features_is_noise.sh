#!/bin/sh
# torchmetrics 1.9.0: `KernelInceptionDistance` computes in the precision in which the feature extractor hands its features
# over. Where that runs under autocast or in bf16, to evaluate a run in half of the time, the distance is a difference of
# sums of cubes with three digits: noise, often negative, many times its true value, with a standard deviation that looks
# like a measurement; in fp16 it is NaN. `FrechetInceptionDistance` of the same features is right, because it adds them up
# in fp64, so a test of the extractor by FID does not show it. Rounding features to bf16 is harmless in itself: rounded,
# then converted back to fp32, they give the same distance to a thousandth.
#
# Guess beforehand: both metrics convert features to fp32 or fp64 before they compute; differences stay within one per cent.
# Seen: fp32 0.000713 +- 0.0001; bf16 -0.0047 +- 0.0072; fp16 nan; bf16 converted back to fp32 0.000714. FID 0.789 in all.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchmetrics==1.9.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import math
import warnings

import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

warnings.filterwarnings("ignore")


class Features(nn.Module):
    """256 random features of 16 px images, of size 1 or so, in a precision; `back` converts them to fp32 afterwards."""

    num_features = 256

    def __init__(self, dtype, back=False):
        super().__init__()
        self.weights = torch.randn(3 * 16 * 16, 256, generator=torch.Generator().manual_seed(1)) / 28
        self.dtype, self.back = dtype, back

    def forward(self, images):
        features = torch.relu(images.float().flatten(1) / 255 @ self.weights).to(self.dtype)
        return features.float() if self.back else features


torch.manual_seed(0)
real = torch.randint(0, 256, (1_000, 3, 16, 16), dtype=torch.uint8)
fake = (torch.randint(0, 256, (1_000, 3, 16, 16)) * 0.9 + 10).to(torch.uint8)
kid, fid = {}, {}
for name, features in {
    "fp32": Features(torch.float32),
    "bf16": Features(torch.bfloat16),
    "fp16": Features(torch.float16),
    "bf16, then fp32": Features(torch.bfloat16, back=True),
}.items():
    for metric, results in (
        (KernelInceptionDistance(feature=features, subsets=10, subset_size=500), kid),
        (FrechetInceptionDistance(feature=features), fid),
    ):
        metric.update(real, real=True)
        metric.update(fake, real=False)
        torch.manual_seed(4)  # the same subsets
        found = metric.compute()
        results[name] = tuple(map(float, found)) if isinstance(found, tuple) else float(found)
    print(name, "KID", kid[name], "FID", round(fid[name], 4))
assert all(abs(value / fid["fp32"] - 1) < 0.01 for value in fid.values())
assert abs(kid["bf16, then fp32"][0] / kid["fp32"][0] - 1) < 0.05
assert abs(kid["bf16"][0] - kid["fp32"][0]) > 3 * kid["fp32"][0] and kid["bf16"][1] > 10 * kid["fp32"][1]
assert math.isnan(kid["fp16"][0])
PYTHON
