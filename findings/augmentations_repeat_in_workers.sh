#!/bin/sh
# albumentations 2.0.8 with torch 2.13.0: in a DataLoader with workers, random augmentations are no longer random.
# `Compose` has random generators of its own, made once with the object; each worker begins with a copy of them as they
# are in the main process, where they never move. So all workers draw the same crops, flips and colours in the same
# order, and draw them again in each epoch, with `seed=` and without: of W workers and E epochs, one in W * E draws is
# new. A discriminator whose augmentations are to keep it from memorising a few thousand covers sees each place of the
# order augmented in one way for ever (other covers stand there, if the loader shuffles). PyTorch gives its own,
# Python's and NumPy's generators a seed for each worker and epoch, but these don't ask them, and `np.random.seed` in a
# `worker_init_fn`, the usual remedy, has no effect. In one process all is well; `persistent_workers=True` mends the
# epochs, not the workers. `set_random_seed` in composition.py. 2.0.8 is the last version under this name and stays as
# it is; its successor albumentationsx, another licence, had it reported as issue 266 in May 2026, and mended it.
#
# Guess beforehand: other augmentations in each worker and in each epoch. (Suspected at 35% that workers could repeat;
# not that the epochs do, nor that it is so without a seed too.)
# Seen, kinds of 192 random crops, 64 covers in 3 epochs: one process 192, two workers 32, four workers 16, with a
# `worker_init_fn` 32, persistent workers 96; crops drawn by torch.randint 192.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 albumentations==2.0.8
cd "$folder"
NO_ALBUMENTATIONS_UPDATE=1 OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import random

import albumentations
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

SIZE, CROP, COUNT, EPOCHS = 256, 32, 64, 3
# each pixel says where it is
picture = np.stack([*np.meshgrid(np.arange(SIZE), np.arange(SIZE)), np.zeros((SIZE, SIZE))], 2).astype(np.uint8)


class Covers(Dataset):
    def __init__(self, **arguments):
        self.augment = albumentations.Compose([albumentations.RandomCrop(CROP, CROP)], **arguments)

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return torch.from_numpy(self.augment(image=picture)["image"][0, 0].astype(np.int64))


class TorchCovers(Covers):
    def __getitem__(self, index):
        return torch.randint(0, SIZE - CROP, (2,))


def seed(worker):
    random.seed(torch.initial_seed() % 2**32)
    np.random.seed(torch.initial_seed() % 2**32)


def kinds(covers, **arguments):
    """How many different corners the crops of three epochs have."""
    loader = DataLoader(covers, batch_size=8, **arguments)
    return len({tuple(corner.tolist()) for _ in range(EPOCHS) for batch in loader for corner in batch})


torch.manual_seed(0)
everything = COUNT * EPOCHS
for arguments in ({}, {"seed": 7}):
    found = {
        "one process": kinds(Covers(**arguments)),
        "two workers": kinds(Covers(**arguments), num_workers=2),
        "four workers": kinds(Covers(**arguments), num_workers=4),
        "two workers, worker_init_fn": kinds(Covers(**arguments), num_workers=2, worker_init_fn=seed),
        "two workers, persistent": kinds(Covers(**arguments), num_workers=2, persistent_workers=True),
        "two workers, torch.randint": kinds(TorchCovers(**arguments), num_workers=2),
    }
    print(arguments, found)
    assert found["one process"] > everything - 10 and found["two workers, torch.randint"] > everything - 10
    assert found["two workers"] <= COUNT // 2 and found["four workers"] <= COUNT // 4
    assert found["two workers, worker_init_fn"] <= COUNT // 2
    assert COUNT // 2 < found["two workers, persistent"] <= everything // 2
PYTHON
