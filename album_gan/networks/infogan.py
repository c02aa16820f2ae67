"""InfoGAN: Chen et al. 2016, arXiv:1606.03657, with DCGAN's layers.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def levels_below(resolution: int) -> list[int]:
    """Sizes of the feature maps between 4 px and the image: 8, 16, ... resolution / 2."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for InfoGAN, got {resolution}; choose 32, the paper's")
    return [size for size in (8, 16, 32, 64) if size < resolution]


def initialise(network: nn.Module) -> None:
    """DCGAN's: all weights from a normal distribution with standard deviation 0.02."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.02)


class InfoGenerator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1].

    The codes are part of the latent: first a block of `categories` values for each of `categorical_codes`, whose argmax
    is the code; then `continuous_codes` values; the rest is noise.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 32,
        latent_dim: int = 168,
        categorical_codes: int = 4,
        categories: int = 10,
        continuous_codes: int = 4,
        width: int = 512,
        format_version: int = 1,
    ):
        super().__init__()
        codes = categorical_codes * categories + continuous_codes
        if latent_dim <= codes:
            raise ValueError(f"latent_dim must exceed the {codes} values of all codes, got {latent_dim}; raise it")
        self.project = nn.Linear(latent_dim, width * 4 * 4, bias=False)
        self.project_norm = nn.BatchNorm2d(width)
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        layers = []
        channels = width
        for _ in levels_below(resolution):
            layers.append(nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(channels // 2), nn.ReLU()]
            channels //= 2
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(channels, 3, 4, stride=2, padding=1), nn.Tanh())
        initialise(self)

    def codes(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal z (B, latent_dim) -> categorical and continuous codes.

        Categorical codes (B, categorical_codes), uniform from 0 to categories - 1; continuous codes
        (B, continuous_codes), uniform in [-1, 1].
        """
        config = self.config
        end = config.categorical_codes * config.categories
        choices = z[:, :end].unflatten(1, (config.categorical_codes, config.categories)).argmax(2)
        return choices, torch.erf(z[:, end : end + config.continuous_codes] / 2**0.5)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 4, 4)."""
        choices, _ = self.codes(z)
        one_hot = F.one_hot(choices, self.config.categories).flatten(1).to(z.dtype)
        uniform = torch.erf(z[:, one_hot.shape[1] :] / 2**0.5)  # the paper's codes and noise are in [-1, 1]
        stem = self.project(torch.cat([one_hot, uniform], 1)).unflatten(1, (-1, 4, 4))
        return F.relu(self.project_norm(stem))

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.layers(stem)

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class InfoDiscriminator(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1); the code reader shares its features."""

    @register_to_config
    def __init__(self, resolution: int = 32, width: int = 512, format_version: int = 1):
        super().__init__()
        layers = []
        channels = 3
        for level in reversed([4, *levels_below(resolution)]):
            first, out = not layers, width * 4 // level
            layers.append(nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=first))
            if not first:
                layers.append(nn.BatchNorm2d(out))
            layers.append(nn.LeakyReLU(0.1))
            channels = out
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.judge = nn.Linear(width * 4 * 4, 1)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, resolution, resolution) -> (B, width * 16)."""
        return self.layers(images)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1] -> logits (B, 1)."""
        return self.judge(self.features(images)).float()


class CodeReader(nn.Module):
    """The paper's Q: predicts a picture's codes from the discriminator's features.

    Features (B, features) -> logits of the categorical codes (B, categorical_codes, categories), and continuous codes
    (B, continuous_codes).
    """

    def __init__(self, features: int, categorical_codes: int, categories: int, continuous_codes: int):
        super().__init__()
        self.shape = (categorical_codes, categories)
        outputs = categorical_codes * categories + continuous_codes
        self.layers = nn.Sequential(
            nn.Linear(features, 128, bias=False), nn.BatchNorm1d(128), nn.LeakyReLU(0.1), nn.Linear(128, outputs)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, features) -> logits (B, categorical_codes, categories), continuous codes (B, continuous_codes)."""
        guess = self.layers(features).float()
        end = self.shape[0] * self.shape[1]
        return guess[:, :end].unflatten(1, self.shape), guess[:, end:]
