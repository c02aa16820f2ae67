#!/bin/sh
# keras 3.15.1 on torch 2.13.0: `parameters()` of a Keras model, which on that backend is a `torch.nn.Module`, come in the
# alphabetical order of the layers' names, not in the order of the layers. Keras numbers names through the whole
# process, and "conv2d_transpose_10" stands before "conv2d_transpose_9". So two generators of one function have their
# parameters in different orders, if the number of layers made before them is such that the names of one pass from 9 to
# 10 (or 99 to 100) and those of the other don't. Whatever pairs parameters by their place then mixes layers up: the loop
# over `zip(average.parameters(), generator.parameters())` by which GANs average the generator, torch-ema and diffusers'
# `EMAModel.copy_to`, and a torch optimizer whose state is loaded into a model that was built after other ones, in a
# notebook or with a classifier for scores. Where layers have different shapes it raises; where widths repeat, as they do
# inside of StyleGAN's and ResNet's blocks, nothing is said, and in most runs it works.
# `get_weights` and `trainable_variables` keep the order of the layers, so both are safe. Where: `_track_variables` in
# keras/src/backend/torch/layer.py gives a plain dict to `torch.nn.ParameterDict`, which sorts those (`update` in
# torch/nn/modules/container.py). keras's pull requests 19885 and 19908 are about the order between processes.
#
# Guess beforehand: `parameters()` in the order of the layers, as of any module of torch, so that the copy draws what
# the generator draws. (Not suspected: of a copy something was expected to be shared or drawn anew, at 35%; the cause was
# seen when an `AveragedModel` raised.)
# Seen, largest difference of the pictures of a generator and of its copy by `zip`, for eight pairs built in turn: 0 but
# for one, 0.1 to 0.2; by `set_weights` 0 for all. An Adam optimizer resumed from a saved state: difference from
# the weights of an uninterrupted run 0, with the names of that one copy 0.017 after ten steps of 0.002.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 keras==3.15.1
cd "$folder"
OMP_NUM_THREADS=1 KERAS_BACKEND=torch KERAS_HOME="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import copy
import warnings

import torch

import keras
from keras import layers

warnings.filterwarnings("ignore")


def generator():
    blocks = [(layers.Conv2DTranspose(16, 4, 2, "same"), layers.LeakyReLU()) for _ in range(3)]
    last = layers.Conv2D(3, 3, padding="same", activation="tanh")
    return keras.Sequential([layers.Input((1, 1, 16)), *(layer for block in blocks for layer in block), last])


def names(model):
    return [name.split("/")[-2] for name, _ in model.named_parameters() if name.endswith("kernel")]


def difference(model, other):
    return float((model(latents) - other(latents)).abs().max())


def train(model, optimizer, steps):
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        target = torch.randn(8, 8, 8, 3, generator=draw)
        (model(torch.randn(8, 1, 1, 16, generator=draw)) - target).square().mean().backward()
        optimizer.step()


def resumed(model, weights, state):
    """The model after ten more steps from the saved weights and the optimizer's saved state."""
    model.set_weights(weights)
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    optimizer.load_state_dict(copy.deepcopy(state))
    train(model, optimizer, range(10, 20))
    return model


keras.utils.set_random_seed(0)
latents = torch.randn(8, 1, 1, 16)
models, mixed = [], []
for pair in range(8):
    model, average = generator(), generator()
    models += [model, average]
    with torch.no_grad():
        for theirs, own in zip(average.parameters(), model.parameters(), strict=True):
            theirs.copy_(own)
    by_zip = difference(model, average)
    average.set_weights(model.get_weights())
    print(f"pair {pair}: by zip {by_zip:.3f}, by set_weights {difference(model, average):.3f}")
    assert difference(model, average) == 0
    if by_zip:
        mixed.append(average)
        print("   ", names(model), "\n   ", names(average))
assert len(mixed) == 1 and by_zip == 0

model = models[0]
optimizer = torch.optim.Adam(model.parameters(), 0.002)
train(model, optimizer, range(10))
weights, state = model.get_weights(), copy.deepcopy(optimizer.state_dict())
train(model, optimizer, range(10, 20))
right, wrong = (
    max(float(abs(torch.tensor(a - b)).max()) for a, b in zip(other.get_weights(), model.get_weights()))
    for other in (resumed(models[1], weights, state), resumed(mixed[0], weights, state))
)
print(f"resumed, largest difference of a weight: {right:.5f}; in the model with the other order {wrong:.5f}")
assert right < 1e-6 and wrong > 0.001
PYTHON
