#!/bin/sh
# torch 2.13.0: building a network under `torch.device("meta")`, the usual way to load weights without initialising any,
# imports torch._dynamo and sympy if the network has one nn.Embedding, or anything else that starts with `init.normal_`:
# hundreds of modules and about a second, where linear layers, convolutions, recurrent layers and attention import one
# and take a millisecond. So a small conditional generator loads a second later than the same one without classes.
# `torch.randn` under it imports sympy alone, some 500 modules.
#
# Guess beforehand: nothing is initialised on "meta", so every layer is free; if any costs, attention or LSTMs, not a table.
# Seen: modules imported: Linear, Conv2d, LSTM, MultiheadAttention and trunc_normal_ 1 each, 0.001 s; Embedding and normal_
# 824 each, 1.0 s, on two busy cores.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
for layer in "nn.Linear(8, 8)" "nn.Conv2d(8, 8, 3)" "nn.LSTM(8, 8)" "nn.MultiheadAttention(8, 2)" \
    "nn.init.trunc_normal_(torch.empty(8, 8))" "nn.Embedding(8, 8)" "nn.init.normal_(torch.empty(8, 8))"; do
    "$folder/venv/bin/python" - "$layer" <<'PYTHON'
import sys
import time

import torch
from torch import nn

before, start = set(sys.modules), time.perf_counter()
with torch.device("meta"):
    eval(sys.argv[1])
seconds, new = time.perf_counter() - start, set(sys.modules) - before
print(f"{sys.argv[1]:45} {len(new):4} modules  {seconds:.3f} s  compiler: {'torch._dynamo' in new}")
heavy = "Embedding" in sys.argv[1] or ".normal_" in sys.argv[1]
assert ("torch._dynamo" in new) is heavy, "this torch behaves differently"
assert (len(new) > 400) if heavy else (len(new) < 20)
PYTHON
done
