#!/bin/sh
# diffusers 0.42.1: `EMAModel.step` averages only parameters with `requires_grad`; of the others it keeps a plain copy. GAN
# loops freeze the network whose turn it is not, as StyleGAN's does, and update the average at the end of a step. If the
# generator is frozen then, because the discriminator had the last turn, the "average" is the generator as it is: no error,
# and `cur_decay_value` reports the decay that was not applied. Unfrozen, the same calls average.
#
# Guess beforehand: a frozen parameter is averaged like any other, which changes nothing if it stays as it is.
# Seen: a weight that is 0 for 190 steps, then 1 for 10, at decay 0.99 with the default warm-up: average 0.362; frozen when
# `step` is called 1.0; reported decay 0.957 in both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 diffusers==0.42.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from diffusers.training_utils import EMAModel
from torch import nn


def average(frozen):
    """(Average of a weight that was 0 for 190 steps and 1 for 10, the decay that is reported)."""
    generator = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(generator.weight)
    ema = EMAModel(generator.parameters(), decay=0.99)
    for step in range(200):
        generator.requires_grad_(True)
        with torch.no_grad():
            generator.weight.fill_(float(step >= 190))  # the generator's turn
        generator.requires_grad_(not frozen)  # the discriminator's turn
        ema.step(generator.parameters())
    return ema.shadow_params[0].item(), ema.cur_decay_value


for frozen in (False, True):
    print("frozen" if frozen else "trainable", "average %.3f, reported decay %.3f" % average(frozen))
assert 0.3 < average(False)[0] < 0.45
assert average(True)[0] == 1.0
assert average(True)[1] == average(False)[1] < 0.96
PYTHON
