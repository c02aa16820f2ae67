"""WGAN: Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875.

New: the critic does not classify real and fake but estimates the distance of the two distributions, which has useful
gradients even where they do not overlap. Its weights are clipped to bound its Lipschitz constant.
Use it to see a loss that falls as the images get better; for serious training use wgan_gp, which does not clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.dcgan import DCGANDiscriminator, DCGANGenerator
from . import base
from .losses import wasserstein_critic, wasserstein_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 100
    width: int = 1024  # channels at 4 px; halves with every doubling of the size
    learning_rate: float = 5e-5
    critic_steps: int = 5  # per generator step
    clip: float = 0.01  # largest absolute value of a critic's weight


class Recipe(base.Recipe):
    Config = Config
    zero_is_threshold = False
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 128
    largest_gap = 10.0

    def __init__(self, config: Config, resolution: int):
        super().__init__(config, resolution)
        self.discriminator_steps = config.critic_steps

    def build_networks(self) -> tuple[DCGANGenerator, DCGANDiscriminator]:
        width = self.config.width
        return (
            DCGANGenerator(resolution=self.resolution, latent_dim=self.config.latent_dim, width=width),
            DCGANDiscriminator(resolution=self.resolution, width=width),
        )

    def optimizers(self, generator, discriminator):
        # Section 3: the critic's loss is nonstationary, and momentum (Adam) made training unstable.
        def rmsprop(network):
            return torch.optim.RMSprop(network.parameters(), lr=self.config.learning_rate)

        return rmsprop(generator), rmsprop(discriminator)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, fake = step.score_real_and_fake()
        return {"wasserstein": wasserstein_critic(real, fake)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"wasserstein": wasserstein_generator(step.discriminate(step.fake))}

    @torch.no_grad()
    def after_discriminator_step(self, parts: Sequence[base.Step]) -> None:
        for weight in parts[0].discriminator.parameters():  # line 7 of Algorithm 1
            weight.clamp_(-self.config.clip, self.config.clip)
