#!/bin/sh
# accelerate 1.15.0: `use_seedable_sampler=True`, the setting that makes the order of the data a function of seed and epoch,
# does not survive `save_state`, `load_state` and `skip_first_batches` in a later epoch. A run that stopped in its third epoch
# goes on with the rest of the first one's order: some covers come twice, others not at all, and the next epoch has that same
# order again, from its start. The skipping loader begins to count epochs at 0, and the loader that it was made from never
# hears that an epoch has ended. Only a run that stopped in its first epoch gets the right rest (and then that epoch again).
# The default sampler is wrong in another manner: it resumes with the rest of the next epoch's order, since the state of its
# generator is saved after the epoch's permutation was drawn (accelerate's issue 2823).
#
# Guess beforehand: the epoch is saved with the sampler, so the rest of the epoch and all later ones are as never stopped.
# Seen, of 12 covers in batches of 2, stopped after 3 batches of an epoch (counted from 0): epoch 0: rest right, next epoch
# is epoch 0 again; epochs 1 and 2: rest is epoch 0's, three covers are never shown, and the next epoch is epoch 0 again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0
cd "$folder"
cat > run.py <<'PYTHON'
"""The orders of two epochs: from the fourth batch of epoch `stop` on, never stopped or resumed in a new process."""

import json
import sys

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed

resumed, stop = sys.argv[1] == "resumed", int(sys.argv[2])
folder = f"state-{stop}"
set_seed(0)
accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
loader = torch.utils.data.DataLoader(torch.arange(12.0)[:, None], batch_size=2, shuffle=True)
_, loader = accelerator.prepare(torch.nn.Linear(1, 1), loader)
epochs = []
if resumed:
    accelerator.load_state(folder)
    for batches in (accelerator.skip_first_batches(loader, 3), loader):
        epochs.append([int(cover) for batch in batches for cover in batch])
else:
    for epoch in range(stop + 2):
        epochs.append([])
        for number, batch in enumerate(loader):
            epochs[-1] += [int(cover) for cover in batch]
            if (epoch, number) == (stop, 2):
                accelerator.save_state(folder)
print(json.dumps(epochs))
PYTHON
cat > compare.py <<'PYTHON'
import json
import subprocess
import sys


def orders(kind, stop):
    words = [sys.executable, "run.py", kind, str(stop)]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)


for stop in (0, 1, 2):
    *_, stopped, following = whole = orders("whole", stop)
    rest, next_epoch = orders("resumed", stop)
    missed = set(stopped) - set(stopped[:6]) - set(rest)
    print(f"epoch {stop}: rest {stopped[6:]}, resumed {rest}, never shown {sorted(missed)}")
    print(f"         next {following}, resumed {next_epoch}")
    assert rest == whole[0][6:]
    assert next_epoch == whole[0] != following
    assert bool(missed) == (stop > 0)
PYTHON
"$folder/venv/bin/python" compare.py
