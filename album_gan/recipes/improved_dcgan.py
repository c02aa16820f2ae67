"""Improved DCGAN: Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498.

New: five remedies for unstable training: feature matching, minibatch discrimination (which detects mode collapse),
one-sided label smoothing, historical averaging of weights, and virtual batch normalisation in the generator, which
uses a fixed reference batch so that a cover does not depend on the rest of its batch.
Use it to see what a remedy does (real_target 1 switches label smoothing off; feature_weight 100 makes feature matching,
history_weight 1 historical averaging count next to the cross-entropy); among the classics, when diversity matters more
than speed.

The paper uses the remedies in different experiments and gives no weight for historical averaging; here all are used.
Its feature matching replaces the cross-entropy, and sums over features where this averages: at weight 1, its gradient
is about a hundredth of the cross-entropy's, and that of historical averaging far smaller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.improved_dcgan import ImprovedDiscriminator, ImprovedGenerator
from . import base
from .losses import cross_entropy_discriminator, cross_entropy_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 100
    width: int = 1024  # channels at 4 px; halves with every doubling of the size
    learning_rate: float = 3e-4
    beta1: float = 0.5
    beta2: float = 0.999
    real_target: float = 0.9  # discriminator's target for real covers; 1: no label smoothing
    feature_weight: float = 1.0
    history_weight: float = 1e-4


class Recipe(base.Recipe):
    Config = Config
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 128
    largest_auc = 0.99
    largest_gap = 9.0  # certainties of 99 % and 1 %

    def build_networks(self) -> tuple[ImprovedGenerator, ImprovedDiscriminator]:
        config = self.config
        generator = ImprovedGenerator(resolution=self.resolution, latent_dim=config.latent_dim, width=config.width)
        discriminator = ImprovedDiscriminator(resolution=self.resolution, width=config.width)
        # Mean weights over all steps so far, and the number of steps.
        self.register_buffer("generator_history", flat_weights(generator).detach().clone())
        self.register_buffer("discriminator_history", flat_weights(discriminator).detach().clone())
        self.register_buffer("history_length", torch.ones(()))
        return generator, discriminator

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, fake = step.score_real_and_fake()
        return {
            "cross_entropy": cross_entropy_discriminator(real, fake, self.config.real_target),
            "history": self._history(step.discriminator, self.discriminator_history),
        }

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        with torch.no_grad():
            real = step.discriminator.features(step.augment(step.real)).float().mean(0)
        features = step.discriminator.features(step.augment(step.fake))
        distance = (features.float().mean(0) - real).square().mean()  # section 3.1, with a mean instead of the sum
        return {
            "feature_matching": self.config.feature_weight * distance,
            "cross_entropy": cross_entropy_generator(step.discriminator.judge(features)),
            "history": self._history(step.generator, self.generator_history),
        }

    def _history(self, network: nn.Module, history: Tensor) -> Tensor:
        """Section 3.3: squared distance of the weights from their mean over time."""
        return self.config.history_weight * (flat_weights(network) - history).square().sum()

    @torch.no_grad()
    def after_initialization(self, generator: nn.Module, discriminator: nn.Module) -> None:
        self.generator_history.copy_(flat_weights(generator))
        self.discriminator_history.copy_(flat_weights(discriminator))

    @torch.no_grad()
    def after_discriminator_step(self, parts: Sequence[base.Step]) -> None:
        self.history_length += 1
        self.generator_history.lerp_(flat_weights(parts[0].generator), 1 / self.history_length)
        self.discriminator_history.lerp_(flat_weights(parts[0].discriminator), 1 / self.history_length)


def flat_weights(network: nn.Module) -> Tensor:
    """All parameters as one vector."""
    return torch.cat([parameter.flatten() for parameter in network.parameters()])
