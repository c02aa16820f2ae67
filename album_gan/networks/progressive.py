"""Progressive growing: Karras et al. 2018, arXiv:1710.10196, appendix A. Built at full size, grown by a parameter.

`growth` says how far a network has grown: 0 is 4 px, 1 is 8 px, 2 is 16 px and so on; 1.3 blends 16 px with weight 0.3
and 8 px with weight 0.7. Images always have full size: the generator upsamples them and the discriminator downsamples
them again.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config


def widths_of(resolution: int, width: int) -> list[int]:
    """Channels at 4, 8, 16 ... px: `width` up to 32 px, half as many with every doubling after that."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for progressive growing, got {resolution}; choose 64")
    return [width * 32 // max(size, 32) for size in (4, 8, 16, 32, 64, 128) if size <= resolution]


class EqualConv(nn.Module):
    """A convolution with equalised learning rate: weights start as N(0, 1) and are scaled when used, section 4.1.

    Adam updates all weights at the same rate; with this scale all layers change at the same rate.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, padding: int = 1, gain: float = 2**0.5):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / (in_channels * kernel**2) ** 0.5
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W')."""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class Growing:
    """The buffer `growth`, with its value cached in Python, so that forward passes do not wait for the device."""

    growth: Tensor
    _read: tuple[int | None, float] | None = None  # version of the buffer, and its value then; None: not read yet

    def set_growth(self, growth: float) -> None:
        """Set the growth; 0 is 4 px, see above."""
        self.growth.fill_(growth)
        self._read = self.growth._version, growth

    def current_growth(self) -> float:
        """The growth; waits for the device only if it was loaded, moved or copied."""
        version = getattr(self.growth, "_version", None)  # torch.export puts a number in the buffer's place
        if self._read is None or version not in (None, self._read[0]):
            self._read = version, float(self.growth)
        return self._read[1]

    # Versions count the changes of one tensor: moving, copying or loading may put another one in its place.
    def _apply(self, *arguments, **options):  # type: ignore[no-untyped-def]  # nn.Module's own
        self._read = None
        return super()._apply(*arguments, **options)  # type: ignore[misc]

    def _load_from_state_dict(self, *arguments, **options):  # type: ignore[no-untyped-def]
        self._read = None
        return super()._load_from_state_dict(*arguments, **options)  # type: ignore[misc]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_read": None}

    def grown(self) -> tuple[int, float]:
        """The top level, and how far it has faded in: above 0 to below 1, or 0 for completely."""
        growth = self.current_growth()
        return math.ceil(growth), growth % 1


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each pixel's features (B, C, ...) to a mean square of 1: section 4.2."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def minibatch_deviation(x: Tensor) -> Tensor:
    """Append the mean standard deviation over the batch as a channel, section 3: (B, C, H, W) -> (B, C + 1, H, W)."""
    deviation = (x.float().var(0, unbiased=False) + 1e-8).sqrt().mean()  # in bf16, rounding would look like variety
    return torch.cat([x, deviation.to(x.dtype).expand(len(x), 1, *x.shape[2:])], 1)


class ProgressiveGenerator(Growing, ModelMixin, ConfigMixin):
    """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]. `width`: see `widths_of`."""

    @register_to_config
    def __init__(self, resolution: int = 64, latent_dim: int = 512, width: int = 512, format_version: int = 1):
        super().__init__()
        widths = widths_of(resolution, width)
        self.register_buffer("growth", torch.tensor(len(widths) - 1.0))
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        self.first = EqualConv(latent_dim, width, kernel=4, padding=3)
        self.second = EqualConv(width, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualConv(before, after), EqualConv(after, after)]) for before, after in pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(EqualConv(channels, 3, kernel=1, padding=0, gain=1) for channels in widths)

    def embed(self, z: Tensor) -> Tensor:
        """Standard normal z (B, latent_dim) -> stem (B, width, 4, 4); only the direction of z matters."""
        x = F.leaky_relu(self.first(pixel_norm(z)[:, :, None, None]), 0.2)
        x = F.leaky_relu(self.second(pixel_norm(x)), 0.2)
        return pixel_norm(x)

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]; coarse until it has grown."""
        top, fading = self.grown()
        x, before = stem, stem
        for convolutions in self.blocks[:top]:
            before = x
            x = F.interpolate(x, scale_factor=2.0)
            for convolution in convolutions:
                x = pixel_norm(F.leaky_relu(convolution(x), 0.2))
        images = self.to_rgb[top](x)
        if fading:
            coarse = F.interpolate(self.to_rgb[top - 1](before), scale_factor=2.0)
            images = coarse.lerp(images, fading)
        # The paper has no tanh; it clips.
        return F.interpolate(torch.tanh(images), size=(self.config.resolution,) * 2)

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, latent_dim) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z))


class ProgressiveDiscriminator(Growing, ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1] -> scores (B, 1): the generator's mirror."""

    @register_to_config
    def __init__(self, resolution: int = 64, width: int = 512, format_version: int = 1):
        super().__init__()
        widths = widths_of(resolution, width)
        self.register_buffer("growth", torch.tensor(len(widths) - 1.0))
        self.from_rgb = nn.ModuleList(EqualConv(3, channels, kernel=1, padding=0) for channels in widths)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualConv(fine, fine), EqualConv(fine, coarse)]) for coarse, fine in pairwise(widths)
        )
        self.gather = EqualConv(width + 1, width)
        self.flatten = EqualConv(width, width, kernel=4, padding=0)
        self.score = EqualConv(width, 1, kernel=1, padding=0, gain=1)

    def at_growth(self, images: Tensor) -> Tensor:
        """Real images at the detail of the current growth, at full size: they fade in as well."""
        top, fading = self.grown()
        shown = F.adaptive_avg_pool2d(images, 4 * 2**top)
        if fading:
            coarse = F.interpolate(F.avg_pool2d(shown, 2), scale_factor=2.0)
            shown = coarse.lerp(shown, fading)
        return F.interpolate(shown, size=images.shape[2:])

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1] -> scores (B, 1)."""
        top, fading = self.grown()
        images = F.avg_pool2d(images, self.config.resolution // (4 * 2**top))
        x = F.leaky_relu(self.from_rgb[top](images), 0.2)
        for level in range(top, 0, -1):
            for convolution in self.blocks[level - 1]:
                x = F.leaky_relu(convolution(x), 0.2)
            x = F.avg_pool2d(x, 2)
            if fading and level == top:
                coarse = F.leaky_relu(self.from_rgb[top - 1](F.avg_pool2d(images, 2)), 0.2)
                x = coarse.lerp(x, fading)
        x = F.leaky_relu(self.gather(minibatch_deviation(x)), 0.2)
        x = F.leaky_relu(self.flatten(x), 0.2)
        return self.score(x).flatten(1).float()
