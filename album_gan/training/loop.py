"""The training loop. It is independent of the GAN: networks and losses are in `recipes/`.

`train` sets up a run, iterates over `Trainer.steps`, and writes a model. Logging, samples, alarms and saving happen
between steps, in `run.py`.
"""

import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from .. import runtime
from ..covers.batches import StepSampler, batches
from ..covers.dataset import Batch, Split, load_covers
from ..hub.push import open_repository
from ..inference.pixels import to_unit_range
from ..recipes.base import Recipe, Schedule, Step
from ..recipes.named_random import Draw, DrawPlan
from .config import TrainingConfig
from .distributed import (
    StopTogether,
    average_buffers,
    is_first_process,
    of_first_process,
    rows_of_process,
    start_processes,
)
from .ema import update_average
from .gradients import GradientAverage, own_rows
from .packaging import inherit_settings
from .run import Run
from .run_folder import claimed, find_checkpoint, refuse_other_networks, refuse_to_overwrite
from .signals import lasting_output, stop_signals
from .state import TrainingState
from .watching.step_result import StepResult, mean_terms


def train(config: TrainingConfig, recipe_config: Any = None) -> Path:
    """Train, and return the folder of the model, which `AlbumCoverPipeline.from_pretrained` loads.

    SIGINT, SIGTERM and SIGHUP end the run after the current step, with a checkpoint and a model. Raises ValueError for
    unusable settings or data, before anything is written, and for losses that are no longer finite; OSError for a full
    disk, and if another process of the training is lost. Files already written stay complete.
    """
    # --- Setup: settings, covers, processes, networks
    runtime.keep_freed_memory()
    recipe = config.build_recipe(recipe_config)
    with lasting_output(), claimed(Path(config.output_dir)) if is_first_process() else nullcontext():
        checkpoint = find_checkpoint(config)
        if checkpoint is None:
            refuse_to_overwrite(config)
        else:
            refuse_other_networks(checkpoint, config)
        if config.push_to_hub and config.hub_model_id and is_first_process():
            open_repository(  # fail now, not after hours
                config.hub_model_id, data_rights=config.data_rights, license=config.license
            )
        split, accelerator, state = set_up(config, recipe, checkpoint)
        # The others did not wait until an earlier run let go of the folder, so they may have found an older one.
        checkpoint = of_first_process(checkpoint)
        run = Run(config, state, split, accelerator)
        if checkpoint is None:
            run.begin()
        else:
            run.resume(checkpoint)

        # --- Training
        trainer = Trainer(config, state, split, accelerator)
        bar = tqdm(
            total=state.duration.known_end, initial=state.step, desc="training", unit="step", disable=not run.main
        )
        with stop_signals() as stop, bar, state.writer, closing(trainer):
            for result in trainer.steps(stop):
                run.watch(result, bar)
                if state.step % config.checkpointing_steps == 0:
                    run.save_checkpoint()
            run.check_written()  # before a signal ends the process again

        # --- Write the model of the finished or interrupted run
        run.finish()
        return Path(config.output_dir)


def set_up(
    config: TrainingConfig, recipe: Recipe, checkpoint: Path | None = None, fit: bool = True
) -> tuple[Split, Accelerator, TrainingState]:
    """Covers, processes and networks at step 0, with the checkpoint's architecture. Errors as in `train`.

    `fit`: as in `load_initial_weights`.
    """
    inherit_settings(recipe, config, checkpoint)
    split = load_covers(config.source)
    recipe.classes = split.train.classes[1:]
    len(split.train)  # decodes the covers, before processes wait for each other with a time-out
    if split.train.labels is not None:
        recipe.class_counts = tuple(split.train.labels.bincount(minlength=len(split.train.classes)).tolist())
        recipe.mixtures = split.train.mixtures
    accelerator = start_processes(config)
    return split, accelerator, TrainingState.start(config, recipe, accelerator, checkpoint is not None, fit)


