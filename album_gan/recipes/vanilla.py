"""The first GAN: Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661.

New: two networks compete, one draws and one judges, so no loss has to define what a good picture is. Both are
fully connected and know nothing about which pixels are neighbours.
Use it to understand, on one slide and at 32 px, what all the others improve on; not for covers.

Layer sizes, maxout and dropout are those of the authors' code for digits. Unlike there, the discriminator's input is
not dropped, latents are uniform, and learning rate and momentum are constant.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.perceptrons import PerceptronDiscriminator, PerceptronGenerator
from . import base
from .losses import cross_entropy_discriminator, cross_entropy_generator

DIGIT_PIXELS = 28**2  # the authors' image size, for which they chose the learning rate


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 100
    width: int = 1200  # units of each of the generator's layers
    discriminator_width: int = 240  # units of maxout
    learning_rate: float = 0.1  # for digits of 784 pixels; scaled down in proportion for larger pictures
    momentum: float = 0.5


class Recipe(base.Recipe):
    Config = Config
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 64
    largest_auc = 0.99
    largest_gap = 9.0  # certainties of 99 % and 1 %

    def build_networks(self) -> tuple[PerceptronGenerator, PerceptronDiscriminator]:
        config = self.config
        return (
            PerceptronGenerator(resolution=self.resolution, latent_dim=config.latent_dim, width=config.width),
            PerceptronDiscriminator(resolution=self.resolution, width=config.discriminator_width),
        )

    def optimizers(self, generator, discriminator):
        def descent(network):
            lr = self.config.learning_rate * DIGIT_PIXELS / (3 * self.resolution**2)
            return torch.optim.SGD(network.parameters(), lr=lr, momentum=self.config.momentum)

        return descent(generator), descent(discriminator)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real = self._discriminate(step, step.real, "dropped of real")
        fake = self._discriminate(step, step.fake.detach(), "dropped of fake")
        step.scores = real, fake
        return {"cross_entropy": cross_entropy_discriminator(real, fake)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"cross_entropy": cross_entropy_generator(self._discriminate(step, step.fake, "dropped of fake"))}

    def _discriminate(self, step: base.Step, images: Tensor, name: str) -> Tensor:
        chance = step.draw.uniform(name, 2, self.config.discriminator_width)  # a named draw, so that runs can resume
        return step.discriminator(step.augment(images), chance)
