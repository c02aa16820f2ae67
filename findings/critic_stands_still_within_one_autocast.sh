#!/bin/sh
# torch 2.13.0: within one `torch.autocast` block a network does not change, however often its optimizer steps. The block
# keeps each fp32 weight's copy in bf16 or fp16, made when it is first used, until the outermost block ends (`cached_cast` in
# aten/src/ATen/autocast_mode.cpp; the key is the tensor, writes to it are not noticed). A step of a GAN's training of which
# the whole stands in one block, as one writes it to indent once, or with accelerate's `autocast`, is therefore another
# algorithm: WGAN's five critic steps all start from the first critic's answers, so that they are one step five times as
# large if the optimizer is SGD; and the generator is trained against the critic of the step before. Only what autocast
# leaves in fp32 moves: normalisation, that is. The backward pass raises nothing, as a copied weight saves nothing that could
# be freed. Losses are plausible, since each new block begins with fresh copies. With `cache_enabled=False`, with the forward
# passes alone in a block of their own, or in a model that is in bf16, all is right.
#
# Guess beforehand, as the code reads: each forward pass sees the weights of that moment. (The probe was made because the
# cache was remembered; stale weights were suspected. So was that weights first used under `no_grad` get no gradient, which
# is not so any more. Another project was hit in 2026, pull request 186 of Flow-Factory; the documentation of `cache_enabled`
# does not say it.)
# Seen, the critic's loss at five steps on one batch: fp32 0.024 -0.051 -0.104 -0.148 -0.188; within one autocast 0.024 five
# times; with a block for each pass, and without cache, as in fp32 to 0.0003.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
from contextlib import nullcontext

import torch
from torch import nn

generator = torch.Generator().manual_seed(0)
covers, drawn = torch.rand(16, 3, 16, 16, generator=generator), torch.rand(16, 3, 16, 16, generator=generator) * 0.5


def autocast(**options):
    return torch.autocast("cpu", torch.bfloat16, **options)


def losses(outer, inner):
    """The critic's losses at its five steps, and how far it has moved, with contexts around all and around each pass."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(32 * 64, 1))
    start = critic[0].weight.detach().clone()
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    result = []
    with outer():
        for _ in range(5):
            with inner():
                loss = critic(drawn).mean() - critic(covers).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            result.append(loss.item())
    return result, (critic[0].weight - start).abs().mean().item()


runs = {
    "fp32": losses(nullcontext, nullcontext),
    "one autocast around all": losses(autocast, nullcontext),
    "one for each pass": losses(nullcontext, autocast),
    "one around all, no cache": losses(lambda: autocast(cache_enabled=False), nullcontext),
}
for name, (values, moved) in runs.items():
    print(f"{name:25}", *(f"{value:.4f}" for value in values), f"weights moved by {moved:.5f}")
    assert moved > 1e-4
    if name == "one autocast around all":
        assert len(set(values)) == 1
    else:
        assert values[0] - values[-1] > 0.01 and abs(values[-1] - runs["fp32"][0][-1]) < 0.02
PYTHON
