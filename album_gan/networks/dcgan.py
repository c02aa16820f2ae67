"""DCGAN: Radford et al. 2015, arXiv:1511.06434.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def levels_below(resolution: int) -> list[int]:
    """Sizes of the feature maps between 4 px and the image: 8, 16, ... resolution / 2."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for DCGAN, got {resolution}; choose 64, the paper's")
    return [size for size in (8, 16, 32, 64) if size < resolution]


def initialise(network: nn.Module) -> None:
    """Section 4: all weights from a normal distribution with standard deviation 0.02."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. Figure 1 of the paper at 64 px.

    `width` is the number of channels at 4 px; it halves with every doubling of the size. With `classes` (names) it also
    takes labels (B,): n is the n-th class; 0, or no labels, is an image of unknown class.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        latent_dim: int = 100,
        width: int = 1024,
        classes: Sequence[str] = (),
        format_version: int = 1,
    ):
        super().__init__()
        self.label = nn.Embedding(len(classes) + 1, latent_dim) if classes else None
        self.project = nn.Linear(latent_dim * (2 if classes else 1), width * 4 * 4, bias=False)
        self.project_norm = nn.BatchNorm2d(width)
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        layers = []
        channels = width
        for _ in levels_below(resolution):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 5, stride=2, padding=2, output_padding=1, bias=False),
                nn.BatchNorm2d(channels // 2),
                nn.ReLU(),
            ]
            channels //= 2
        layers += [nn.ConvTranspose2d(channels, 3, 5, stride=2, padding=2, output_padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise(self)
        if self.label is not None:  # about unit length, as a one-hot label: a longer one drowns z out
            nn.init.normal_(self.label.weight, 0.0, latent_dim**-0.5)

    def embed(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Standard normal z (B, latent_dim), labels (B,) -> stem (B, width, 4, 4)."""
        x = torch.erf(z / 2**0.5)  # the paper's latents are uniform in [-1, 1]
        if self.label is not None:
            labels = torch.zeros(len(z), dtype=torch.long, device=z.device) if labels is None else labels
            x = torch.cat([x, self.label(labels)], 1)
        stem = self.project(x).unflatten(1, (-1, 4, 4))
        return F.relu(self.project_norm(stem))

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.layers(stem)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent_dim), labels (B,) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z, labels))


class DCGANDiscriminator(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1). `width` and `classes` as in the generator.

    The label is a fourth input channel after red, green and blue.
    """

    @register_to_config
    def __init__(self, resolution: int = 64, width: int = 1024, classes: Sequence[str] = (), format_version: int = 1):
        super().__init__()
        self.label = nn.Embedding(len(classes) + 1, resolution**2) if classes else None
        layers = []
        channels = 4 if classes else 3
        for level in reversed([4, *levels_below(resolution)]):
            first, out = not layers, width * 4 // level
            layers.append(nn.Conv2d(channels, out, 5, stride=2, padding=2, bias=first))
            if not first:  # section 3: no BatchNorm in the first layer
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.LeakyReLU(0.2))
            channels = out
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 4 * 4, 1))
        initialise(self)
        if classes:  # constant planes at first: convolutions hardly distinguish one noise pattern from another
            with torch.no_grad():
                self.label.weight.copy_(torch.randn(len(classes) + 1, 1).expand_as(self.label.weight))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1], labels (B,) -> logits (B, 1)."""
        if self.label is not None:
            labels = torch.zeros(len(images), dtype=torch.long, device=images.device) if labels is None else labels
            plane = self.label(labels).view(-1, 1, *images.shape[2:])
            images = torch.cat([images, plane.to(images.dtype)], 1)
        return self.layers(images).float()