class Trainer:
    """Performs training steps: discriminator updates, generator update, weight averaging."""

    def __init__(self, config: TrainingConfig, state: TrainingState, split: Split, accelerator: Accelerator):
        self.config, self.state, self.accelerator = config, state, accelerator
        self.recipe, self.device = state.recipe, accelerator.device
        self.parts = config.gradient_accumulation_steps
        self.turns = self.recipe.discriminator_steps
        self.share_fakes = self.turns == 1 and self.parts == 1  # one set of fakes per step saves a generator pass
        self.batch_size = config.train_batch_size * self.parts * accelerator.num_processes
        self.rows = rows_of_process(accelerator, config.train_batch_size, self.parts)
        first, last = state.step * self.turns, state.duration.most_steps * self.turns
        self.sampler = StepSampler(len(split.train), self.batch_size, self.rows, config.seed, first, last)
        processes = accelerator.process_index, accelerator.num_processes
        self.batches: Iterator[Batch] = batches(
            split.train, self.sampler, config.dataloader_num_workers, *processes, accelerator.device
        )
        self.trained = [p for p in state.discriminator.parameters() if p.requires_grad]
        self.plan = DrawPlan()
        self.discriminator_average = GradientAverage(accelerator, state.discriminator)
        # A recipe may have its own network that is trained with the generator.
        self.generator_average = GradientAverage(accelerator, state.generator, state.recipe)
        self.stop_together = StopTogether(accelerator)

    def close(self) -> None:
        """End the data loader's workers; no further step is possible.

        Workers ignore signals, and Python waits for them at exit: for ever if their loader is still referenced, as by
        the traceback of an error that the run has kept.
        """
        self.batches = iter(())

    def steps(self, stop: object = False) -> Iterator[StepResult]:
        """Train until the end of the run, and yield a result after each step.

        Ends earlier once `stop` is true on any process: after this step, or after the next with several processes.
        Raises ValueError for a batch that does not fit into the GPU's memory.
        """
        state = self.state
        while state.step < state.duration.end and not self.stop_together.agreed(stop):
            try:
                result = self._step(stop)
            except torch.OutOfMemoryError as error:
                raise ValueError(
                    f"train_batch_size {self.config.train_batch_size} does not fit into the GPU's memory; lower it, "
                    "and raise gradient_accumulation_steps in return"
                ) from error
            yield result

    def _step(self, stop: object) -> StepResult:
        """One step of the run: all updates of the discriminator, one of the generator, and of its average."""
        schedule = self.recipe.schedule(self.state.progress)
        self.state.set_learning_rates(schedule)
        result = StepResult({}, {}, [])
        for turn in range(self.turns):
            latest = self.update_discriminator(turn, result)
        self.update_generator(latest, result, stop)
        self.average_weights(schedule)
        return result

    def update_discriminator(self, turn: int, result: StepResult) -> list[tuple[Step, dict[str, Tensor]]]:
        """One update, accumulated over all parts of a batch; returns the parts, for the generator's update."""
        recipe, state, latest, terms = self.recipe, self.state, [], []
        for part in range(self.parts):
            batch = self._next_batch(result)
            step = self._prepare(batch, part, f"discriminator {turn}", with_graph=self.share_fakes)
            with self.accelerator.autocast():
                terms.append(recipe.discriminator_terms(step))
            self._backward(terms[-1], part, self.discriminator_average)
            latest.append((step, batch))
        self.discriminator_average.finish()
        state.discriminator_optimizer.step()
        state.discriminator_optimizer.zero_grad()
        recipe.after_discriminator_step([step for step, _ in latest])
        average_buffers(self.accelerator, recipe, recipe.averaged_buffers)
        result.discriminator_terms = mean_terms(terms)
        result.scores = [step.scores for step, _ in latest]
        return latest

    def update_generator(
        self, latest: list[tuple[Step, dict[str, Tensor]]], result: StepResult, stop: object = False
    ) -> None:
        """One update against the current discriminator, whose parameters get no gradients."""
        recipe, state, rows, terms = self.recipe, self.state, [], []
        for parameter in self.trained:
            parameter.requires_grad_(False)
        for part, (step, batch) in enumerate(latest):
            if not self.share_fakes:
                step = self._prepare(batch, part, "generator", with_graph=True)
            with self.accelerator.autocast():
                terms.append(recipe.generator_terms(step))
            self._backward(terms[-1], part, self.generator_average)
            if step.shared_rows is not None:
                rows.append(step.shared_rows)
        for parameter in self.trained:
            parameter.requires_grad_(True)
        result.generator_terms = mean_terms(terms)
        self._finish_generator(rows, stop)
        state.generator_optimizer.step()
        state.generator_optimizer.zero_grad()

    def _finish_generator(self, rows: list[Tensor], stop: object) -> None:
        """Wait for the averaged gradients and the data sent along with them: rows for all processes, stop votes."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        parts = [own_rows(torch.cat(rows), process, processes)] if rows else []
        beside = torch.cat([self.stop_together.vote(stop), *(part.flatten() for part in parts)])
        self.generator_average.finish(beside)
        self.stop_together.note(beside[:1])
        if parts:
            self.recipe.after_generator_step(beside[1:].view_as(parts[0]))

    def _backward(self, terms: dict[str, Tensor], part: int, average: GradientAverage) -> None:
        """Backpropagate the sum of all terms, divided by the number of parts of a batch."""
        total = torch.stack([term.float() for term in terms.values()]).sum() / self.parts
        with average.overlapping() if part == self.parts - 1 else nullcontext():
            total.backward()

    def average_weights(self, schedule: Schedule) -> None:
        """Count the step, and update the EMA of the generator, which is published.

        Until 5 % of the images exceed the recipe's half-life, this is a power-function EMA with exponent 12.9 (Karras
        et al. 2024, arXiv:2312.02696, Eq. 4): it soon forgets the initial noise.
        """
        state, images = self.state, self.batch_size * self.turns
        state.images += images
        state.step += 1
        half_life = min(schedule.average_half_life, 0.05 * state.images)
        update_average(state.average, state.generator, images, half_life)

    def _next_batch(self, result: StepResult) -> dict[str, Tensor]:
        """Real images in [-1, 1], and labels if the covers have classes."""
        started = time.monotonic()
        pixels, labels = next(self.batches)
        result.seconds_waited += time.monotonic() - started
        batch = {"images": to_unit_range(pixels.to(self.device, non_blocking=True))}
        if labels is not None:
            batch["labels"] = labels.to(self.device, non_blocking=True)
        result.real.append(batch["images"])
        return batch

    def _prepare(self, batch: dict[str, Tensor], part: int, turn: str, with_graph: bool) -> Step:
        """Generate fakes for a batch."""
        state = self.state
        rows = self.rows[part]
        draw = Draw(self.config.seed, state.step, self.batch_size, rows, self.device, turn, self.plan)
        inputs = self.recipe.generator_inputs(batch, draw)
        with torch.set_grad_enabled(with_graph), self.accelerator.autocast():
            fake = state.generator(*inputs).float()
        return Step(
            real=batch["images"], fake=fake, inputs=inputs, generator=state.generator,
            discriminator=state.discriminator, draw=draw, progress=state.progress,
            labels=batch.get("labels"), augmentation=self.recipe.augmentation,
        )  # fmt: skip
