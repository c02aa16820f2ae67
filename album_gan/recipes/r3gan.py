"""R3GAN: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", arXiv:2501.05441.

New: a relativistic loss that compares each fake with a real image, with gradient penalties on both, which provably
converges locally; so earlier stabilising tricks are dropped, and the networks can be modern and simple.
Use it when you have a GPU and time and want the best that trains from scratch; for a quick result use projected.

Gamma is the paper's for 64 px at every resolution: set it for others. The schedules span the run, whereas the authors'
end after a fixed number of images; there is no augmentation, and the generator ends with tanh.

With a label column, half of the labels are hidden: label 0, "any", is learned from all covers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.r3gan import R3Discriminator, R3Generator
from . import base
from .losses import relativistic_discriminator, relativistic_generator, scores_and_penalty
from .named_random import Draw

LAST_GAMMA = 0.1  # of gamma, at the end of the run


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 64
    width: int = 768  # channels up to 32 px; 128 is for a laptop
    blocks: int = 2  # residual blocks at each size
    hidden_labels: float = 0.5  # probability of replacing a label by 0, "any"
    learning_rate: float = 2e-4
    last_learning_rate: float = 5e-5
    beta2: float = 0.9
    last_beta2: float = 0.99
    gamma: float = 2.0  # falls to a tenth; the paper's for faces at 64 px; it found 0.05 at 32 px and 150 at 256 px
    average_half_life: float = 500_000  # images, at the end of the run; rises from 0


class Recipe(base.Recipe):
    Config = Config
    zero_is_threshold = False
    largest_resolution = 128
    takes_labels = True
    largest_auc = 0.99
    largest_gap = 9.0

    def build_networks(self) -> tuple[R3Generator, R3Discriminator]:
        config = self.config
        options = {"resolution": self.resolution, "width": config.width, "blocks": config.blocks}
        options["classes"] = self.classes
        return R3Generator(latent_dim=config.latent_dim, **options), R3Discriminator(**options)

    def optimizers(self, generator, discriminator):
        config = self.config
        betas = (0.0, config.beta2)
        return tuple(base.adam(network, config.learning_rate, betas) for network in (generator, discriminator))

    def schedule(self, progress: float) -> base.Schedule:
        config = self.config
        return base.Schedule(
            learning_rate=cosine(1.0, config.last_learning_rate / config.learning_rate, progress),
            beta2=cosine(config.beta2, config.last_beta2, progress),
            average_half_life=cosine(0.0, config.average_half_life, progress),
        )

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        z = draw.normal("z", self.config.latent_dim)
        return z, *self.shown_labels(batch, draw, hidden=self.config.hidden_labels)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, r1 = scores_and_penalty(step.discriminate, step.real)
        fake, r2 = scores_and_penalty(step.discriminate, step.fake)
        step.scores = real, fake
        half_gamma = self.config.gamma * cosine(1.0, LAST_GAMMA, step.progress) / 2
        return {
            "relativistic": relativistic_discriminator(real, fake), "r1": half_gamma * r1, "r2": half_gamma * r2,
        }  # fmt: skip

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        with torch.no_grad():
            real = step.discriminate(step.real)
        return {"relativistic": relativistic_generator(real, step.discriminate(step.fake))}


def cosine(first: float, last: float, progress: float) -> float:
    """Half-cosine schedule from `first` to `last`, as for all of the paper's schedules."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2
