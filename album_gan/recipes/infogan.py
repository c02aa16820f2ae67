"""InfoGAN: Chen et al. 2016, "Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets", arXiv:1606.03657.

New: some of the generator's inputs are codes, which a third network must recover from the picture. So each code
comes to control something visible, without any labels.
Use it to find out what varies among covers, by changing one code at a time; not for the best pictures.

The code reader (the last layers of the paper's Q) belongs to the recipe and trains with both networks; it is not
published.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.infogan import CodeReader, InfoDiscriminator, InfoGenerator
from . import base
from .losses import cross_entropy_discriminator, cross_entropy_generator


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 168  # codes and 124 values of noise; this and the codes are the paper's for house numbers
    categorical_codes: int = 4
    categories: int = 10  # of each categorical code
    continuous_codes: int = 4
    width: int = 512  # channels at 4 px; halves with every doubling of the size
    learning_rate: float = 2e-4  # of the discriminator
    generator_learning_rate: float = 1e-3  # of generator and reader
    beta1: float = 0.5
    beta2: float = 0.999
    categorical_weight: float = 1.0  # lambda of Eq. (6)
    continuous_weight: float = 0.1


class Recipe(base.Recipe):
    Config = Config
    average_half_life = 0  # the paper does not average weights
    largest_resolution = 128
    largest_auc = 0.99
    largest_gap = 9.0  # certainties of 99 % and 1 %

    def build_networks(self) -> tuple[InfoGenerator, InfoDiscriminator]:
        config = self.config
        codes = (config.categorical_codes, config.categories, config.continuous_codes)
        self.reader = CodeReader(config.width * 16, *codes)
        return (
            InfoGenerator(self.resolution, config.latent_dim, *codes, width=config.width),
            InfoDiscriminator(resolution=self.resolution, width=config.width),
        )

    def optimizers(self, generator, discriminator):
        config = self.config
        betas = (config.beta1, config.beta2)
        return (
            base.adam(nn.ModuleList([generator, self.reader]), config.generator_learning_rate, betas),
            base.adam(discriminator, config.learning_rate, betas),
        )

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        features = step.discriminator.features(step.augment(step.fake.detach()))
        step.scores = step.discriminate(step.real), step.discriminator.judge(features).float()
        # Q shares all but its last layers with the discriminator (section 4), so the shared ones learn codes too.
        return {"cross_entropy": cross_entropy_discriminator(*step.scores), **self._information(step, features)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        features = step.discriminator.features(step.augment(step.fake))
        scores = step.discriminator.judge(features).float()
        return {"cross_entropy": cross_entropy_generator(scores), **self._information(step, features)}

    def _information(self, step: base.Step, features: Tensor) -> dict[str, Tensor]:
        """Losses of the code reader on features (B, D) of the fakes.

        The negative of Eq. (5), the lower bound of the mutual information, without the codes' entropy, which is
        constant. Continuous codes are modelled as normal distributions of variance 1.
        """
        logits, guesses = self.reader(features)
        choices, continuous = step.generator.codes(*step.inputs)
        config, terms = self.config, {}
        if config.categorical_codes:
            error = F.cross_entropy(logits.flatten(0, 1), choices.flatten())
            terms["categorical"] = config.categorical_weight * config.categorical_codes * error
        if config.continuous_codes:
            terms["continuous"] = config.continuous_weight * (guesses - continuous).square().sum(1).mean() / 2
        return terms
