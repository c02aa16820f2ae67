"""DCGAN with the network changes of Salimans et al. 2016, arXiv:1606.03498.

Virtual batch normalisation in the generator, and minibatch discrimination.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def levels_below(resolution: int) -> list[int]:
    """Sizes of the feature maps between 4 px and the image: 8, 16, ... resolution / 2."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for improved DCGAN, got {resolution}; choose 64")
    return [size for size in (8, 16, 32, 64) if size < resolution]


def initialise(network: nn.Module) -> None:
    """DCGAN's: all weights from a normal distribution with standard deviation 0.02."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)


class VirtualBatchNorm(nn.Module):
    """Section 3.5: each example is normalised by the statistics of a reference batch and of itself only.

    x (B, C, H, W), reference (N, C, H, W) -> both, normalised
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Examples x (B, C, H, W), reference (N, C, H, W) -> both, normalised."""
        mean, square = (reference.float().pow(power).mean((0, 2, 3), keepdim=True) for power in (1, 2))
        share = 1 / (len(reference) + 1)
        own_mean, own_square = (x.float().pow(power).mean((2, 3), keepdim=True) for power in (1, 2))
        own_mean = share * own_mean + (1 - share) * mean
        own_square = share * own_square + (1 - share) * square
        return self._normalise(x, own_mean, own_square), self._normalise(reference, mean, square)

    def _normalise(self, x: Tensor, mean: Tensor, square: Tensor) -> Tensor:
        scale = self.weight[:, None, None] * (square - mean.square() + 1e-5).rsqrt()
        return (x - mean) * scale + self.bias[:, None, None]


class ImprovedGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. `width` as in DCGAN.

    The `reference_size` latents of the reference batch are drawn once and saved with the weights.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        latent_dim: int = 100,
        width: int = 1024,
        reference_size: int = 32,
        format_version: int = 1,
    ):
        super().__init__()
        self.register_buffer("reference", torch.randn(reference_size, latent_dim))
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        self.project = nn.Linear(latent_dim, width * 4 * 4, bias=False)
        self.project_norm = VirtualBatchNorm(width)
        self.ups, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = width
        for _ in levels_below(resolution):
            up = nn.ConvTranspose2d(channels, channels // 2, 5, stride=2, padding=2, output_padding=1, bias=False)
            self.ups.append(up)
            channels //= 2
            self.norms.append(VirtualBatchNorm(channels))
        self.last = nn.ConvTranspose2d(channels, 3, 5, stride=2, padding=2, output_padding=1)
        initialise(self)

    def _embed(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The stems of z and of the reference batch."""
        maps = [self.project(torch.erf(x / 2**0.5)).unflatten(1, (-1, 4, 4)) for x in (z, self.reference)]
        stem, reference = self.project_norm(*maps)
        return F.relu(stem), F.relu(reference)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 4, 4)."""
        return self._embed(z)[0]

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        x, reference = stem, self._embed(self.reference)[1]  # every layer needs the reference batch's maps
        for up, norm in zip(self.ups, self.norms, strict=True):
            x, reference = norm(up(x), up(reference))
            x, reference = F.relu(x), F.relu(reference)
        return torch.tanh(self.last(x))

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class MinibatchDiscrimination(nn.Module):
    """Section 3.2: similarity of each example to the others of its batch, by `kernels` kernels.

    (B, features) -> (B, kernels), each from 0 (alone) to B - 1 (all are the same)
    """

    def __init__(self, features: int, kernels: int = 100, kernel_dim: int = 5):
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(features, kernels * kernel_dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, features) -> (B, kernels), from 0 (alone) to B - 1 (all equal)."""
        m = self.project(features).float().unflatten(1, (self.kernels, -1))
        distance = (m[:, None] - m[None]).abs().sum(3)  # (B, B, kernels)
        return (-distance).exp().sum(1) - 1  # all but itself


class ImprovedDiscriminator(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1). `width` as in DCGAN."""

    @register_to_config
    def __init__(self, resolution: int = 64, width: int = 1024, kernels: int = 100, format_version: int = 1):
        super().__init__()
        layers = []
        channels = 3
        for level in reversed([4, *levels_below(resolution)]):
            first, out = not layers, width * 4 // level
            layers.append(nn.Conv2d(channels, out, 5, stride=2, padding=2, bias=first))
            if not first:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.LeakyReLU(0.2))
            channels = out
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.closeness = MinibatchDiscrimination(width * 4 * 4, kernels)
        self.last = nn.Linear(width * 4 * 4 + kernels, 1)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, resolution, resolution) -> (B, width * 16)."""
        return self.layers(images)

    def judge(self, features: Tensor) -> Tensor:
        """Features (B, width * 16) of one batch, all real or all fake -> logits (B, 1)."""
        return self.last(torch.cat([features, self.closeness(features).to(features.dtype)], 1)).float()

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1)."""
        return self.judge(self.features(images))
