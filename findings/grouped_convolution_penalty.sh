#!/bin/sh
# torch 2.13.0: the gradient of a slope (gradient penalties, R1, R2, second derivatives) of a convolution in G groups is
# computed for each group by itself: one more convolution per group and layer. The first derivative takes one, however many
# groups there are. A discriminator with groups of 16 channels, the usual saving in modern blocks, thus spends most of its
# kernel launches there: R3GAN's at 64 px took 3,538 of 4,742 operators of a training step for it.
#
# Guess beforehand: as forward and backward each are one call for all groups, so is the backward of the backward.
# Seen: 3, 6, 18, 66, 258 convolutions with 1, 4, 16, 64, 256 groups. Written as an autograd function whose backward is a
# transposed convolution in groups, it is 3 whatever the number of groups, with the same gradient.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls[function.name()] += 1
        return function(*args, **(kwargs or {}))


class Grouped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, groups):
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx, slope):
        x, weight = ctx.saved_tensors
        return F.conv_transpose2d(slope, weight, padding=1, groups=ctx.groups), None, None


def penalty(convolve, groups, channels=256):
    torch.manual_seed(0)
    weight = torch.randn(channels, channels // groups, 3, 3, requires_grad=True)
    x = torch.randn(2, channels, 8, 8, requires_grad=True)
    with Count() as count:
        (slope,) = torch.autograd.grad(F.silu(convolve(x, weight, groups)).sum(), x, create_graph=True)
        (gradient,) = torch.autograd.grad(slope.square().sum(), x)
    return count.calls["aten::convolution"], gradient


torchs = lambda x, weight, groups: F.conv2d(x, weight, padding=1, groups=groups)
counts = {}
for groups in (1, 4, 16, 64, 256):
    (calls, gradient), (own, same) = penalty(torchs, groups), penalty(Grouped.apply, groups)
    torch.testing.assert_close(gradient, same, rtol=1e-4, atol=1e-3)
    counts[groups] = calls, own
    print(f"{groups} groups: {calls} convolutions, {own} as a function of one's own")
print(f"torch {torch.__version__}")
assert counts[256][0] > counts[1][0] + 250, "the behaviour has changed: groups are taken together now"
assert len({own for _, own in counts.values()}) == 1
PYTHON
