"""Conditional GAN: Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.

New: both networks see the label, so the discriminator rejects a good picture of the wrong class, and covers can be
drawn by class. Here with DCGAN's networks and settings (the paper's networks are fully connected).
Use it to draw covers of a chosen genre; it needs a data set with a label column.

Label 0 is "unknown": covers without a label, and a random share of the others, so that covers of no particular class
can be drawn too. Without a label column this is DCGAN.
"""

from dataclasses import dataclass

from torch import Tensor

from ..networks.dcgan import DCGANDiscriminator, DCGANGenerator
from . import base
from .losses import cross_entropy_discriminator, cross_entropy_generator
from .named_random import Draw


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 100
    hidden_labels: float = 0.2  # probability of replacing a label by 0, "unknown"
    width: int = 1024  # channels at 4 px; halves with every doubling of the size
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999


class Recipe(base.Recipe):
    Config = Config
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 128
    largest_auc = 0.99
    largest_gap = 9.0  # certainties of 99 % and 1 %
    takes_labels = True
    without_labels = "dcgan"

    def build_networks(self) -> tuple[DCGANGenerator, DCGANDiscriminator]:
        config = self.config
        options = {"resolution": self.resolution, "width": config.width, "classes": self.classes}
        return DCGANGenerator(latent_dim=config.latent_dim, **options), DCGANDiscriminator(**options)

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        z = draw.normal("z", self.config.latent_dim)
        return z, *self.shown_labels(batch, draw, hidden=self.config.hidden_labels)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        # Eq. (2): real and fake images with the same labels, those of the fakes.
        real, fake = step.score_real_and_fake()
        return {"cross_entropy": cross_entropy_discriminator(real, fake)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"cross_entropy": cross_entropy_generator(step.discriminate(step.fake))}
