"""BEGAN: Berthelot et al. 2017, arXiv:1703.10717, figure 1.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def levels_of(resolution: int) -> list[int]:
    """Sizes of the feature maps: 8, 16, ... resolution."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for BEGAN, got {resolution}; choose 64")
    return [size for size in (8, 16, 32, 64, 128) if size <= resolution]


def two_convolutions(channels: int) -> list[nn.Module]:
    """Two 3x3 convolutions, each followed by an ELU; sizes stay the same."""
    return [module for _ in range(2) for module in (nn.Conv2d(channels, channels, 3, padding=1), nn.ELU())]


def painting_layers(resolution: int, width: int) -> nn.Sequential:
    """The decoder after its first layer: (B, width, 8, 8) -> (B, 3, resolution, resolution)."""
    layers = two_convolutions(width)
    for _ in levels_of(resolution)[1:]:
        layers += [nn.Upsample(scale_factor=2.0), *two_convolutions(width)]
    return nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))


class BEGANGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. `width`: channels everywhere."""

    @register_to_config
    def __init__(self, resolution: int = 64, latent_dim: int = 64, width: int = 64, format_version: int = 1):
        super().__init__()
        self.project = nn.Linear(latent_dim, width * 8 * 8)
        self.register_buffer("stem_mean", torch.zeros(width, 8, 8))
        self.layers = painting_layers(resolution, width)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 8, 8): the paper begins at 8 px."""
        uniform = torch.erf(z / 2**0.5)  # the paper's latents are uniform in [-1, 1]
        return self.project(uniform).unflatten(1, (-1, 8, 8))

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 8, 8) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return torch.tanh(self.layers(stem))  # the paper clips instead

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class BEGANDiscriminator(ModelMixin, ConfigMixin):
    """An autoencoder: images (B, 3, resolution, resolution) in [-1, 1] -> reconstruction error of each, (B, 1).

    `width` channels at full size, `width` more with every halving; `code_dim` values in the bottleneck.
    """

    @register_to_config
    def __init__(self, resolution: int = 64, code_dim: int = 64, width: int = 64, format_version: int = 1):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, padding=1), nn.ELU()]
        levels = len(levels_of(resolution))
        for level in range(1, levels + 1):
            layers += two_convolutions(level * width)
            if level < levels:
                layers += [nn.Conv2d(level * width, (level + 1) * width, 3, stride=2, padding=1), nn.ELU()]
        self.encode = nn.Sequential(*layers, nn.Flatten(), nn.Linear(levels * width * 8 * 8, code_dim))
        self.project = nn.Linear(code_dim, width * 8 * 8)
        self.decode = painting_layers(resolution, width)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Encode and decode images (B, 3, resolution, resolution); same shape."""
        return self.decode(self.project(self.encode(images)).unflatten(1, (-1, 8, 8)))

    def forward(self, images: Tensor) -> Tensor:
        """Eq. (1): mean absolute error of each image."""
        return F.l1_loss(self.reconstruct(images).float(), images.float(), reduction="none").mean((1, 2, 3))[:, None]
