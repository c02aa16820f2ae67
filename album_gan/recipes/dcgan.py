"""DCGAN: Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434.

New: all-convolutional networks, strided instead of pooled, with BatchNorm in both; the first GAN that trained
reliably. Use it as the baseline, and to see what a classic draws; do not expect diversity at 128 px.
"""

from dataclasses import dataclass

from torch import Tensor

from ..networks.dcgan import DCGANDiscriminator, DCGANGenerator
from . import base
from .losses import cross_entropy_discriminator, cross_entropy_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 100
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

    def build_networks(self) -> tuple[DCGANGenerator, DCGANDiscriminator]:
        width = self.config.width
        return (
            DCGANGenerator(resolution=self.resolution, latent_dim=self.config.latent_dim, width=width),
            DCGANDiscriminator(resolution=self.resolution, width=width),
        )

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, fake = step.score_real_and_fake()
        return {"cross_entropy": cross_entropy_discriminator(real, fake)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"cross_entropy": cross_entropy_generator(step.discriminate(step.fake))}
