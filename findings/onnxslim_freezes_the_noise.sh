#!/bin/sh
# onnxslim 0.1.98: it folds random nodes into constants. A generator that adds noise to its features, as StyleGAN does,
# exported by torch 2.13.0, has a RandomNormalLike node and draws another picture in every run; slimmed, the node is gone
# and one draw of the noise has become a weight, so that all pictures have the same. Its only input is a shape, which is
# constant, and onnxslim knows no list of random operators. onnxsim 0.8.1, made for the same purpose, keeps the node.
# onnxslim's report shows fewer nodes and no warning.
#
# Guess beforehand: random nodes are never folded, as in onnxsim and onnxruntime.
# Seen: nodes Reshape, ConstantOfShape, RandomNormalLike, Add, Conv; slimmed Reshape, Add, Conv; by onnxsim Reshape,
# RandomNormalLike, Add, Conv. Largest difference of two runs of one session: 1.6, slimmed 0, by onnxsim 1.7.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 onnx==1.23.2 \
    onnxscript==0.7.2 onnxruntime==1.32.0 onnxslim==0.1.98 onnxsim==0.8.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
import torch
from torch import nn

warnings.filterwarnings("ignore")


class Generator(nn.Module):
    """z (1, 128) -> (1, 3, 4, 4): noise is added to the features, then a convolution draws."""

    def __init__(self):
        super().__init__()
        self.draw = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, z):
        return self.draw(z.view(1, 8, 4, 4) + torch.randn(1, 1, 4, 4))


def look(name, model):
    """Its nodes, and the largest difference of two runs with the same z."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    z = np.zeros((1, 128), np.float32)
    first, second = (session.run(None, {"z": z})[0] for _ in range(2))
    nodes = [node.op_type for node in model.graph.node]
    print(name, nodes, "difference %.2f" % abs(first - second).max())
    return nodes, abs(first - second).max()


torch.manual_seed(0)
torch.onnx.export(Generator().eval(), (torch.zeros(1, 128),), "g.onnx", dynamo=True, input_names=["z"], verbose=False)
exported = onnx.load("g.onnx")
nodes, difference = look("exported", exported)
assert "RandomNormalLike" in nodes and difference > 0.1
nodes, difference = look("onnxsim ", onnxsim.simplify(exported)[0])
assert "RandomNormalLike" in nodes and difference > 0.1
nodes, difference = look("onnxslim", onnxslim.slim("g.onnx"))
assert "RandomNormalLike" not in nodes and difference == 0
PYTHON
