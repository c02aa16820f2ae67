"""The default generator: a lighter FastGAN (Liu et al. 2021, arXiv:2101.04775), 3.9 to 5.2 M parameters at 128 px.

This file is self-contained: it is published next to the weights and needs only torch and diffusers.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config

WIDTHS = {4: 256, 8: 256, 16: 192, 32: 128, 64: 64, 128: 32, 256: 16, 512: 8}
TWO_CONVOLUTIONS = (8, 16, 32)  # they determine the composition; finer levels cost the most
GROUP = 32  # images per BatchNorm group in training
CODE = 128  # length of the code that modulates every level
PATTERNS = 8  # maps that vary the shifts by position
PATTERNED = (16, 32, 64)  # levels that have them; a letter of a 128 px cover is one to four pixels wide there
EXCITATIONS = {32: 4, 64: 8, 128: 16, 256: 32}  # resolution of the gated channels: resolution that gates them


class UpsampleConv(nn.Module):
    """Nearest-neighbour x2 and a 3x3 convolution, computed as one 4x4 transposed convolution of stride 2.

    Each output pixel sees only 2x2 distinct inputs, so the nine taps merge into four: the same function with less than
    half the multiplications. Below 16 px the direct form is faster. (B, C_in, H, W) -> (B, C_out, 2H, 2W)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.orthogonal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, 2H, 2W)."""
        if x.shape[-1] < 16:
            return F.conv2d(F.interpolate(x, scale_factor=2.0), self.weight, padding=1)
        flipped = self.weight.flip(-1, -2).transpose(0, 1)
        rows = F.pad(flipped, (0, 0, 0, 1)) + F.pad(flipped, (0, 0, 1, 0))
        kernel = F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
        return F.conv_transpose2d(x, kernel, stride=2, padding=1)


def groups_of(images: int) -> int:
    """Number of equal groups, of GROUP images or more, that a batch is split into."""
    return next((groups for groups in range(images // GROUP, 1, -1) if images % groups == 0), 1)


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over groups of about GROUP images, so that larger batches train the same way."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        groups = groups_of(len(x)) if self.training else 1
        if groups == 1:
            return super().forward(x)
        return torch.cat([nn.BatchNorm2d.forward(self, part) for part in x.chunk(groups)])


class Modulation(nn.Module):
    """Scales and shifts normalised channels by a code of the cover, initialised to the identity.

    Conditional BatchNorm as in BigGAN (Brock et al. 2019, arXiv:1809.11096, appendix B), but the code is computed from
    the stem, so that truncating, mixing or editing stems acts on all levels. With `size`, the shift also varies by
    position, by PATTERNS learned maps of that size: without them, a convolution draws the same letter wherever it draws
    letters.
    """

    def __init__(self, channels: int, size: int | None = None):
        super().__init__()
        self.channels = channels
        self.patterns = nn.Parameter(torch.randn(PATTERNS, size, size)) if size else None
        self.amounts = nn.Linear(CODE, (2 + (PATTERNS if size else 0)) * channels)
        nn.init.zeros_(self.amounts.weight)
        nn.init.zeros_(self.amounts.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, C, H, W), (B, CODE) -> (B, C, H, W)."""
        gain, shift, places = self.amounts(code).tensor_split([self.channels, 2 * self.channels], dim=1)
        shift = shift[:, :, None, None]
        if self.patterns is not None:
            maps = places.unflatten(1, (self.channels, PATTERNS)) @ self.patterns.flatten(1)
            shift = shift + maps.unflatten(2, self.patterns.shape[1:])
            if x.is_contiguous(memory_format=torch.channels_last):  # else BatchNorm's gradient is slow
                shift = shift.contiguous(memory_format=torch.channels_last)
        return torch.addcmul(shift, x, 1 + gain[:, :, None, None])


class UpBlock(nn.Module):
    """Up to `level` px, one or two convolutions, optional refinement: (B, C_in, H, W) -> (B, C_out, 2H, 2W)."""

    def __init__(self, in_channels: int, level: int, refined: bool, modulated: bool):
        super().__init__()
        channels, two_convolutions = WIDTHS[level], level in TWO_CONVOLUTIONS
        self.up = UpsampleConv(in_channels, channels)
        self.up_norm = GroupedBatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False) if two_convolutions else None
        self.norm = GroupedBatchNorm2d(channels) if two_convolutions else None
        self.refinement = Refinement(channels) if refined else None
        self.up_modulation = Modulation(channels, level if level in PATTERNED else None) if modulated else None
        self.modulation = Modulation(channels) if modulated and two_convolutions else None

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        """(B, C_in, H, W), the cover's code (B, CODE) if modulated -> (B, C_out, 2H, 2W)."""
        x = self._activate(self.up_norm(self.up(x)), self.up_modulation, code)
        if self.conv is not None:
            x = self._activate(self.norm(self.conv(x)), self.modulation, code)
        return x if self.refinement is None else self.refinement(x)

    def _activate(self, x: Tensor, modulation: Modulation | None, code: Tensor | None) -> Tensor:
        """Normalised (B, C, H, W), code (B, CODE) -> (B, C, H, W), modulated if there is a modulation."""
        x = x if modulation is None else modulation(x, code)
        return F.leaky_relu(x, 0.2, inplace=self.training)


