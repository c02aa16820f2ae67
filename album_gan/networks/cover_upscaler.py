"""The upscaler: four times the width and height, with a plain stack of 3x3 convolutions at the input's resolution.

Everything is computed at the small size and enlarged at the end (Shi et al. 2016, "sub-pixel convolution",
arXiv:1609.05158), so it is fast on a CPU. This file is self-contained: it is published next to the weights and needs
only torch and diffusers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config

SCALE = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a skip connection: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # a block starts as the identity
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.second(F.leaky_relu(self.first(x), 0.2))


class CoverUpscaler(ModelMixin, ConfigMixin):
    """Upscales pictures, (B, 3, H, W) in [-1, 1] -> (B, 3, 4H, 4W) in [-1, 1].

    It learns the residual to bilinear interpolation. Each output pixel depends on the input within `reach` pixels, so
    tiles that overlap by that much give the same picture as the whole.
    """

    @register_to_config
    def __init__(self, channels: int = 64, blocks: int = 7, format_version: int = 1):
        super().__init__()
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, 3 * SCALE**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @property
    def reach(self) -> int:
        """Radius of the receptive field in input pixels: one per 3x3 convolution."""
        return 2 + 2 * self.config.blocks

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, 3, 4H, 4W), in [-1, 1] unless in training mode."""
        detail = F.pixel_shuffle(self.leave(self.body(self.enter(images))), SCALE)
        plain = F.interpolate(images, scale_factor=float(SCALE), mode="bilinear", align_corners=False)
        return torch.clamp(plain + detail, -1, 1) if not self.training else plain + detail
