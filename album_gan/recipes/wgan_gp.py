"""WGAN-GP: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028.

New: instead of weight clipping, a penalty on critic gradient norms other than 1, on lines between real and fake
images. So the critic may be deep, and the same settings train almost any network.
Use it when a classic must train reliably and time does not matter: five critic steps, each with a penalty.
"""

from dataclasses import dataclass

from torch import Tensor

from ..networks.residual import ResidualCritic, ResidualGenerator
from . import base
from .losses import gradient_penalty, wasserstein_critic, wasserstein_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 128
    width: int = 512  # channels at 4 and 8 px; halves with every doubling of the size after that
    learning_rate: float = 1e-4  # this and the rest: defaults of Algorithm 1
    beta1: float = 0.0
    beta2: float = 0.9
    critic_steps: int = 5  # per generator step
    penalty_weight: float = 10.0


class Recipe(base.Recipe):
    Config = Config
    zero_is_threshold = False
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 128

    def __init__(self, config: Config, resolution: int):
        super().__init__(config, resolution)
        self.discriminator_steps = config.critic_steps
        self.largest_gap = 2 * 3**0.5 * resolution  # the largest distance of two images, so the largest gap at slope 1

    def build_networks(self) -> tuple[ResidualGenerator, ResidualCritic]:
        width = self.config.width
        return (
            ResidualGenerator(resolution=self.resolution, latent_dim=self.config.latent_dim, width=width),
            ResidualCritic(resolution=self.resolution, width=width),
        )

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        fake = step.fake.detach()
        mix = step.draw.uniform("mix", 1, 1, 1)
        penalty = gradient_penalty(step.discriminate, step.real, fake, mix)
        return {
            "wasserstein": wasserstein_critic(*step.score_real_and_fake()),
            "gradient_penalty": self.config.penalty_weight * penalty,
        }

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"wasserstein": wasserstein_generator(step.discriminate(step.fake))}
