#!/bin/sh
# accelerate 1.15.0: while gradients accumulate, `optimizer.zero_grad()` does nothing except in the step that updates, as
# `optimizer.step()` does. So where it stands in the loop is no matter of taste. Before `backward`, as in PyTorch's DCGAN
# tutorial, it clears what was accumulated and the update has the last micro-batch alone, divided by their number: with
# `gradient_accumulation_steps=8` seven eighths of the covers are never learned from. After `step`, as in accelerate's guide,
# the generator's `backward` leaves its gradient in the discriminator, which nothing clears until the discriminator is
# updated with it: towards being fooled. Of the four loops a GAN may have, one is right: zeroed after `step`, and the
# discriminator frozen during the generator's turn. Nothing is raised; all four train something.
#
# Guess beforehand: `zero_grad` is skipped between updates wherever it stands, so all four loops update alike but for the
# generator's gradient, which zeroing before `backward` removes.
# Seen, updates of a discriminator whose gradient is the batch (1, 2, 4 ... 128), accumulated over 2, the generator's in it
# being -1000: zeroed before, frozen or not, 1, 4, 16, 64; zeroed after -498.5, -994, -976, -904; zeroed after and frozen
# 1.5, 6, 24, 96, the means.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from accelerate import Accelerator
from torch import nn

BATCHES = [[1.0], [2.0], [4.0], [8.0], [16.0], [32.0], [64.0], [128.0]]
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)


def updates(before, frozen):
    """What each of the discriminator's updates subtracts from its weight, at a learning rate of 1."""
    discriminator, generator = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    for network in (discriminator, generator):
        nn.init.ones_(network.weight)
    optimizers = torch.optim.SGD(discriminator.parameters(), 1.0), torch.optim.SGD(generator.parameters(), 0.0)
    loader = torch.utils.data.DataLoader(torch.tensor(BATCHES), batch_size=1)
    discriminator, generator, judges, draws, loader = accelerator.prepare(discriminator, generator, *optimizers, loader)
    changes = []
    for batch in loader:
        weight = discriminator.weight.item()
        with accelerator.accumulate(discriminator, generator):
            for optimizer, loss in (
                (judges, lambda: discriminator(batch).sum()),
                (draws, lambda: -1000 * discriminator(generator(torch.ones(1, 1))).sum()),
            ):
                discriminator.requires_grad_(optimizer is judges or not frozen)
                if before:
                    optimizer.zero_grad()
                accelerator.backward(loss())
                optimizer.step()
                if not before:
                    optimizer.zero_grad()
        changes.append(round(weight - discriminator.weight.item(), 1))
    return changes[1::2]


seen = {}
for before in (True, False):
    for frozen in (False, True):
        seen[before, frozen] = updates(before, frozen)
        print("zeroed", "before," if before else "after,", "frozen" if frozen else "trainable", seen[before, frozen])
assert seen[True, False] == seen[True, True] == [1.0, 4.0, 16.0, 64.0]
assert max(seen[False, False]) < 0
assert seen[False, True] == [1.5, 6.0, 24.0, 96.0]
PYTHON
