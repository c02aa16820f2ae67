"""Everything that changes during training, and so is in a checkpoint."""

import copy
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ..light_diffusers import ModelMixin
from ..recipes.base import Recipe, Schedule
from ..recipes.named_random import named_generator
from .background import BackgroundWriter
from .checkpoint import load_checkpoint, save_checkpoint, snapshot
from .config import TrainingConfig
from .distributed import broadcast_weights
from .duration import Duration
from .packaging import load_initial_weights
from .watching.term_means import TermMeans

WARM_UP_STEPS = 1_000  # of the learning rate, for runs that start from a trained model; a tenth of a shorter run


@dataclass
class TrainingState:
    """Networks, weight average, optimisers and counters of a run."""

    recipe: Recipe
    generator: ModelMixin
    discriminator: ModelMixin
    average: ModelMixin  # EMA of the generator, which is published
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    duration: Duration
    warm_up_steps: int = 0
    run_id: str = ""  # the same before and after resuming
    step: int = 0
    images: int = 0  # shown to the discriminator
    terms: TermMeans = field(default_factory=TermMeans)  # since the last log line
    writer: BackgroundWriter = field(default_factory=BackgroundWriter)

    def __post_init__(self) -> None:
        self._base_rates = [group["lr"] for group in self._parameter_groups()]
        self._started = time.monotonic()

    @classmethod
    def start(
        cls, config: TrainingConfig, recipe: Recipe, accelerator: Accelerator, resumes: bool = False, fit: bool = True
    ) -> "TrainingState":
        """A run at step 0: newly initialised, or with the weights of `config.init_from`.

        These are not loaded if the run `resumes`, since a checkpoint will replace them. `fit`: as in
        `load_initial_weights`.
        """
        with torch.random.fork_rng():
            torch.manual_seed(named_generator(config.seed, "initial weights").initial_seed())
            generator, discriminator = recipe.build_networks()
        modules: tuple[nn.Module, ...] = (generator, discriminator, recipe)
        for module in modules:
            module.to(accelerator.device)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch documents it
        if config.init_from and not resumes:
            with accelerator.autocast():
                load_initial_weights(config.init_from, generator, discriminator, fit)
        recipe.after_initialization(generator, discriminator)
        for module in modules:
            broadcast_weights(accelerator, module)
        if accelerator.mixed_precision == "bf16":
            recipe.cast_frozen_weights(discriminator, torch.bfloat16)
        average = copy.deepcopy(generator).requires_grad_(False)
        if config.compile:
            for part in recipe.compilable(generator, discriminator):
                part.compile()
        networks = (generator.train(), discriminator.train(), average)
        duration = Duration(config.max_train_steps, config.minutes)
        warm_up_steps = min(WARM_UP_STEPS, math.ceil(duration.most_steps / 10)) if config.init_from else 0
        optimizers = recipe.optimizers(generator, discriminator)
        return cls(recipe, *networks, *optimizers, duration, warm_up_steps, secrets.token_hex(4))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Modules whose state is in checkpoints."""
        names = ("generator", "discriminator", "average", "recipe")
        return {name: getattr(self, name) for name in names}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers whose state is in checkpoints."""
        return {name: getattr(self, name) for name in ("generator_optimizer", "discriminator_optimizer")}

    @property
    def progress(self) -> float:
        """Progress of the run before the next step, 0 to 1."""
        return self.duration.progress(self.step)

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before resuming."""
        return time.monotonic() - self._started

    def set_learning_rates(self, schedule: Schedule) -> None:
        """Set the next step's learning rates: the optimisers' own, times the factors of schedule and warm-up."""
        warm_up = min(1.0, (self.step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        if self.duration.seconds:  # the number of steps in a tenth of the run is unknown
            warm_up = min(1.0, max(warm_up, 10 * self.progress))
        for group, rate in zip(self._parameter_groups(), self._base_rates, strict=True):
            group["lr"] = rate * warm_up * schedule.learning_rate
            if schedule.beta2 is not None:
                group["betas"] = (group["betas"][0], schedule.beta2)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Read each time, because loading an optimiser's state replaces its groups."""
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def save(
        self,
        folder: Path,
        settings: dict[str, Any],
        write_beside: Callable[[Path], object] | None = None,
        when_written: Callable[[], None] | None = None,
    ) -> None:
        """Write a checkpoint in the background, then call `when_written`.

        With `write_beside`, which writes more files into the folder that it is given, this waits, since those may hold
        state that the next step changes. Waits for the previous write, and raises its error; errors as in
        `save_checkpoint`.
        """
        self.writer.wait()
        record = {
            "step": self.step, "images": self.images, "seconds": self.seconds, "run_id": self.run_id,
            "warm_up_steps": self.warm_up_steps, "terms": self.terms.sums(), "config": settings,
        }  # fmt: skip
        tensors = snapshot(self.modules, self.optimizers)

        def write() -> None:
            save_checkpoint(folder, tensors, record, write_beside)
            if when_written is not None:
                when_written()

        if write_beside is None:
            self.writer.start(write)
        else:
            write()

    def load(self, folder: Path, record: dict[str, Any]) -> None:
        """Resume from a checkpoint whose JSON part is `record`. ValueError if it does not fit."""
        load_checkpoint(folder, self.modules, self.optimizers)
        self.step, self.images = record["step"], record["images"]
        self._started = time.monotonic() - record["seconds"]
        self.run_id = record.get("run_id", self.run_id)
        before_it_was_recorded = WARM_UP_STEPS if record["config"].get("init_from") else 0
        self.warm_up_steps = record.get("warm_up_steps", before_it_was_recorded)
        self.duration.resume(self.step, record["seconds"])
        self.terms = TermMeans(record.get("terms"))
