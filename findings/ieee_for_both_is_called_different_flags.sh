#!/bin/sh
# torch 2.13.0: where cuDNN's convolutions and recurrent networks are both set to "ieee" through the newer names of its
# TF32 switches, the older name cannot be read any more, and the error says that the two differ. "none" for both can.
#
# Guess beforehand: mixing the names is discouraged, but with TF32 off for both there is one answer, so that
# torch.backends.cudnn.allow_tf32 reads False.
# Seen: RuntimeError, "cuDNN conv and cuDNN RNN have different TF32 flags", while both read "ieee". After
# allow_tf32 = False, both read "none", and allow_tf32 reads False.
# A trainer that switches TF32 off this way breaks whatever reads the old name later in the process, also on CPUs.
# So album_gan switches TF32 off for a cover under whichever names can be read (inference/precision.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
"$folder/venv/bin/python" - <<'PYTHON'
import torch

cudnn = torch.backends.cudnn


def read() -> str:
    try:
        return str(cudnn.allow_tf32)
    except RuntimeError as error:
        return "different TF32 flags" if "have different TF32 flags" in str(error) else f"another error: {error}"


start = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, read()
cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
newer = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, read()
cudnn.allow_tf32 = False
older = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, read()
print(f"torch {torch.__version__}: at the start {start}; both to ieee {newer}; allow_tf32 to False {older}")
assert start == ("tf32", "tf32", "True"), "the behaviour has changed"
assert newer == ("ieee", "ieee", "different TF32 flags"), "the behaviour has changed"
assert older == ("none", "none", "False"), "the behaviour has changed"
PYTHON
