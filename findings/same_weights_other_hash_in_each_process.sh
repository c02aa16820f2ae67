#!/bin/sh
# safetensors 0.8.0: with two metadata entries or more, the bytes of a file differ from process to process, although tensors
# and metadata are the same: the header lists the entries in the order of a hash table that is seeded at random. So the
# SHA-256 of a published model is no fingerprint of its weights: a model that is saved again unchanged is another file to
# Git LFS and the Hub, and of two builds one cannot tell that they are equal. Within a process the order varies, too. With
# one entry, as `save_model`s of most libraries write ({"format": "pt"}), or none, bytes are always the same; tensors are
# always sorted.
#
# Guess beforehand: one input, one file; entries are written in their order or sorted.
# Seen: 8 processes, four entries: 6 to 8 hashes; one entry: 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.3.5
cd "$folder"
cat > save.py <<'PYTHON'
import hashlib
import json
import sys

import numpy as np
from safetensors.numpy import save

content = save({"weight": np.ones(3, np.float32), "bias": np.zeros(2, np.float32)}, metadata=json.loads(sys.argv[1]))
print(hashlib.sha256(content).hexdigest())
PYTHON
hashes() {
    for _ in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" save.py "$1"; done | sort -u | wc -l
}
one=$(hashes '{"format": "pt"}')
four=$(hashes '{"format": "pt", "recipe": "dcgan", "resolution": "64", "images": "1000"}')
echo "different files in 8 processes: one entry $one, four entries $four"
test "$one" -eq 1
test "$four" -gt 2
