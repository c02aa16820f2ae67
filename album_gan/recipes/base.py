"""The recipe protocol: what the training loop asks of a GAN, and the defaults for what a GAN does not care about."""

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

SHARED = {"base", "losses", "augmentation", "named_random"}  # what recipes are made of; every other module here is one


@dataclass(frozen=True)
class Schedule:
    """What may change in the course of a run. `average_half_life` is in images."""

    learning_rate: float = 1.0  # factor on the optimisers' own
    average_half_life: float = 5_000
    beta2: float | None = None  # of Adam, in both optimisers; None leaves the optimisers' own


@dataclass
class Step:
    """One batch on its way through both networks. Images are (B, 3, H, W) in [-1, 1]."""

    real: Tensor
    fake: Tensor
    inputs: tuple[Tensor, ...]  # what `fake` was drawn from: latents, and labels where the recipe shows any
    generator: nn.Module
    discriminator: nn.Module
    draw: Draw
    progress: float  # 0 to 1
    labels: Tensor | None = None  # (B,) of the real images, 0 where unknown; None without a column of labels
    augmentation: Callable[[Tensor, Draw], Tensor] | None = None
    rows_for_all: Tensor | None = None  # (B, D): see `Recipe.after_generator_step`
    memo: dict[str, Any] = field(default_factory=dict)  # for what both sides' terms would compute twice
    scores: tuple[Tensor, Tensor] | None = None  # what the discriminator said of real and fake, noted for alarms

    def augment(self, images: Tensor) -> Tensor:
        """The recipe's augmentation, the same for whatever images it is given in this step."""
        return images if self.augmentation is None else self.augmentation(images, self.draw)

    def discriminate(self, images: Tensor) -> Tensor:
        """The discriminator's logits for augmented images, under the labels that the fakes were drawn for."""
        return self.discriminator(self.augment(images), *self.inputs[1:])

    def opinions(self) -> tuple[Tensor, Tensor]:
        """The logits of real and of fake images, for the discriminator's side: none reaches the generator."""
        self.scores = self.discriminate(self.real), self.discriminate(self.fake.detach())
        return self.scores


class Recipe(nn.Module):
    """Base of all recipes. Buffers are all that a recipe remembers, and are checkpointed."""

    Config: type
    smallest_resolution = 32
    largest_resolution = 512
    discriminator_steps = 1  # per generator step
    augmentation: Callable[[Tensor, Draw], Tensor] | None = None
    takes_labels = False
    takes_mixtures = False  # whether its seeds can draw their classes from `mixtures`
    taken_over: tuple[str, ...] = ()  # settings that a run takes from the generator it starts from, unless it sets them
    averaged_buffers: tuple[str, ...] = ()  # those that each process measures on its own images
    average_half_life: float = 5_000  # images, of the published average of the generator's weights; 0: none
    # Beyond these the discriminator is too far ahead. Where a loss saturates: the share of pairs that it tells apart,
    # and how far apart it scores them; where scores may diverge, the latter alone.
    largest_auc: float | None = None
    largest_gap: float | None = None
    classes: tuple[str, ...] = ()  # of the covers, label n is classes[n - 1]; set before the networks are built
    class_counts: tuple[int, ...] = ()  # training covers with label 0 (of no class), 1, ...; set together with them
    mixtures: Mapping[str, Sequence[int]] | None = None  # the same, of the covers under each name of another column

    def __init__(self, config: Any, resolution: int):
        super().__init__()
        low, high = self.smallest_resolution, self.largest_resolution
        if resolution not in [2**n for n in range(12)] or not low <= resolution <= high:
            nearest = min((2**n for n in range(12) if low <= 2**n <= high), key=lambda r: abs(r - resolution))
            raise ValueError(
                f"resolution must be a power of two from {low} to {high} for recipe "
                f"{type(self).__module__.rpartition('.')[2]}, got {resolution}; choose {nearest}"
            )
        self.config = config
        self.resolution = resolution

    def build_networks(self) -> tuple[ModelMixin, ModelMixin]:
        """Generator and discriminator, freshly initialised from torch's global generator."""
        raise NotImplementedError

    def optimizers(
        self, generator: nn.Module, discriminator: nn.Module
    ) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """For the generator and the discriminator; by default Adam for both, as `config` sets it."""
        config = self.config
        betas = (config.beta1, config.beta2)
        return adam(generator, config.learning_rate, betas), adam(discriminator, config.learning_rate, betas)

    def schedule(self, progress: float) -> Schedule:
        """What holds at `progress` (0 to 1) of the run."""
        return Schedule(average_half_life=self.average_half_life)

    def generator_inputs(self, batch: dict[str, Tensor], draw: Draw) -> tuple[Tensor, ...]:
        """Arguments of the generator for one batch: latents, labels, codes; by default latents alone."""
        return (draw.normal("z", self.config.latent_dim),)

    def shown_labels(self, batch: dict[str, Tensor], draw: Draw, hidden: float) -> tuple[Tensor, ...]:
        """The batch's labels (B,), a share of them hidden as 0, "any"; nothing where the covers have no classes."""
        if not self.classes:
            return ()
        if "labels" not in batch:
            return (torch.zeros(draw.rows.stop - draw.rows.start, dtype=torch.long, device=draw.device),)
        return (batch["labels"].masked_fill(draw.uniform("hidden labels") < hidden, 0),)

    def discriminator_terms(self, step: Step) -> dict[str, Tensor]:
        """Named, weighted scalars whose sum the discriminator minimises; none reaches the generator. Notes scores."""
        raise NotImplementedError

    def generator_terms(self, step: Step) -> dict[str, Tensor]:
        """Named, weighted scalars whose sum the generator minimises."""
        raise NotImplementedError

    def after_discriminator_step(self, step: Step) -> None:
        """Clipping, balances, historical averages."""

    def after_generator_step(self, rows: Tensor) -> None:
        """Gets what `generator_terms` left in `step.rows_for_all`, (B, D), of the whole batch of all processes.

        It travels with the gradients: a collective of its own would hold up every step.
        """

    def compilable(self, generator: nn.Module, discriminator: nn.Module) -> list[nn.Module]:
        """What `torch.compile` can take: no discriminator whose slope is penalised, which needs second derivatives."""
        return [generator]

    def prepare(self, discriminator: nn.Module, dtype: torch.dtype) -> None:
        """Once, before the first step: hold what is frozen in the `dtype` of autocast."""


def adam(network: nn.Module, learning_rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam over what trains in `network`; where the device has it, in one kernel for all of it."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    fused = trainable[0].device.type in ("cpu", "cuda", "mps")
    return torch.optim.Adam(trainable, lr=learning_rate, betas=betas, fused=fused, foreach=not fused)


def recipe_names() -> list[str]:
    """All recipes, found by looking into the package."""
    package = importlib.import_module("album_gan.recipes")
    return sorted({module.name for module in pkgutil.iter_modules(package.__path__)} - SHARED)


def recipe_module(name: str) -> ModuleType:
    """The module of recipe `name`, with its `Config` and `Recipe`; ValueError for an unknown one."""
    if name not in recipe_names():
        raise ValueError(f"recipe must be one of {', '.join(recipe_names())}, got {name!r}")
    return importlib.import_module(f"album_gan.recipes.{name}")


def recipe_modules() -> Iterator[tuple[str, ModuleType]]:
    """Name and module of every recipe."""
    for name in recipe_names():
        yield name, recipe_module(name)
