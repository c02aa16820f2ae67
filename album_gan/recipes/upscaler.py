"""The upscaler: a GAN that does not draw covers but enlarges them, four times in each direction.

Based on SRGAN (Ledig et al. 2017, arXiv:1609.04802), whose generator gets a small picture instead of noise and
reconstructs the large one. New: the perceptual and adversarial losses both use `projected`'s frozen network (so
ST-LPIPS, which measures the result, is independent of training), and inputs are degraded as by a GAN and the web:
blurred, JPEG-compressed. Use it when the bundled upscaler does not suit your pictures; train with --resolution 256.
"""

import io
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..inference.pixels import to_pil, to_tensor
from ..networks.cover_upscaler import SCALE, CoverUpscaler
from ..networks.projected_discriminator import ProjectedDiscriminator
from . import base
from .augmentation import blur, random_crops
from .losses import hinge_discriminator, hinge_generator
from .named_random import Draw

PATCH = 128  # pixels a side of the target, a quarter of that of the input; smaller for smaller covers


@dataclass(frozen=True, kw_only=True)
class Config:
    channels: int = 64
    blocks: int = 7
    learning_rate: float = 4e-4
    discriminator_learning_rate: float = 2e-4
    feature_weight: float = 0.03  # relative to the pixel loss, whose weight is 1
    adversarial_weight: float = 0.002
    adversarial_from: float = 0.25  # fraction of the run; before it, only pixel and feature losses
    softness: float = 0.8  # largest standard deviation, in pixels, of the blur of every other input
    lowest_quality: int = 50  # of the JPEG compression of every other input


class Recipe(base.Recipe):
    Config = Config

    def build_networks(self) -> tuple[CoverUpscaler, ProjectedDiscriminator]:
        return CoverUpscaler(self.config.channels, self.config.blocks), ProjectedDiscriminator(input_size=PATCH)

    def cast_frozen_weights(self, discriminator: ProjectedDiscriminator, dtype: torch.dtype) -> None:
        discriminator.hold_frozen_in(dtype)

    def optimizers(self, generator, discriminator):
        return (
            base.adam(generator, self.config.learning_rate, (0.9, 0.99)),
            base.adam(discriminator, self.config.discriminator_learning_rate, (0.0, 0.99)),
        )

    def schedule(self, progress: float) -> base.Schedule:
        return base.Schedule(learning_rate=min(1.0, 2 * (1 - progress)))

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        return (self.degrade(self.target(batch["images"], draw), draw),)

    def target(self, images: Tensor, draw: Draw) -> Tensor:
        """The reconstruction target: whole covers, resized, in every other batch, random crops in the others.

        (B, 3, R, R) -> (B, 3, P, P)
        """
        size = min(PATCH, self.resolution)
        if draw.step % 2:
            return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)
        return random_crops(images, size, draw, "piece")

    def degrade(self, images: Tensor, draw: Draw) -> Tensor:
        """Downscale with one of three filters, then blur and JPEG-compress, each for a random half of the images.

        (B, 3, P, P) -> (B, 3, P/4, P/4)
        """
        size = (images.shape[-2] // SCALE, images.shape[-1] // SCALE)
        resized = [F.interpolate(images, size=size, mode=mode, antialias=True) for mode in ("bilinear", "bicubic")]
        resized = torch.stack([F.avg_pool2d(images, SCALE), *resized])
        small = resized[draw.integers("way", 0, len(resized)), torch.arange(len(images))].clamp(-1, 1)
        softness = draw.uniform("softness") * self.config.softness * draw.integers("soft or not", 0, 2)
        pictures = to_pil(blur(small, softness))
        qualities = draw.integers("quality", self.config.lowest_quality, 101).tolist()
        pressed = draw.integers("JPEG or not", 0, 2).tolist()
        degraded = [jpeg(*pair) if yes else pair[0] for *pair, yes in zip(pictures, qualities, pressed, strict=True)]
        return to_tensor(degraded).to(images)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        target, judge = self.target(step.real, step.draw), step.discriminator.judge
        with torch.no_grad():
            real = step.discriminator.features(target)
        fake = step.discriminator.features(step.fake)
        step.memo = {"target": target, "real": real, "fake": fake}
        # Real and fake are judged apart, so from 64 images on BatchNorm's groups have 64 of one kind.
        step.scores = judge(real), judge([feature.detach() for feature in fake])
        return {"hinge": hinge_discriminator(*step.scores)}

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        if not step.memo:
            self.discriminator_terms(step)
        target, real, fake = step.memo["target"], step.memo["real"], step.memo["fake"]
        # Charbonnier loss, a smooth absolute difference: Eq. (4) of Lai et al. 2017, arXiv:1704.03915
        terms = {"pixels": ((step.fake - target) ** 2 + 1e-6).sqrt().mean()}
        away = [F.l1_loss(f.float(), r.float()) / r.float().abs().mean() for f, r in zip(fake, real, strict=True)]
        terms["features"] = self.config.feature_weight * sum(away) / len(away)
        if step.progress >= self.config.adversarial_from:
            terms["hinge"] = self.config.adversarial_weight * hinge_generator(step.discriminator.judge(fake))
        return terms


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after JPEG compression."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)
