#!/bin/sh
# pytorch-lightning 2.6.6: `EMAWeightAveraging(update_every_n_steps=n)` never averages a GAN if n is even, and at the
# end of `fit` it overwrites the trained networks with its "average": the weights from before the first step. After each
# batch it asks whether `(trainer.global_step - 1) % n` is 0. Under manual optimization `global_step` counts the steps
# of all optimizers; with one for the discriminator and one for the generator it is always even then, and 1 less is odd.
# n = 10 is a usual choice to save time. Checkpoints have the untrained weights as `state_dict`, from which a model is
# loaded. With n odd there is an average, as there is with one optimizer; with five steps of the critic to one of the
# generator, as in WGAN, n must have neither 2 nor 3 as a factor. Losses are those of the trained networks, so they look
# right; nothing warns.
#
# Guess beforehand: steps count double with two optimizers, so n = 10 averages after every 5th batch, or every 10th.
# Seen, a weight that grows by 1 in each of 60 batches, averaged with decay 0.5; updates of the average, and the weight
# after `fit`. Generator alone: n = 1, 2, 3, 10: 60, 30, 20, 6 updates, 59, 57, 55, 41. Generator and discriminator: n =
# 1, 3: 60, 20 updates, 59, 56; n = 2, 10: none, 0. With five critic steps: n = 1, 5: 60, 12 updates, 59, 51; n = 2, 3,
# 10: none, 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 pytorch-lightning==2.6.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
BATCHES = 60


class Gan(LightningModule):
    """Each step of the generator raises its weight by 1; `critics` steps of the discriminator come before it."""

    def __init__(self, critics):
        super().__init__()
        self.automatic_optimization = False
        self.critics = critics
        self.generator = nn.Linear(1, 1, bias=False)
        self.discriminator = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.generator.weight)

    def configure_optimizers(self):
        return [torch.optim.SGD(network.parameters(), 1.0) for network in (self.generator, self.discriminator)]

    def training_step(self, batch, index):
        of_generator, of_discriminator = self.optimizers()
        for _ in range(self.critics):
            of_discriminator.zero_grad()
            self.manual_backward(self.discriminator.weight.sum())
            of_discriminator.step()
        of_generator.zero_grad()
        self.manual_backward(-self.generator.weight.sum())
        of_generator.step()


class Average(EMAWeightAveraging):
    """Notes what there is before the end of `fit`."""

    def on_train_end(self, trainer, model):
        self.updates = int(self._average_model.n_averaged)
        trainer.save_checkpoint("during.ckpt")
        super().on_train_end(trainer, model)


def fit(critics, every):
    """(Updates of the average, the generator's weight after `fit`)."""
    model, average = Gan(critics), Average(decay=0.5, update_every_n_steps=every)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[average], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, torch.utils.data.DataLoader(torch.zeros(BATCHES, 1)))
    saved = torch.load("during.ckpt", weights_only=False)
    assert saved["current_model_state"]["generator.weight"].item() == BATCHES  # it was trained
    weight = model.generator.weight.item()
    assert weight == saved["state_dict"]["generator.weight"].item()
    return average.updates, weight


for critics in (0, 1, 5):
    for every in (1, 2, 3, 5, 10):
        updates, weight = fit(critics, every)
        print(f"{critics} discriminator steps, n = {every:2}: {updates:2} updates, weight after fit {weight:.1f}")
        steps = critics + 1
        never = critics and any(every % factor == 0 and steps % factor == 0 for factor in (2, 3))
        assert updates == (0 if never else BATCHES // every)
        assert weight == 0.0 if never else weight > 40
PYTHON
