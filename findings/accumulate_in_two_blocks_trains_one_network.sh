#!/bin/sh
# accelerate 1.15.0: `Accelerator.accumulate` counts its own calls, of whichever model, and not the batches. A GAN's loop
# that opens one block for the discriminator's update and one for the generator's therefore counts two for each batch. With
# `gradient_accumulation_steps=2` each of the discriminator's blocks is an odd call, so its optimizer is never stepped until
# the loader's last batch, which always synchronizes; the generator is stepped after every batch, as if nothing were
# accumulated. Nothing is raised or logged, and both losses look alive. With 4 it is the same, the generator in every second
# batch; with 3 both are stepped, by chance as often as they should be. The other form, one block around both updates with
# both models, `accumulate(discriminator, generator)`, steps both as often as it should.
#
# Guess beforehand: each model's blocks are counted by themselves, as the argument suggests: 12 and 12 steps of 24 batches.
# Seen, steps of discriminator and generator in 24 batches, accumulation over 1, 2, 3, 4: (24, 24), (1, 24), (9, 8), (1, 12);
# with one block around both (24, 24), (12, 12), (8, 8), (6, 6).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import nn

BATCHES = 24


def steps(accumulation, together):
    """How often the discriminator's and the generator's optimizer changed their weights in one epoch."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
    networks = [nn.Linear(1, 1), nn.Linear(1, 1)]
    optimizers = [torch.optim.SGD(network.parameters(), 1e-3) for network in networks]
    loader = torch.utils.data.DataLoader(torch.randn(BATCHES, 1), batch_size=1)
    *prepared, loader = accelerator.prepare(*networks, *optimizers, loader)
    networks, optimizers = prepared[:2], prepared[2:]
    counts = [0, 0]
    for batch in loader:
        with accelerator.accumulate(*networks) if together else nullcontext():
            for index, (network, optimizer) in enumerate(zip(networks, optimizers)):
                before = network.weight.detach().clone()
                with nullcontext() if together else accelerator.accumulate(network):
                    accelerator.backward(network(batch).square().mean())
                    optimizer.step()
                    optimizer.zero_grad()
                counts[index] += int(not torch.equal(before, network.weight))
    return tuple(counts)


apart = [steps(accumulation, together=False) for accumulation in (1, 2, 3, 4)]
together = [steps(accumulation, together=True) for accumulation in (1, 2, 3, 4)]
print("two blocks:", apart)
print("one block:", together)
assert apart == [(24, 24), (1, 24), (9, 8), (1, 12)]
assert together == [(24, 24), (12, 12), (8, 8), (6, 6)]
PYTHON
