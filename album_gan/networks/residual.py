"""WGAN-GP's residual networks: Gulrajani et al. 2017, arXiv:1704.00028, appendix C.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def widths_of(resolution: int, width: int) -> dict[int, int]:
    """Channels at each size, 4 px first: `width` at 4 and 8 px, half as many with every doubling after that."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for residual networks, got {resolution}; choose 64")
    return {size: width * 8 // max(size, 8) for size in (4, 8, 16, 32, 64, 128) if size <= resolution}


def initialise(network: nn.Module) -> None:
    """He initialisation for ReLU, as in the authors' code."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class UpBlock(nn.Module):
    """Norm, ReLU, nearest-neighbour x2, 3x3, norm, ReLU, 3x3, and a skip connection: (B, C, H, W) -> (B, D, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.around = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, 2H, 2W)."""
        y = F.interpolate(F.relu(self.norm1(x)), scale_factor=2.0)
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        return y + F.interpolate(self.around(x), scale_factor=2.0)


class DownBlock(nn.Module):
    """ReLU, 3x3, ReLU, 3x3, mean of 2x2, and a skip connection: (B, C, H, W) -> (B, D, H/2, W/2).

    No BatchNorm: the gradient penalty is per image, and BatchNorm would couple the images of a batch.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.around = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H/2, W/2)."""
        y = self.conv2(F.relu(self.conv1(F.relu(x))))
        return F.avg_pool2d(y, 2) + self.around(F.avg_pool2d(x, 2))


class ResidualGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. `width`: see `widths_of`."""

    @register_to_config
    def __init__(self, resolution: int = 64, latent_dim: int = 128, width: int = 512, format_version: int = 1):
        super().__init__()
        widths = list(widths_of(resolution, width).values())
        self.project = nn.Linear(latent_dim, width * 4 * 4)
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        self.blocks = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(widths)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        initialise(self)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 4, 4)."""
        return self.project(z).unflatten(1, (-1, 4, 4))

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return torch.tanh(self.to_rgb(F.relu(self.norm(self.blocks(stem)))))

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class ResidualCritic(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> scores (B, 1). `width` as in the generator."""

    @register_to_config
    def __init__(self, resolution: int = 64, width: int = 512, format_version: int = 1):
        super().__init__()
        widths = list(reversed(widths_of(resolution, width).values()))
        self.from_rgb = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.Sequential(*(DownBlock(a, b) for a, b in pairwise(widths)))
        self.score = nn.Linear(width * 4 * 4, 1)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1] -> scores (B, 1)."""
        return self.score(self.blocks(self.from_rgb(images)).flatten(1)).float()
