#!/bin/sh
# torch 2.13.0: `nn.init.kaiming_normal_` and the default initialisation of `nn.ConvTranspose2d` take the layer's outputs for its
# inputs. They read the fan from dimension 1 of the weight, which in transposed convolutions is the number of output channels,
# and take the whole kernel, of which the stride lets a quarter reach a pixel. So a layer that should keep the variance
# multiplies the standard deviation by 6.5 from 512 to 3 channels, and by 1/27 from 3 to 512; `mode="fan_out"` is no
# remedy, for the kernel's share is wrong there, too. Behind BatchNorm only the last layer shows it: with 512 channels before
# it, an untrained generator draws saturated colours, where tanh has no gradient, and its twin of upsampling and
# convolution draws grey. DCGAN's N(0, 0.02) hides this from most people.
#
# Guess beforehand: fan_in is the number of values that an output is summed from; output deviation 1.0 in each case.
# Seen, deviation of outputs for inputs of 1: convolution 512 to 3 0.96, transposed 512 to 3 6.28, with fan_out 0.48,
# transposed 3 to 512 0.04. Default initialisation, after ReLU: 59 % of pixels beyond 0.9 of tanh; upsampling and convolution 0.02 %.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn


def deviation(layer, mode="fan_in"):
    """Of its outputs, for inputs with a standard deviation of 1."""
    nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    with torch.no_grad():
        return layer(torch.randn(16, layer.in_channels, 16, 16)).std().item()


def saturated(layer):
    """Share of its outputs beyond 0.9 of tanh, with the default initialisation, for inputs after BatchNorm and ReLU."""
    with torch.no_grad():
        return (layer(torch.randn(64, 512, 16, 16).relu()).tanh().abs() > 0.9).float().mean().item()


torch.manual_seed(0)
seen = {
    "convolution 512 to 3": deviation(nn.Conv2d(512, 3, 3, 1, 1)),
    "transposed 512 to 3": deviation(nn.ConvTranspose2d(512, 3, 4, 2, 1)),
    "transposed 512 to 3, fan_out": deviation(nn.ConvTranspose2d(512, 3, 4, 2, 1), "fan_out"),
    "transposed 3 to 512": deviation(nn.ConvTranspose2d(3, 512, 4, 2, 1)),
    "saturated, transposed": saturated(nn.ConvTranspose2d(512, 3, 4, 2, 1)),
    "saturated, upsampling": saturated(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(512, 3, 3, 1, 1))),
}
for name, value in seen.items():
    print(f"{name}: {value:.4f}")
assert 0.85 < seen["convolution 512 to 3"] < 1.1
assert seen["transposed 512 to 3"] > 5 and seen["transposed 3 to 512"] < 0.1
assert 0.4 < seen["transposed 512 to 3, fan_out"] < 0.6
assert seen["saturated, transposed"] > 0.4 and seen["saturated, upsampling"] < 0.01
PYTHON
