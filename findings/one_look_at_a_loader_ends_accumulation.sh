#!/bin/sh
# accelerate 1.15.0: whoever looks at a prepared loader in the middle of training and does not read it to its end, changes
# how gradients accumulate in the rest of the epoch. After `next(iter(loader))` of a loader of one batch, the covers that are
# reconstructed or scored every now and then, `accumulate` accumulates no longer: each further batch is an update of its own.
# After a `break` out of a longer loader the epoch does not end with an update, and what was accumulated by then goes to the
# next one. Outside of the loop `gather_for_metrics`, too, asks the loader that was left, and cuts whatever it is given to
# that one's last batch. A loader that is iterated enters a list whose last entry is the active one, and leaves it after its
# last batch, not in a `finally` (`DataLoaderShard.__iter__` in data_loader.py, `GradientState` in state.py): left early, it
# stays the active one, and training's end of epoch is read from it; left at its last batch, it says "end" for ever. Nothing
# warns. Losses are divided by the number of accumulated batches as before, so each update is that much smaller. Loaders that
# aren't prepared, or are read to the end, do no harm. (Known since September 2026: pull request 4248, not merged then.)
#
# Guess beforehand: looking at another loader has no influence; an epoch has batches over accumulation updates, plus one for
# a rest. (That a loader stays active after `break` was suspected from memory of the list, and the end of the epoch with it.)
# Seen, updates in three epochs of 10 batches, accumulation over 4, looked at in the second batch of each: not at all, and
# read to the end 3, 3, 3; break 2, 3, 2; one batch by `next` 8, 8, 8. Of 16 rows gathered behind the loop 16, 16, 16 and 4.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 accelerate==1.15.0
cd "$folder"
cat > look.py <<'PYTHON'
import sys

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CASES = {  # name: size of the other loader's batches, of 4 pictures
    "nothing": 2,
    "to the end": 2,
    "break": 2,
    "one batch": 8,
}


def look(loader, case):
    if case == "to the end":
        for _ in loader:
            pass
    elif case == "break":
        for _ in loader:
            break
    elif case == "one batch":
        next(iter(loader))


case = sys.argv[1]
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
model = nn.Linear(1, 1)
model, optimizer, training, other = accelerator.prepare(
    model,
    torch.optim.SGD(model.parameters(), lr=0.0),
    DataLoader(TensorDataset(torch.zeros(40, 1)), batch_size=4),
    DataLoader(TensorDataset(torch.zeros(4, 1)), batch_size=CASES[case]),
)
updates = []
for epoch in range(3):
    updates.append(0)
    for index, (batch,) in enumerate(training):
        with accelerator.accumulate(model):
            accelerator.backward(model(batch).mean())
            optimizer.step()
            optimizer.zero_grad()
            updates[-1] += accelerator.sync_gradients
        if index == 1:
            look(other, case)
gathered = len(accelerator.gather_for_metrics(torch.zeros(16)))
print(f"{case}: updates {updates}, of 16 rows {gathered} gathered")
expected = {"break": ([2, 3, 2], 16), "one batch": ([8, 8, 8], 4)}.get(case, ([3, 3, 3], 16))
assert (updates, gathered) == expected, expected
PYTHON
for case in nothing "to the end" break "one batch"; do
    OMP_NUM_THREADS=1 "$folder/venv/bin/python" look.py "$case"
done
