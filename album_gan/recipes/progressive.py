"""Progressive growing: Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", arXiv:1710.10196.

New: training starts at 4 px and layers for each larger size are faded in one by one, so the networks learn
composition first and detail last. Also new: an equalised learning rate and a discriminator that sees how diverse a
batch is. Use it to watch covers develop from coarse to fine, and for larger sizes.

In the paper each fade and each pause takes 800,000 images; here they divide the run into equal parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from . import base
from .losses import gradient_penalty, wasserstein_critic, wasserstein_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 512
    width: int = 512  # channels up to 32 px; halves with every doubling of the size after that
    learning_rate: float = 1e-3
    beta1: float = 0.0
    beta2: float = 0.99
    penalty_weight: float = 10.0
    drift_weight: float = 1e-3  # keeps scores from drifting away from 0
    average_half_life: float = 11_000  # images: the paper's 0.999 per step of 16


class Recipe(base.Recipe):
    Config = Config
    zero_is_threshold = False
    largest_resolution = 128

    def __init__(self, config: Config, resolution: int):
        super().__init__(config, resolution)
        self.largest_gap = 2 * 3**0.5 * resolution  # the largest distance of two images, so the largest gap at slope 1

    def build_networks(self) -> tuple[ProgressiveGenerator, ProgressiveDiscriminator]:
        config = self.config
        generator = ProgressiveGenerator(self.resolution, config.latent_dim, config.width)
        discriminator = ProgressiveDiscriminator(self.resolution, config.width)
        for network in (generator, discriminator):
            network.set_growth(0.0)
        return generator, discriminator

    def _grow(self, generator: ProgressiveGenerator, discriminator: ProgressiveDiscriminator, progress: float) -> None:
        """A pause at 4 px, then a fade and a pause for every doubling, all of the same length."""
        doublings = len(generator.blocks)
        part = progress * (2 * doublings + 1)
        growth = sum(min(max(part - 2 * doubling - 1, 0.0), 1.0) for doubling in range(doublings))
        growth = max(growth, generator.current_growth())  # networks that began with trained weights have grown already
        generator.set_growth(growth)
        discriminator.set_growth(growth)

    def schedule(self, progress: float) -> base.Schedule:
        return base.Schedule(average_half_life=self.config.average_half_life)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        seen, fake = step.discriminator.at_growth(step.real), step.fake.detach()
        real_score, fake_score = step.scores = step.discriminate(seen), step.discriminate(fake)
        penalty = gradient_penalty(step.discriminate, seen, fake, step.draw.uniform("mix", 1, 1, 1))
        return {
            "wasserstein": wasserstein_critic(real_score, fake_score),
            "gradient_penalty": self.config.penalty_weight * penalty,
            "drift": self.config.drift_weight * real_score.square().mean(),  # appendix A.1
        }

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        return {"wasserstein": wasserstein_generator(step.discriminate(step.fake))}

    def after_discriminator_step(self, parts: Sequence[base.Step]) -> None:
        # This step's fakes lag one step behind, which is negligible: a fade takes thousands of steps.
        self._grow(parts[0].generator, parts[0].discriminator, parts[0].progress)
