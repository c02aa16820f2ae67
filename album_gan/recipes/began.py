"""BEGAN: Berthelot et al. 2017, "Boundary Equilibrium Generative Adversarial Networks", arXiv:1703.10717.

New: the discriminator is an autoencoder, and its reconstruction error is the score; a controller balances fakes
against reals so that neither network gets ahead, and one parameter trades diversity for quality.
Use it for smooth pictures and stable training; not where texture or diversity matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.began import BEGANDiscriminator, BEGANGenerator
from . import base


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 64
    width: int = 64  # channels; the paper uses 128 at 128 px
    learning_rate: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    gamma: float = 0.5  # diversity: error of fakes over error of reals, 0 to 1
    balance_rate: float = 0.001  # lambda_k


class Recipe(base.Recipe):
    Config = Config
    zero_is_threshold = False
    largest_resolution = 128
    averaged_buffers = ("balance",)
    average_half_life = 0  # the paper does not average weights
    largest_gap = 1.0  # between the errors; half of a pixel's range

    def __init__(self, config: Config, resolution: int):
        super().__init__(config, resolution)
        self.register_buffer("balance", torch.zeros(()))  # k_t, 0 to 1: the weight of the fakes

    def build_networks(self) -> tuple[BEGANGenerator, BEGANDiscriminator]:
        dim, width = self.config.latent_dim, self.config.width
        return (
            BEGANGenerator(resolution=self.resolution, latent_dim=dim, width=width),
            BEGANDiscriminator(resolution=self.resolution, code_dim=dim, width=width),
        )

    def schedule(self, progress: float) -> base.Schedule:
        # The paper halves the rate when training stalls; here it is halved after each third of the run.
        return base.Schedule(learning_rate=0.5 ** min(int(3 * progress), 2), average_half_life=self.average_half_life)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, fake = (errors.mean() for errors in step.score_real_and_fake())
        step.memo["errors"] = real.detach(), fake.detach()
        return {"error_of_real": real, "error_of_fake": -self.balance * fake}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"error_of_fake": step.discriminate(step.fake).mean()}

    @torch.no_grad()
    def after_discriminator_step(self, parts: Sequence[base.Step]) -> None:
        real, fake = torch.stack([torch.stack(step.memo["errors"]) for step in parts]).mean(0)
        # The last of the equations in section 3.3.
        self.balance += self.config.balance_rate * (self.config.gamma * real - fake)
        self.balance.clamp_(0, 1)