class Refinement(nn.Module):
    """Residual block of two 3x3 convolutions, initialised to the identity: (B, C, H, W) -> (B, C, H, W).

    So it can be added to a trained generator without changing its covers (zero-initialised residuals: Zhang et al.
    2019, arXiv:1901.09321).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = GroupedBatchNorm2d(channels)
        self.add = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.add(F.leaky_relu(self.norm(self.conv(x)), 0.2, inplace=self.training))


class SkipLayerExcitation(nn.Module):
    """Gates a fine level's channels, in (0, 1), by features of a coarse level: Eq. (1) of Liu et al. 2021.

    coarse (B, C_in, h, w), fine (B, C_out, H, W) -> (B, C_out, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.spatial = nn.Conv2d(in_channels, out_channels, 4, bias=False)
        self.channel = nn.Conv2d(out_channels, out_channels, 1, bias=False)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Coarse (B, C_in, h, w), fine (B, C_out, H, W) -> gated (B, C_out, H, W)."""
        # A convolution with a kernel as large as its input is a matrix product, which is much faster.
        pooled = F.avg_pool2d(coarse, coarse.shape[-1] // 4).flatten(1)
        gate = F.silu(F.linear(pooled, self.spatial.weight.flatten(1)))
        gate = torch.sigmoid(F.linear(gate, self.channel.weight.flatten(1)))
        return fine * gate[:, :, None, None]


class LiteGenerator(ModelMixin, ConfigMixin):
    """Draws covers from latents, (B, latent_dim) -> (B, 3, resolution, resolution) in [-1, 1].

    `embed` computes the stem, the 4x4 features in which covers are truncated and interpolated; `paint` does the rest.
    `stem_mean` (C, 4, 4) is the mean stem, the centre of truncation; training sets it.
    With `classes` (names) it also takes labels (B,): n is the n-th class; 0, or no labels, is a cover of any class.
    `class_counts` (one more than `classes`) are the numbers of training covers with label 0, 1, ...: seeds draw labels
    in proportion. `mixtures` has such counts under other names: a genre is a mixture of visual styles.
    Levels of `refined_from` px and more have a `Refinement`, and if `modulated` all have a `Modulation` by a code that
    is computed from the stem; by default none has.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        latent_dim: int = 128,
        classes: Sequence[str] = (),
        class_counts: Sequence[int] = (),
        mixtures: Mapping[str, Sequence[int]] | None = None,
        refined_from: int | None = None,
        modulated: bool = False,
        format_version: int = 1,
    ):
        super().__init__()
        if resolution not in (32, 64, 128, 256, 512):
            raise ValueError(f"resolution must be a power of two from 32 to 512, got {resolution}; crop or choose 128")
        channels = WIDTHS[4]
        self.stem = nn.ConvTranspose2d(latent_dim, channels, 4, bias=False)
        self.stem_norm = GroupedBatchNorm2d(channels)
        self.register_buffer("stem_mean", torch.zeros(channels, 4, 4))
        self.code = nn.Linear(channels * 16, CODE) if modulated else None
        if modulated:
            nn.init.orthogonal_(self.code.weight)

        levels = [level for level in WIDTHS if 4 < level <= resolution]
        self.blocks = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for level in levels:
            refined = refined_from is not None and level >= refined_from
            self.blocks[str(level)] = UpBlock(channels, level, refined, modulated)
            channels = WIDTHS[level]
            if level in EXCITATIONS:
                self.excitations[str(level)] = SkipLayerExcitation(WIDTHS[EXCITATIONS[level]], channels)
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.orthogonal_(module.weight)
        for module in self.modules():
            if isinstance(module, Refinement):
                nn.init.zeros_(module.add.weight)
        self.label = nn.Embedding(len(classes) + 1, latent_dim) if classes else None
        if classes:
            nn.init.zeros_(self.label.weight[0])  # so that training can start from a model without classes

    def embed(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, latent_dim), labels (B,) -> stem (B, 256, 4, 4); only the direction of z matters."""
        z = F.normalize(z, dim=1) * z.shape[1] ** 0.5
        if self.label is not None:
            labels = torch.zeros(len(z), dtype=torch.long, device=z.device) if labels is None else labels
            z = z + self.label(labels)
        return F.leaky_relu(self.stem_norm(self.stem(z[:, :, None, None])), 0.2)

    def paint(self, stem: Tensor, style: Tensor | None = None) -> Tensor:
        """Stem (B, 256, 4, 4) -> images (B, 3, resolution, resolution) in [-1, 1].

        With another stem as `style`, its coarse levels gate the fine levels, and its code modulates them:
        the composition of one cover with the colours and textures of another.
        """
        x, y = stem, stem if style is None else style
        gates = {4: y}
        code = style_code = self._code(stem)
        if style is not None:
            style_code = self._code(style)
        for name in self.blocks:
            x = self._level(x, gates, name, style_code if name in self.excitations else code)
            if int(name) in EXCITATIONS.values():  # gates are computed from the style's own features
                y = x if style is None else self._level(y, gates, name, style_code)
                gates[int(name)] = y
        return torch.tanh(self.to_rgb(x))

    def _code(self, stem: Tensor) -> Tensor | None:
        """Stem (B, 256, 4, 4) -> the code that modulates every level, (B, CODE); None if nothing is modulated."""
        return None if self.code is None else F.leaky_relu(self.code(stem.flatten(1)), 0.2)

    def _level(self, x: Tensor, gates: dict[int, Tensor], name: str, code: Tensor | None) -> Tensor:
        """One level, gated by the coarse levels before it."""
        x = self.blocks[name](x, code)
        if name in self.excitations:
            x = self.excitations[name](gates[EXCITATIONS[int(name)]], x)
        return x

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent_dim), labels (B,) -> images (B, 3, resolution, resolution) in [-1, 1]."""
        return self.paint(self.embed(z, labels))
