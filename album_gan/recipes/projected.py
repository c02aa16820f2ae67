"""Projected GAN with a light generator, the default: good covers from ten thousand images and no GPU.

Sauer et al. 2021, "Projected GANs Converge Faster" (arXiv:2111.01007), with a generator based on FastGAN (Liu et al.
2021, arXiv:2101.04775). New: the discriminator sees features of a frozen, pretrained network, randomly mixed, at four
scales; so it knows edges, faces and letters before the first step, and only small heads are trained. Use it by default,
unless you want to learn how the classics work or may not use pretrained features.

With a label column, a tenth of the labels are hidden: label 0, "any", is learned from all covers. A seed without a
label samples one, as often as covers have it (docs/decisions/styles.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..networks.lite_generator import LiteGenerator
from ..networks.projected_discriminator import SCALES, ProjectedDiscriminator, groups_of
from . import base
from .augmentation import detailed_crops, diff_augment, random_crops
from .losses import hinge_discriminator, hinge_generator
from .memory import LatentPool, MemoryBank
from .named_random import Draw


@dataclass(frozen=True, kw_only=True)
class Config:
    latent_dim: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.0
    beta2: float = 0.99
    discriminator_size: int | None = None  # images are enlarged to this, at most twofold; default 192, below 128 px 128
    augmentation_share: float = 0.5  # probability of each augmentation; lower it for large data sets
    mixture_weight: float = 16.0  # of the distance between generated and real covers as distributions; 0: off
    coverage_weight: float = 0.0  # of the distance from real covers to the generated ones nearest to them; 0: off
    hidden_labels: float = 0.1  # probability of replacing a label by 0, "any"
    refined_from: int | None = None  # two extra convolutions at levels of this many pixels or more; 64 refines texture
    modulated: bool = False  # the stem scales and shifts all levels (conditional BatchNorm); for trained models
    detailed_crops: bool = False  # every fourth step scores crops of a quarter of the width, mostly letters and faces
    san: bool = False  # heads end in a direction with its own loss (SAN, arXiv:2301.12811); not for trained heads
    second_network: bool = False  # add EfficientNet-Lite1 to Lite0 (docs/decisions/second-network.md)
    average_half_life: float = 20_000  # images
    decay: float = 0.3  # final part of the run in which the learning rate falls to 0


class Recipe(base.Recipe):
    Config = Config
    takes_labels = takes_mixtures = True
    inherited_settings = ("refined_from", "modulated", "san", "second_network")
    largest_auc = 0.99
    largest_gap = 5.0  # the hinge is flat from 2 on

    def build_networks(self) -> tuple[LiteGenerator, ProjectedDiscriminator]:
        # At input size 128 the frozen stem misses the finest texture of 128 px covers, which get a two-pixel emboss.
        size = self.config.discriminator_size or (192 if self.resolution >= 128 else 128)
        if self.config.detailed_crops and not is_cropped(self.resolution, size):
            raise ValueError(
                f"projected.detailed_crops must be left out at {self.resolution} px, where images are doubled in size "
                f"and not cropped; it is for a resolution above {size // 2}"
            )
        generator = LiteGenerator(
            self.resolution,
            self.config.latent_dim,
            classes=self.classes,
            class_counts=self.class_counts,
            mixtures=self.mixtures,
            refined_from=self.config.refined_from,
            modulated=self.config.modulated,
        )
        discriminator = ProjectedDiscriminator(
            input_size=size, classes=self.classes, san=self.config.san, second_network=self.config.second_network
        )
        maps = sum(mix.out_channels for mix in discriminator.scale_mixing)
        features = discriminator.backbone.head.weight.shape[0] + 4 * maps
        self.bank = MemoryBank(features)
        if self.config.coverage_weight:
            self.pool = LatentPool(self.config.latent_dim, features)
        return generator, discriminator

    def cast_frozen_weights(self, discriminator: ProjectedDiscriminator, dtype: torch.dtype) -> None:
        discriminator.hold_frozen_in(dtype)

    def compilable(self, generator: nn.Module, discriminator: ProjectedDiscriminator) -> list[nn.Module]:
        return [generator, *discriminator.backbones]

    def schedule(self, progress: float) -> base.Schedule:
        falling = min(1.0, (1 - progress) / self.config.decay) if self.config.decay else 1.0
        return base.Schedule(learning_rate=falling, average_half_life=self.config.average_half_life)

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        z = draw.normal("z", self.config.latent_dim)
        return z, *self.shown_labels(batch, draw, hidden=self.config.hidden_labels)

    def augmentation(self, images: Tensor, draw: Draw) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W), see `diff_augment`."""
        return diff_augment(images, draw, self.config.augmentation_share)

    def discriminator_terms(self, step: base.Step) -> dict[str, Tensor]:
        real, fake = self._features(step)
        hidden, step.scores = self._judge(step, real, [feature.detach() for feature in fake])
        terms = {"hinge": hinge_discriminator(*step.scores)}
        if self.config.san:
            real_score, fake_score = deinterleave(step.discriminator.direction_scores(hidden))
            terms["direction"] = fake_score.mean() - real_score.mean()
        return terms

    def generator_terms(self, step: base.Step) -> dict[str, Tensor]:
        _, (_, fake_scores) = self._judge(step, *self._features(step))
        terms = {"hinge": hinge_generator(fake_scores)}
        mixture, coverage = self.config.mixture_weight, self.config.coverage_weight
        if (mixture or coverage) and shows_whole(step.draw):
            rows = real, fake = self.traits(step)
            if mixture:
                terms["mixture"] = mixture * 2 * self.bank.witness(fake).mean()
            if coverage:
                terms["coverage"] = coverage * self._distance_to_nearest(step, real)
                z, labels = with_labels(*step.inputs)
                rows = *rows, z, labels[:, None]
            step.shared_rows = torch.cat(rows, 1).detach()
        return terms

    def after_generator_step(self, shared_rows: Tensor) -> None:
        features = self.bank.real.shape[1]
        real, fake, latents = shared_rows.tensor_split([features, 2 * features], dim=1)
        self.bank.add(real, fake)
        if self.config.coverage_weight:
            self.pool.add(latents[:, :-1], latents[:, -1], fake)

    def _distance_to_nearest(self, step: base.Step, real: Tensor) -> Tensor:
        """Distance of real covers, traits (B, D), to the nearest fakes of their label, which are generated again.

        The mean squared difference of standardized traits, (). Real covers whose label is not in the pool do not count;
        0 until the bank is full.
        """
        _, labels = with_labels(real, step.labels)
        targets = self.bank.standardized(real)
        nearest, exists = self.pool.nearest(targets, labels, self.bank.standardized)
        inputs = self.pool.z[nearest], self.pool.labels[nearest].clamp(min=0)
        fake = step.augment(step.generator(*inputs[: len(step.inputs)]).float())
        taps = step.discriminator.backbone_features(fake)
        drawn = self.bank.standardized(traits_of(step.discriminator, taps, step.discriminator.mix(taps)))
        distances = (drawn - targets).square().mean(1)
        return (distances * exists * self.bank.is_full()).sum() / exists.sum().clamp(min=1)

    def _features(self, step: base.Step) -> tuple[list[Tensor], list[Tensor]]:
        """Mixed features of real and fake images, computed once for both sides, since the backbone is frozen."""
        if "features" not in step.memo:
            size = step.discriminator.config.input_size
            detailed = self.config.detailed_crops
            real, fake = (random_view(step.augment(x), size, step.draw, detailed) for x in (step.real, step.fake))
            with torch.no_grad():
                real = step.discriminator.backbone_features(real)
            step.memo["backbone"] = real, step.discriminator.backbone_features(fake)
            step.memo["features"] = tuple(step.discriminator.mix(found) for found in step.memo["backbone"])
        return step.memo["features"]

    def traits(self, step: base.Step) -> list[Tensor]:
        """Of real and fake covers, (B, D) each: the backbone's mean last layer, and mean features of each quarter."""
        mixed = self._features(step)
        return [traits_of(step.discriminator, *pair) for pair in zip(step.memo["backbone"], mixed, strict=True)]

    @staticmethod
    def _judge(step: base.Step, real: list[Tensor], fake: list[Tensor]) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """Inputs of the last layers (see `interleave`), and logits of real and fake images, from one forward pass.

        In separate batches, BatchNorm would normalise both to mean 0 and variance 1, and so hide from the heads that
        the fakes are all alike (docs/decisions/real-and-fake-in-one-batch.md).
        """
        both = [interleave(*pair) for pair in zip(real, fake, strict=True)]
        labels = [interleave(label, label) for label in step.inputs[1:]]
        hidden = step.discriminator.hidden(both)
        return hidden, deinterleave(step.discriminator.score(hidden, *labels))


