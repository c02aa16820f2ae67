"""The first GAN, fully connected: Goodfellow et al. 2014, arXiv:1406.2661.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def uniform_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights initialised uniformly in [-0.05, 0.05], as in the authors' code.

    They use 0.005 for the discriminator, of digits; with that, one of covers is slow to start learning.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.uniform_(layer.weight, -0.05, 0.05)
    nn.init.zeros_(layer.bias)
    return layer


class PerceptronGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. `width`: units per layer."""

    @register_to_config
    def __init__(self, resolution: int = 32, latent_dim: int = 100, width: int = 1200, format_version: int = 1):
        super().__init__()
        if resolution not in (32, 64):
            raise ValueError(f"resolution must be 32 or 64 for fully connected layers, got {resolution}; choose 32")
        self.first = uniform_linear(latent_dim, width)
        self.register_buffer("stem_mean", torch.zeros(width, 1, 1))
        self.second = uniform_linear(width, width)
        self.last = uniform_linear(width, 3 * resolution**2)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 1, 1), the first layer: there are no feature maps."""
        uniform = torch.erf(z / 2**0.5)  # in [-1, 1]
        return F.relu(self.first(uniform))[:, :, None, None]

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 1, 1) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        hidden = F.relu(self.second(stem.flatten(1)))
        size = self.config.resolution
        return torch.tanh(self.last(hidden)).unflatten(1, (3, size, size))

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class PerceptronDiscriminator(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1): two layers of maxout, with dropout.

    Each of `width` units is the largest of `pieces` linear functions (Goodfellow et al. 2013, arXiv:1302.4389).
    """

    @register_to_config
    def __init__(self, resolution: int = 32, width: int = 240, pieces: int = 5, format_version: int = 1):
        super().__init__()
        self.first = uniform_linear(3 * resolution**2, width * pieces)
        self.second = uniform_linear(width, width * pieces)
        self.last = uniform_linear(width, 1)

    def forward(self, images: Tensor, chance: Tensor | None = None) -> Tensor:
        """With `chance` (B, 2, width), uniform in [0, 1), units are dropped; without it none are."""
        pieces = self.config.pieces
        x = images.flatten(1)
        for index, layer in enumerate((self.first, self.second)):
            x = layer(x).unflatten(1, (-1, pieces)).amax(2)
            if chance is not None:
                x = x * (chance[:, index] < 0.5) * 2
        return self.last(x).float()
