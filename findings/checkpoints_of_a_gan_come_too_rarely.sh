#!/bin/sh
# lightning 2.6.6 with torch 2.13.0: of a GAN that is trained by manual optimization with two optimizers,
# `ModelCheckpoint(every_n_train_steps=1000)` saves several times more rarely than every 1000 steps, depending on how often
# the critic is updated. `global_step` counts each optimizer's steps, so it grows by 2 with a batch, and by 6 with five
# updates of the critic; the callback looks once after each batch, and saves only if `global_step` can be divided by n
# (`on_train_batch_end` in callbacks/model_checkpoint.py). So what is saved are the common multiples: with 6 a batch each
# 3000 steps, with 7 each 7000, with 5 each 1000. Whether it fits is an accident of two settings that nobody would
# connect, nothing says so, and whoever counts on a checkpoint each 1000 steps loses several thousand when a run stops.
# A multiple of a batch's steps helps. That `global_step` counts the steps of all optimizers is documented; of the
# callback's argument, that it is "how many training steps to wait before saving a checkpoint".
#
# Guess beforehand: one checkpoint about each n steps, at the end of the batch in which n more are full. (The outcome was
# suspected at 75% from memory of the source.)
# Seen, with n of 100 in 2100 steps, where 21 are expected: 2 steps a batch 21, 5 21, 6 7, 7 3. With n of 25 and 2 steps a
# batch 42 instead of 84.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 lightning==2.6.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON' 2> messages || { cat messages; exit 1; }
import logging
import math
import os
import re
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
STEPS = 2100


class Gan(lightning.LightningModule):
    """A Wasserstein GAN's loop with some updates of the critic and one of the generator for each batch."""

    def __init__(self, critic_updates):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(4, 2), nn.Linear(2, 1)
        self.critic_updates = critic_updates

    def configure_optimizers(self):
        return torch.optim.Adam(self.critic.parameters()), torch.optim.Adam(self.generator.parameters())

    def training_step(self, batch, number):
        critic_optimizer, generator_optimizer = self.optimizers()
        for _ in range(self.critic_updates):
            fake = self.generator(torch.randn(len(batch[0]), 4)).detach()
            critic_optimizer.zero_grad()
            self.manual_backward(self.critic(fake).mean() - self.critic(batch[0]).mean())
            critic_optimizer.step()
        generator_optimizer.zero_grad()
        self.manual_backward(-self.critic(self.generator(torch.randn(len(batch[0]), 4))).mean())
        generator_optimizer.step()


for critic_updates, every in ((1, 100), (4, 100), (5, 100), (6, 100), (1, 25)):
    of_batch = critic_updates + 1
    folder = f"checkpoints_{critic_updates}_{every}"
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=ModelCheckpoint(folder, "{step}", every_n_train_steps=every, save_top_k=-1, save_weights_only=True),
    )
    trainer.fit(Gan(critic_updates), DataLoader(TensorDataset(torch.randn(STEPS // of_batch, 2)), batch_size=1))
    saved = sorted(int(re.search(r"\d+", name)[0]) for name in os.listdir(folder))
    print(f"{of_batch} steps a batch, every {every}: {len(saved)} of {STEPS // every} checkpoints, at {saved[:3]}...")
    apart = math.lcm(every, of_batch)
    assert trainer.global_step == STEPS and saved == list(range(apart, STEPS + 1, apart))
PYTHON
