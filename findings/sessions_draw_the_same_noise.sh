#!/bin/sh
# onnxruntime 1.32.0 and openvino 2026.4.1: of a generator that draws its latent or its noise itself (`torch.randn` in
# `forward`, exported by torch 2.13.0), each session draws the same numbers as every other session of its process, from
# the first run on. Four sessions in four threads, or one for each request, produce four times the same covers; a
# session that is opened anew for each picture produces one cover again and again. OpenVINO's compiled models of one
# saved file moreover begin with the same numbers in each process: a service draws the same covers again after each
# start. Runs of one session differ, so a test of two runs shows nothing. ONNX says that one is generated where a node
# has no seed: onnxruntime generates one when the process starts, and adds the node's place in the graph
# (random_seed.cc, cpu/generator/random.h). OpenVINO writes seeds into the file when it converts. For sampling by
# several sessions: pass the latents in; `onnxruntime.set_seed(...)` before each session is opened helps too.
# onnxruntime's behaviour was asked about in its issue 27771, of 2026, which is open.
#
# Guess beforehand: each session draws other numbers. (The outcome was suspected at 50% from memory of the source, for
# both; for processes of OpenVINO at 60%.)
# Seen, largest difference of the pictures of two runs: of one session 1.0, OpenVINO 1.4 (it varies); first runs of two
# sessions 0, second runs of them 0, by both; first runs of two processes 1.1, OpenVINO 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 onnx==1.23.2 \
    onnxscript==0.7.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$folder"
cat > other.py <<'PYTHON'
import sys

import numpy as np
import onnxruntime
import openvino

runtime, labels = sys.argv[1], np.zeros((1, 8), np.float32)
if runtime == "onnxruntime":
    picture = onnxruntime.InferenceSession("g.onnx").run(None, {"labels": labels})[0]
else:
    picture = openvino.compile_model("g.xml", "CPU")(labels)[0]
np.save(f"{runtime}.npy", picture)
PYTHON
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
import warnings

import numpy as np
import onnxruntime
import openvino
import torch
from torch import nn

warnings.filterwarnings("ignore")


class Generator(nn.Module):
    """Labels (n, 8) -> pictures (n, 48); the latents are drawn inside."""

    def __init__(self):
        super().__init__()
        self.draw = nn.Linear(16 + 8, 48)

    def forward(self, labels):
        return self.draw(torch.cat([labels, torch.randn(labels.shape[0], 16)], 1)).tanh()


torch.manual_seed(0)
generator, labels = Generator().eval(), torch.zeros(1, 8)
torch.onnx.export(generator, (labels,), "g.onnx", dynamo=True, input_names=["labels"], verbose=False)
openvino.save_model(openvino.convert_model(generator, example_input=labels), "g.xml", compress_to_fp16=False)


def new_onnxruntime():
    session = onnxruntime.InferenceSession("g.onnx")
    return lambda: session.run(None, {"labels": labels.numpy()})[0]


def new_openvino():
    model = openvino.compile_model("g.xml", "CPU")
    return lambda: np.array(model(labels.numpy())[0])


for name, new in {"onnxruntime": new_onnxruntime, "openvino": new_openvino}.items():
    first, second = new(), new()
    a, b, c, d = first(), first(), second(), second()
    subprocess.run([sys.executable, "other.py", name], check=True)
    found = {
        "two runs": abs(a - b).max(),
        "first runs of two sessions": abs(a - c).max(),
        "second runs of two sessions": abs(b - d).max(),
        "two processes": abs(a - np.load(f"{name}.npy")).max(),
    }
    print(name, {where: round(float(difference), 3) for where, difference in found.items()})
    assert found["two runs"] > 0.1 and (found["two processes"] == 0) == (name == "openvino")
    assert found["first runs of two sessions"] == 0 and found["second runs of two sessions"] == 0
onnxruntime.set_seed(1)
one = new_onnxruntime()()
onnxruntime.set_seed(2)
print("onnxruntime, another seed set for each session: %.3f" % abs(one - new_onnxruntime()()).max())
PYTHON
