#!/bin/sh
# openvino 2026.4.1 with torch 2.13.0: `convert_model` of a generator that is still being trained harms both. The
# generator is left in evaluation mode, so from then on it trains with BatchNorm's running statistics, which no longer
# move, and without dropout; nothing says so. And what was converted is no snapshot: weights that were taken over as
# they are stay in the tensors that the optimizer writes to, while those that BatchNorm was folded into are a copy. So a
# model that is kept as the best so far, and saved at the end of the run, has some layers as they were and the others as
# they are at the end: a network that never existed. Compiling the model at once is no remedy: what was compiled is the
# same mixture. `share_weights=False` is one.
#
# Guess beforehand: the generator's mode and statistics are left as they were. (That some weights are shared and others
# copied came up while looking into it; no guess about it had been written down.)
# Seen: training mode True before, False afterwards, statistics unmoved by the next batch. Mean difference between the
# covers of the generator when converted and at the end: 0.30. Of the file saved at the end to the former 0.13, to the
# latter 0.27; with `share_weights=False` 0.00 and 0.30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 openvino==2026.4.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import openvino
import torch
from torch import nn

warnings.filterwarnings("ignore")
torch.manual_seed(0)
torch.set_num_threads(2)
LATENTS = torch.randn(16, 8, 1, 1)
TARGET = torch.rand(1, 3, 8, 8) * 2 - 1


def train(generator, steps):
    optimizer = torch.optim.Adam(generator.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        (generator(torch.randn(16, 8, 1, 1)) - TARGET).square().mean().backward()
        optimizer.step()


@torch.no_grad()
def covers(generator):
    generator.eval()
    result = generator(LATENTS).numpy()
    generator.train()
    return result


def difference(a, b):
    return float(np.abs(a - b).mean())


def kept(**arguments):
    """Convert a generator in the middle of its training, and save what was converted at the end."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.ConvTranspose2d(8, 32, 4), nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()
    )
    train(generator, 20)
    before = covers(generator)
    assert generator.training
    best = openvino.convert_model(generator, example_input=LATENTS, **arguments)
    flag, mean = generator.training, generator[1].running_mean.clone()
    generator(LATENTS)
    moved = not torch.equal(mean, generator[1].running_mean)
    compiled = openvino.compile_model(best, "CPU")
    generator.train()
    train(generator, 200)
    after = covers(generator)
    openvino.save_model(best, "best.xml", compress_to_fp16=False)
    saved = openvino.compile_model("best.xml", "CPU")(LATENTS.numpy())[0]
    assert difference(compiled(LATENTS.numpy())[0], saved) < 0.01
    return flag, moved, difference(before, after), difference(saved, before), difference(saved, after)


for arguments in ({}, {"share_weights": False}):
    flag, moved, changed, to_before, to_after = kept(**arguments)
    print(f"{arguments}: training {flag}, statistics move {moved}; {changed:.4f} from conversion to the end;", end=" ")
    print(f"saved file to conversion {to_before:.4f}, to the end {to_after:.4f}")
    assert not flag and not moved
    assert changed > 0.05
    if arguments:
        assert to_before < 0.01
    else:
        assert to_before > 0.05 and to_after > 0.05
PYTHON
