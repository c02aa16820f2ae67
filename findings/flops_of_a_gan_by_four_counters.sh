#!/bin/sh
# Two errors in counting a GAN's operations, of a factor of 4 and of the number of groups. torchinfo 1.8.0 and thop
# 0.1.1.post2209072238 count a transposed convolution as if each of its outputs were a sum over the whole kernel, that is by
# the size of its output (`calculate_macs` in layer_info.py, `count_convNd` in basic_hooks.py). With stride 2 an output has a
# quarter of it, so a DCGAN generator gets four times its operations; PyTorch's FlopCounterMode and fvcore 0.1.5.post20221221
# count by the input and are right. Compared by the former, a generator that enlarges by upsampling and convolution looks as
# costly as one of transposed convolutions, though it is four times so. torch 2.13.0's FlopCounterMode counts the backward
# pass of a convolution in groups as if the weights' gradient had none (`conv_backward_flop` in torch/utils/flop_counter.py,
# whose comment says that it skips groups): the forward pass becomes cheaper with groups, the backward pass by half at most,
# so that with G groups it is G + 1 times the forward pass. A discriminator of grouped or depthwise convolutions thus seems
# to save nothing in training; model utilisation computed from it is too high by as much.
#
# Guess beforehand: counters agree but for multiplications counted as one or two operations; backward is twice the forward
# pass in any convolution. (For both, the errors as they were found had been suspected from having read the code.)
# Seen, DCGAN generator, millions of multiplications, by hand 104.6: FlopCounterMode 104.6, fvcore 104.6, torchinfo 428.3,
# thop 428.8. Backward in forward passes, 1, 4, 16 and 64 groups of 64 channels: 2, 5, 17, 65.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 torchinfo==1.8.0 \
    thop==0.1.1.post2209072238 fvcore==0.1.5.post20221221
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy

import thop
import torch
import torchinfo
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

CHANNELS = (100, 512, 256, 128, 64, 3)
layers = []
for index, (inputs, outputs) in enumerate(zip(CHANNELS, CHANNELS[1:])):
    layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2 if index else 1, 1 if index else 0, bias=False))
    if outputs != 3:
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
generator = nn.Sequential(*layers).eval()
latent = torch.randn(1, 100, 1, 1)
by_hand = sum(a * b * 16 * size**2 for a, b, size in zip(CHANNELS, CHANNELS[1:], (1, 4, 8, 16, 32)))
with FlopCounterMode(display=False) as counter:
    generator(latent)
counts = {
    "FlopCounterMode": counter.get_total_flops() / 2,
    "fvcore": FlopCountAnalysis(generator, latent).unsupported_ops_warnings(False).by_operator()["conv"],
    "torchinfo": torchinfo.summary(generator, input_data=latent, verbose=0).total_mult_adds,
    "thop": thop.profile(copy.deepcopy(generator), inputs=(latent,), verbose=False)[0],
}
print(f"by hand {by_hand / 1e6:.1f}", *(f"{name} {count / 1e6:.1f}" for name, count in counts.items()))
assert counts["FlopCounterMode"] == counts["fvcore"] == by_hand
assert 4 < counts["torchinfo"] / by_hand < 4.2 and 4 < counts["thop"] / by_hand < 4.2

for groups in (1, 4, 16, 64):
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=groups)
    with FlopCounterMode(display=False) as forward:
        outputs = layer(torch.randn(2, 64, 16, 16, requires_grad=True))
    with FlopCounterMode(display=False) as backward:
        outputs.sum().backward()
    ratio = backward.get_total_flops() / forward.get_total_flops()
    print(f"{groups} groups: forward {forward.get_total_flops():,}, backward {ratio} times that")
    assert ratio == groups + 1
PYTHON
