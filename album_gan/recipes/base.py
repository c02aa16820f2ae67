"""The recipe protocol: what the training loop needs from a GAN, with defaults."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..light_diffusers import ModelMixin
from .named_random import Draw

# Shared by recipes; every other module here is a recipe.
SHARED = {"base", "losses", "augmentation", "memory", "named_random"}
SMALLEST_RESOLUTION = 32  # of every recipe


@dataclass(frozen=True)
class Schedule:
    """Values that may change during a run. `average_half_life` is in images."""

    learning_rate: float = 1.0  # multiplies the optimisers' own
    average_half_life: float = 5_000
    beta2: float | None = None  # of Adam, in both optimisers; None keeps the optimisers' own


@dataclass
class Step:
    """One batch and what its loss terms need. Images are (B, 3, H, W) in [-1, 1]."""

    real: Tensor
    fake: Tensor
    inputs: tuple[Tensor, ...]  # the generator's inputs for `fake`: latents, and labels if the recipe uses any
    generator: nn.Module
    discriminator: nn.Module
    draw: Draw
    progress: float  # 0 to 1
    labels: Tensor | None = None  # (B,) of the real images, 0 if unknown; None without a label column
    augmentation: Callable[[Tensor, Draw], Tensor] | None = None
    shared_rows: Tensor | None = None  # (B, D): see `Recipe.after_generator_step`
    memo: dict[str, Any] = field(default_factory=dict)  # results shared by both sides' terms
    scores: tuple[Tensor, Tensor] | None = None  # discriminator outputs for real and fake, kept for alarms

    def augment(self, images: Tensor) -> Tensor:
        """Apply the recipe's augmentation, with the same random draw for all images of this step."""
        return images if self.augmentation is None else self.augmentation(images, self.draw)

    def discriminate(self, images: Tensor) -> Tensor:
        """The discriminator's logits for augmented images, conditioned on the labels of the fakes."""
        return self.discriminator(self.augment(images), *self.inputs[1:])

    def score_real_and_fake(self) -> tuple[Tensor, Tensor]:
        """Logits of real and of detached fake images; also stored in `scores`."""
        self.scores = self.discriminate(self.real), self.discriminate(self.fake.detach())
        return self.scores


class Recipe(nn.Module):
    """Base class of all recipes. All state of a recipe is in buffers, which are checkpointed."""

    Config: type
    largest_resolution = 512
    discriminator_steps = 1  # per generator step
    augmentation: Callable[[Tensor, Draw], Tensor] | None = None
    takes_labels = False
    without_labels: str | None = None  # the recipe that this one is without a label column
    takes_mixtures = False  # whether seeds can draw their classes from `mixtures`
    inherited_settings: tuple[str, ...] = ()  # from the initial model, if left at their defaults
    averaged_buffers: tuple[str, ...] = ()  # buffers to average over processes
    average_half_life: float = 5_000  # images, of the EMA of the generator's weights, which is published; 0: none
    zero_is_threshold = True  # whether a score above 0 means "real"; not where scores only rank, or are errors
    # Limits beyond which the discriminator is too far ahead: its AUC and the gap between its mean scores for losses
    # that saturate, the gap alone where scores may diverge.
    largest_auc: float | None = None
    largest_gap: float | None = None
    classes: tuple[str, ...] = ()  # label n is classes[n - 1]; set before the networks are built
    class_counts: tuple[int, ...] = ()  # training covers with label 0 (no class), 1, ...; set together with `classes`
    mixtures: Mapping[str, Sequence[int]] | None = None  # such counts for each value of the mixture column

    def __init__(self, config: Any, resolution: int):
        super().__init__()
        low, high = SMALLEST_RESOLUTION, self.largest_resolution
        if resolution not in [2**n for n in range(12)] or not low <= resolution <= high:
            nearest = min((2**n for n in range(12) if low <= 2**n <= high), key=lambda r: abs(r - resolution))
            raise ValueError(
                f"resolution must be a power of two from {low} to {high} for recipe "
                f"{type(self).__module__.rpartition('.')[2]}, got {resolution}; choose {nearest}"
            )
        self.config = config
        self.resolution = resolution

    def build_networks(self) -> tuple[ModelMixin, ModelMixin]:
        """Generator and discriminator, newly initialised from torch's global generator."""
        raise NotImplementedError

    def optimizers(
        self, generator: nn.Module, discriminator: nn.Module
    ) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Optimisers of generator and discriminator; by default Adam for both, with the settings of `config`."""
        config = self.config
        betas = (config.beta1, config.beta2)
        return adam(generator, config.learning_rate, betas), adam(discriminator, config.learning_rate, betas)

    def schedule(self, progress: float) -> Schedule:
        """The schedule's values at `progress` (0 to 1) of the run."""
        return Schedule(average_half_life=self.average_half_life)

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        """The generator's arguments for one batch: latents, labels, codes; by default only latents."""
        return (draw.normal("z", self.config.latent_dim),)

    def shown_labels(self, batch: dict[str, Tensor], draw: Draw, hidden: float) -> tuple[Tensor, ...]:
        """The batch's labels (B,), each replaced by 0, "any", with probability `hidden`; () without classes."""
        if not self.classes:
            return ()
        if "labels" not in batch:
            return (torch.zeros(draw.rows.stop - draw.rows.start, dtype=torch.long, device=draw.device),)
        return (batch["labels"].masked_fill(draw.uniform("hidden labels") < hidden, 0),)

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        """Named, weighted scalars whose sum the discriminator minimises, for detached fakes. Sets `step.scores`."""
        raise NotImplementedError

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        """Named, weighted scalars whose sum the generator minimises."""
        raise NotImplementedError

    def after_initialization(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Hook called once the networks have their initial weights: random, or those of a trained model."""

    def after_discriminator_step(self, parts: Sequence[Step]) -> None:
        """Hook for weight clipping, balance updates, historical averages; `parts` are those of the batch."""

    def after_generator_step(self, shared_rows: Tensor) -> None:
        """Hook that receives `step.shared_rows`, as set by `generator_terms`, (B, D), of all processes' batches.

        They are gathered while the gradients are averaged, so that no step waits for them.
        """

    def compilable(self, generator: nn.Module, discriminator: nn.Module) -> list[nn.Module]:
        """Modules for `torch.compile`: not discriminators with a gradient penalty, which needs second derivatives."""
        return [generator]

    def cast_frozen_weights(self, discriminator: nn.Module, dtype: torch.dtype) -> None:
        """Called once, before the first step: cast frozen weights to the `dtype` of autocast."""


def adam(network: nn.Module, learning_rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam for the trainable parameters of `network`; fused where the device supports it."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    fused = trainable[0].device.type in ("cpu", "cuda", "mps")
    return torch.optim.Adam(trainable, lr=learning_rate, betas=betas, fused=fused, foreach=not fused)


def recipe_names() -> list[str]:
    """All recipes, found by listing the package."""
    package = importlib.import_module("album_gan.recipes")
    return sorted({module.name for module in pkgutil.iter_modules(package.__path__)} - SHARED)


def recipe_module(name: str) -> ModuleType:
    """The module of recipe `name`, with its `Config` and `Recipe`; ValueError for an unknown name."""
    if name not in recipe_names():
        raise ValueError(f"recipe must be one of {', '.join(recipe_names())}, got {name!r}")
    return importlib.import_module(f"album_gan.recipes.{name}")


def recipe_modules() -> Iterator[tuple[str, ModuleType]]:
    """Name and module of every recipe."""
    for name in recipe_names():
        yield name, recipe_module(name)
