#!/bin/sh
# onnxruntime 1.32.0: `quantize_dynamic` of a DCGAN generator changes nothing. Its weights are in transposed convolutions,
# which have no quantized form there, and are skipped without a word: the file is as large as before (40 bytes larger), draws
# the same bits and takes the same time. A generator of the same size that enlarges by upsampling and convolution becomes
# four times smaller. So whether a GAN "was quantized" depends on how it enlarges, and only the size of the file tells.
#
# Guess beforehand: weights are stored in 8 bits whatever the layer and converted when loaded: both four times smaller.
# Seen: transposed convolutions 11,722,784 -> 11,722,824 bytes, largest difference 0.0; upsampling and convolutions
# 8,031,607 -> 2,013,850, 0.001.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 onnx==1.23.2 \
    onnxscript==0.7.2 onnxruntime==1.32.0 sympy==1.14.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import warnings

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

warnings.filterwarnings("ignore")
GENERATORS = {
    "transposed": nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False), nn.BatchNorm2d(512), nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(),
        nn.ConvTranspose2d(256, 3, 4, 2, 1), nn.Tanh(),
    ),
    "upsampling": nn.Sequential(
        nn.Conv2d(100, 512, 4, 1, 3, bias=False), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(512, 256, 3, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(256, 3, 3, 1, 1), nn.Tanh(),
    ),
}  # fmt: skip
shares, differences = {}, {}
for name, generator in GENERATORS.items():
    z = torch.randn(1, 100, 1, 1, generator=torch.Generator().manual_seed(0))
    options = {"dynamo": True, "input_names": ["z"], "external_data": False, "verbose": False}
    torch.onnx.export(generator.eval(), (z,), f"{name}.onnx", **options)
    quantize_dynamic(f"{name}.onnx", f"{name}8.onnx", weight_type=QuantType.QUInt8)
    before, after = os.path.getsize(f"{name}.onnx"), os.path.getsize(f"{name}8.onnx")
    drawn = [onnxruntime.InferenceSession(file).run(None, {"z": z.numpy()})[0] for file in (f"{name}.onnx", f"{name}8.onnx")]
    shares[name], differences[name] = after / before, float(np.abs(drawn[0] - drawn[1]).max())
    print(f"{name}: {before:,} -> {after:,} bytes, largest difference {differences[name]:.4f}")
assert shares["transposed"] >= 1 and differences["transposed"] == 0
assert shares["upsampling"] < 0.3 and differences["upsampling"] > 0
PYTHON
