#!/bin/sh
# huggingface_hub 2.4.0: a network with `PyTorchModelHubMixin` comes back from `save_pretrained` as another one, if an argument
# of its constructor is no JSON value. A class (`activation=nn.Tanh`), a function, a dtype are left out of config.json
# without a word, and `from_pretrained` takes the constructor's default. All weights fit, since an activation has none;
# so nothing is raised, and the model draws other pictures. Had the argument changed a shape, loading would have failed.
# (A tuple comes back as a list.) The class's `coders` argument is made for such types, if one knows that one needs it.
#
# Guess beforehand: saving raises a TypeError, as `json.dumps` does, or warns.
# Seen: config.json {"shape": [4, 4], "width": 16}; saved Tanh, loaded ReLU; outputs of the same latents differ by 0.18; nothing is
# logged above the level of information.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 huggingface_hub==2.4.0 \
    safetensors==0.8.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import logging
import warnings
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

warnings.simplefilter("error")
warned = []
handler = logging.Handler(logging.WARNING)
handler.emit = warned.append
logging.getLogger().addHandler(handler)
logging.getLogger("huggingface_hub").addHandler(handler)


class Generator(nn.Module, PyTorchModelHubMixin):
    def __init__(self, width=8, activation=nn.ReLU, shape=(4, 4)):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), activation(), nn.Linear(width, 3))

    def forward(self, z):
        return self.layers(z)


torch.manual_seed(0)
saved = Generator(16, activation=nn.Tanh)
saved.save_pretrained("model")
loaded = Generator.from_pretrained("model")
config = json.loads(Path("model/config.json").read_text())
z = torch.randn(5, 4)
difference = (saved(z) - loaded(z)).abs().max().item()
names = [type(network.layers[1]).__name__ for network in (saved, loaded)]
print(config, "saved, loaded:", *names, "difference %.2f" % difference, "warnings", len(warned))
assert config == {"width": 16, "shape": [4, 4]}
assert names == ["Tanh", "ReLU"] and difference > 0.05 and not warned
PYTHON
