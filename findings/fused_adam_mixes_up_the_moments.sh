#!/bin/sh
# torch 2.13.0, CPU: a fused optimizer gives each weight the moments of another one, if the weights lie in memory in another
# order than the optimizer's state. That is so for a run that was saved as usual and is resumed with
# `memory_format=torch.channels_last`, which is faster for convolutions, or whose model is changed to it after the first
# step: weights and gradients get the new order, `load_state_dict` and `to` leave the state in the old one. Adam, AdamW and
# SGD with momentum are wrong alike; without `fused=True` each is right. Nothing is raised, shapes agree, and the losses look
# like a restart that has to settle. On CUDA the fused kernel compares strides and raises an error
# (`check_fast_path_restrictions`); the CPU's (native/FusedAdam.cpp, native/cpu/FusedAdamKernel.cpp) compares only the number
# of tensors, and walks along the raw memory of weight, gradient and moments. The same befalls gradients that are assigned to
# `weight.grad` from `torch.autograd.grad`, if pictures are channels_last and the model is not: they have the pictures'
# order.
#
# Guess beforehand, as the documentation leads to expect: the step of the plain optimizer, or CUDA's error. (The probe was
# made because the kernel was remembered to use raw pointers; mixed-up moments were suspected.)
# Seen, first step after resuming, mean difference of a convolution's weights to the plain optimizer's, as a share of the
# step: plain, either order 0.00000; fused, old order 0.00000; fused, channels_last Adam 0.83, AdamW 0.83, SGD 1.03.
# Gradients assigned from `autograd.grad`, SGD: plain 0.00000 (the same gradients through `backward`), fused 0.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy

import torch
from torch import nn

OPTIMIZERS = {
    "Adam": lambda weights, fused: torch.optim.Adam(weights, lr=2e-3, fused=fused),
    "AdamW": lambda weights, fused: torch.optim.AdamW(weights, lr=2e-3, fused=fused),
    "SGD": lambda weights, fused: torch.optim.SGD(weights, lr=1e-2, momentum=0.9, fused=fused),
}
generator = torch.Generator().manual_seed(1)
pictures = torch.randn(64, 3, 16, 16, generator=generator)
targets = torch.randn(64, 1, generator=generator)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 1)
    )


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (model(pictures) - targets).square().mean().backward()
        optimizer.step()


for name, optimizer_for in OPTIMIZERS.items():
    weights = {}
    for fused in (False, True):
        model = network()
        optimizer = optimizer_for(model.parameters(), fused)
        train(model, optimizer, 5)
        checkpoint = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        for order in (torch.contiguous_format, torch.channels_last):
            resumed = network().to(memory_format=order)
            resumed.load_state_dict(checkpoint[0])
            resumed_optimizer = optimizer_for(resumed.parameters(), fused)
            resumed_optimizer.load_state_dict(copy.deepcopy(checkpoint[1]))
            train(resumed, resumed_optimizer, 1)
            weights[fused, order] = resumed[2].weight.detach().clone()
    right = weights[False, torch.contiguous_format]
    change = (right - checkpoint[0]["2.weight"]).abs().mean()
    for (fused, order), weight in weights.items():
        error = ((weight - right).abs().mean() / change).item()
        print(f"{name:5} {'fused' if fused else 'plain'} {str(order)[6:]:17} error {error:.5f} of the step")
        assert error > 0.1 if fused and order == torch.channels_last else error < 1e-3

weights = {}
pictures = torch.randn(8, 16, 16, 16, generator=generator).to(memory_format=torch.channels_last)
for name, fused, assigned in (("backward", False, False), ("plain", False, True), ("fused", True, True)):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3))
    before = model[2].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    loss = model(pictures).square().mean()
    if assigned:
        for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters()))):
            parameter.grad = gradient
    else:
        loss.backward()
    optimizer.step()
    weights[name] = model[2].weight.detach().clone()
change = (weights["backward"] - before).abs().mean()
errors = {name: ((weight - weights["backward"]).abs().mean() / change).item() for name, weight in weights.items()}
print("assigned gradients:", *(f"{name} {error:.5f}" for name, error in errors.items()))
assert errors["plain"] < 1e-3 and errors["fused"] > 0.1
PYTHON