def interleave(real: Tensor, fake: Tensor) -> Tensor:
    """One batch of both, (B, ...) each -> (2 * B, ...): GROUP real ones, GROUP fake ones, and so on.

    BatchNorm and minibatch standard deviation treat these parts separately: a batch of 128 behaves like four of 32.
    """
    groups = groups_of(len(real))
    pairs = zip(real.chunk(groups), fake.chunk(groups), strict=True)
    return torch.cat([part for pair in pairs for part in pair])


def deinterleave(both: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `interleave` -> real, fake."""
    parts = both.chunk(2 * groups_of(len(both) // 2))
    return torch.cat(parts[0::2]), torch.cat(parts[1::2])


def with_labels(z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Latents (B, D) and labels (B,), which are 0 if there are none."""
    return z, torch.zeros(len(z), dtype=torch.long, device=z.device) if labels is None else labels


def traits_of(discriminator: ProjectedDiscriminator, taps: list[Tensor], mixed: list[Tensor]) -> Tensor:
    """Features to compare covers, (B, D): the first network's mean last layer, and its mean mixed maps by quarter."""
    return torch.cat([discriminator.backbone.summary(taps[:SCALES]), quarters(mixed[:SCALES])], 1)


def quarters(features: list[Tensor]) -> Tensor:
    """Maps (B, C, H, W) -> their means in each quarter of the picture, (B, 4 * C over all maps)."""
    halves = ((feature, [size // 2 for size in feature.shape[2:]]) for feature in features)
    split = (feature.unflatten(3, (2, width)).unflatten(2, (2, height)) for feature, (height, width) in halves)
    return torch.cat([maps.mean((3, 5), dtype=torch.float32).flatten(1) for maps in split], 1)


def is_cropped(resolution: int, size: int) -> bool:
    """Whether crops of images of `resolution` pixels are scored too: not where the discriminator, which enlarges them
    to `size` pixels, doubles them anyway.
    """
    return size < 2 * resolution


def shows_whole(draw: Draw) -> bool:
    """Whether this step's images are scored whole, whatever their size; otherwise see `random_view`."""
    return draw.step % 2 == 0


def random_view(images: Tensor, size: int, draw: Draw, detailed: bool = False) -> Tensor:
    """In every other step a random crop of half the size: (B, 3, H, W) -> (B, 3, H / 2, W / 2).

    Enlarged to the discriminator's `size` in pixels, a crop shows what the frozen network overlooks in a whole image:
    grain, letters, eyes (docs/decisions/looking-closer.md). If `detailed`, every fourth step's crop is a quarter of the
    size and where the image has most detail (`detailed_crops`).
    """
    if shows_whole(draw) or not is_cropped(images.shape[-1], size):
        return images
    if detailed and draw.step % 4 == 3:
        return detailed_crops(images, images.shape[-1] // 4, draw, "closest")
    return random_crops(images, images.shape[-1] // 2, draw, "closer")
