"""Conditional GAN: Mirza and Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.

New: both networks are told the label, so that the discriminator rejects a good picture of the wrong class, and
whoever draws can ask for a class. Here on DCGAN's networks (the paper's are fully connected), with its settings.
Use it to draw covers of a genre that you choose; it needs a data set with a column of labels.

Label 0 is "unknown": covers without a label, and a share of the others, so that a cover of no particular class can
be drawn as well. Without a column of labels this is DCGAN.
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
    unknown: float = 0.2  # share of labels that are hidden as well
    width: int = 1024  # channels at 4 px; halves with every doubling of the size
    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999


class Recipe(base.Recipe):
    Config = Config
    average_half_life = 0  # the paper draws with the weights of the moment
    largest_resolution = 128
    largest_auc = 0.99
    largest_gap = 9.0  # certainties of 99 % and 1 %
    takes_labels = True

    def build_networks(self) -> tuple[DCGANGenerator, DCGANDiscriminator]:
        config = self.config
        options = {"resolution": self.resolution, "width": config.width, "classes": self.classes}
        return DCGANGenerator(latent_dim=config.latent_dim, **options), DCGANDiscriminator(**options)

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        z = draw.normal("z", self.config.latent_dim)
        return z, *self.shown_labels(batch, draw, hidden=self.config.unknown)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        # Eq. (2): real and fake images under the same labels, those that the fakes were drawn for.
        real, fake = step.opinions()
        return {"cross_entropy": cross_entropy_discriminator(real, fake)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"cross_entropy": cross_entropy_generator(step.discriminate(step.fake))}
