"""R3GAN: Huang et al. 2024, "The GAN is dead; long live the GAN!", arXiv:2501.05441, appendix D.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config

GROUP_WIDTH = 16  # channels per group of a grouped convolution
EXPANSION = 2


def widths_of(resolution: int, width: int) -> dict[int, int]:
    """Channels at each size, 4 px first: `width` up to 32 px, half as many with every doubling after that."""
    if resolution not in (32, 64, 128):
        raise ValueError(f"resolution must be 32, 64 or 128 for R3GAN, got {resolution}; choose 64")
    widths = {size: width * 32 // max(size, 32) for size in (4, 8, 16, 32, 64, 128) if size <= resolution}
    if width < 1 or any(channels * EXPANSION % GROUP_WIDTH for channels in widths.values()):
        multiple = GROUP_WIDTH // EXPANSION * max(1, resolution // 32)
        raise ValueError(f"width must be a multiple of {multiple} at {resolution} px, got {width}; choose 768 or 128")
    return widths


def scaled(layer: nn.Module, gain: float) -> nn.Module:
    """The layer, initialised to scale the standard deviation of its input by `gain`."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / fan_in**0.5)
    return layer


class GroupedConv(torch.autograd.Function):
    """Grouped 3x3 convolution with a fast double backward: torch 2.13's own computes each group separately."""

    @staticmethod
    def forward(ctx, x, weight, groups):
        """x (B, C, H, W), weight (C, C / groups, 3, 3)."""
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx, gradient):
        """(B, C, H, W) -> gradients by x and by weight, from differentiable operators."""
        x, weight = ctx.saved_tensors
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:
            by_x = F.conv_transpose2d(gradient, weight, padding=1, groups=ctx.groups)
        if ctx.needs_input_grad[1]:
            by_weight = torch.nn.grad.conv2d_weight(x, weight.shape, gradient, padding=1, groups=ctx.groups)
        return by_x, by_weight, None


class GroupedConv2d(nn.Conv2d):
    """Grouped 3x3 convolution without a bias: (B, C, H, W) -> (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Use torch's own in lower precision, where no gradient penalty is computed."""
        device = x.device.type
        lower = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        if lower or not torch.is_grad_enabled():
            return super().forward(x)
        return GroupedConv.apply(x, self.weight, self.groups)


class ResidualBlock(nn.Module):
    """1x1, grouped 3x3, 1x1, with a skip connection and no normalisation: (B, C, H, W) -> (B, C, H, W).

    Fixup initialisation: the last convolution starts at zero, the others are scaled by the network's number of blocks,
    so that activations keep their scale in a deep network.
    """

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        inner = channels * EXPANSION
        gain = (2 / (1 + 0.2**2)) ** 0.5 * blocks ** (-1 / 4)  # of leaky ReLU, and three layers: 1 / (2 * 3 - 2)
        self.narrow_in = scaled(nn.Conv2d(channels, inner, 1, bias=False), gain)
        self.bias1 = nn.Parameter(torch.zeros(inner))
        grouped = GroupedConv2d(inner, inner, 3, padding=1, groups=inner // GROUP_WIDTH, bias=False)
        self.spatial = scaled(grouped, gain)
        self.bias2 = nn.Parameter(torch.zeros(inner))
        self.narrow_out = scaled(nn.Conv2d(inner, channels, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = F.leaky_relu(self.narrow_in(x) + self.bias1[:, None, None], 0.2)
        y = F.leaky_relu(self.spatial(y) + self.bias2[:, None, None], 0.2)
        return x + self.narrow_out(y)


class Resample(nn.Module):
    """Bilinear x2 or mean of 2x2, and a 1x1 convolution where the channels change."""

    def __init__(self, in_channels: int, out_channels: int, factor: float):
        super().__init__()
        self.factor = factor
        self.conv = nn.Identity()
        if in_channels != out_channels:
            self.conv = scaled(nn.Conv2d(in_channels, out_channels, 1, bias=False), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, factor H, factor W)."""
        if self.factor < 1:
            return self.conv(F.avg_pool2d(x, 2))
        return F.interpolate(self.conv(x), scale_factor=2.0, mode="bilinear")


class R3Generator(ModelMixin, ConfigMixin):
    """Latents (B, latent_dim), labels (B,) -> images (B, 3, resolution, resolution) in [-1, 1].

    `width` is the number of channels up to 32 px, `blocks` the number of residual blocks at each size. With `classes`
    (names), label n is the n-th class; 0, or no labels, is an image of any class.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        latent_dim: int = 64,
        width: int = 768,
        blocks: int = 2,
        classes: Sequence[str] = (),
        format_version: int = 1,
    ):
        super().__init__()
        widths = list(widths_of(resolution, width).values())
        self.label = nn.Embedding(len(classes) + 1, latent_dim) if classes else None
        self.basis = nn.Parameter(torch.randn(width, 4, 4))
        self.project = scaled(nn.Linear(latent_dim * (2 if classes else 1), width, bias=False), 1.0)
        self.register_buffer("stem_mean", torch.zeros(width, 4, 4))
        layers = []
        channels = width
        for level in widths:
            if layers:
                layers.append(Resample(channels, level, 2))
            layers += [ResidualBlock(level, blocks * len(widths)) for _ in range(blocks)]
            channels = level
        self.layers = nn.Sequential(*layers)
        self.to_rgb = scaled(nn.Conv2d(channels, 3, 1, bias=False), 1.0)

    def embed(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Standard normal z (B, latent_dim), labels (B,) -> stem (B, width, 4, 4): a learned constant, gated by z."""
        if self.label is not None:
            labels = z.new_zeros(len(z), dtype=torch.long) if labels is None else labels
            z = torch.cat([z, self.label(labels)], 1)
        return self.basis * self.project(z)[:, :, None, None]

    def paint(self, stem: Tensor) -> Tensor:
        """Stem (B, width, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return torch.tanh(self.to_rgb(self.layers(stem)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent_dim), labels (B,) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z, labels))


class R3Discriminator(ModelMixin, ConfigMixin):
    """Images (B, 3, resolution, resolution) in [-1, 1], labels (B,) -> logits (B, 1). The generator's mirror."""

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        width: int = 768,
        blocks: int = 2,
        classes: Sequence[str] = (),
        format_version: int = 1,
    ):
        super().__init__()
        widths = list(reversed(widths_of(resolution, width).values()))
        self.from_rgb = scaled(nn.Conv2d(3, widths[0], 1, bias=False), 1.0)
        layers = []
        channels = widths[0]
        for level in widths:
            if layers:
                layers.append(Resample(channels, level, 0.5))
            layers += [ResidualBlock(level, blocks * len(widths)) for _ in range(blocks)]
            channels = level
        self.layers = nn.Sequential(*layers)
        self.gather = scaled(nn.Conv2d(width, width, 4, groups=width, bias=False), 1.0)
        self.judge = scaled(nn.Linear(width, len(classes) + 1, bias=False), 1.0)

    def _gather(self, x: Tensor) -> Tensor:
        """(B, C, 4, 4) -> (B, C): the convolution `gather`, whose kernels are as large as the map."""
        return (x * self.gather.weight[:, 0]).sum((2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, 3, resolution, resolution) in [-1, 1], labels (B,) -> logits (B, 1)."""
        logits = self.judge(self._gather(self.layers(self.from_rgb(images)))).float()
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device) if labels is None else labels
        return logits.gather(1, labels[:, None])  # one logit per class, 0 for "any"
