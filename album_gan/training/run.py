"""Everything around the steps of a run: starting or resuming, logging, saving, finishing."""

import math
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from .. import runtime
from ..covers.dataset import Split
from ..covers.labels import find_label_column
from ..hub.push import push
from ..hub.run_checkpoints import latest_checkpoint, read_state, take_log
from ..light_diffusers import ModelMixin
from .advice import advice
from .checkpoint import rotate_checkpoints
from .config import TrainingConfig
from .distributed import any_process, check_same_weights, of_first_process, precision_name
from .packaging import STATISTICS_BATCH_SIZE, STATISTICS_BATCHES, as_published, save_model
from .run_folder import changes, clear_folder, refuse_another_run, set_aside_newer
from .state import TrainingState
from .watching.alarms import Alarm, unwritten_alarm, unwritten_best_alarm
from .watching.monitor import PREVIEW_BATCHES, Monitor
from .watching.step_result import StepResult

FIRST_LOGGED = (1, 2, 5, 10, 20)  # steps, so that the page soon has curves


class Run:
    """Everything around the steps of a run: starting or resuming, logging, saving, finishing."""

    def __init__(self, config: TrainingConfig, state: TrainingState, split: Split, accelerator: Accelerator):
        self.config, self.state, self.split, self.accelerator = config, state, split, accelerator
        self.output_dir = Path(config.output_dir)
        self.main = accelerator.is_main_process
        self.labels = split.train.labels
        self.unwritten: OSError | None = None  # why the last checkpoint could not be written
        batch_size = config.train_batch_size * config.gradient_accumulation_steps * accelerator.num_processes
        self.settings = {
            **config.settings(state.recipe), "batch_size": batch_size, "covers": split.train.count,
            "classes": list(state.recipe.classes),
        }  # fmt: skip

    def begin(self) -> None:
        """Start a new run in an empty folder."""
        if self.main:
            clear_folder(self.config)
        if self.config.resume_from_checkpoint:
            self.accelerator.print(f"no checkpoint in {self.output_dir} yet, starting a new run")
        self._open()
        if self.main:
            self._sample([])

    def resume(self, checkpoint: Path) -> None:
        """Resume from a checkpoint, and print changed settings."""
        record = read_state(checkpoint)
        refuse_another_run(self.output_dir, record)
        self.accelerator.print(f"resuming from {checkpoint}")
        for change in changes(record["config"], self.settings):
            self.accelerator.print(change)
        self.state.load(checkpoint, record)
        if self.state.step >= self.state.duration.end:
            more = "max_train_steps" if self.config.minutes is None else "minutes"
            self.accelerator.print(
                f"this run has already completed its {self.state.step:,} steps; to train longer, raise --{more}"
            )
        if self.main:
            take_log(checkpoint, self.output_dir)
            for folder in set_aside_newer(self.output_dir, self.state.step):
                print(f"a later checkpoint of this run is now {folder}; delete it once you do not need it")
        self._open()

    def watch(self, result: StepResult, bar: tqdm) -> None:
        """Log, draw samples and evaluate after a step, as far as due."""
        state = self.state
        state.terms.add(result.terms())
        if self.main:
            self.monitor.observe(result)
        bar.update()
        if state.duration.due(state.step, self.config.logging_steps):
            state.duration.read_clock(state.step, of_first_process(state.seconds))
            bar.total = state.duration.known_end
        if state.step % self.config.logging_steps == 0 or state.step in FIRST_LOGGED:
            means = state.terms.read()
            broken = [name for name, value in means.items() if not math.isfinite(value)]
            stops = any_process(self.accelerator, bool(broken))
            if self.main:
                if not state.writer.busy:
                    self.check_written()
                self.monitor.log(state.images, state.step, means)
                short = {name.replace("iscriminator", "").replace("enerator", ""): v for name, v in means.items()}
                bar.set_postfix({**short, "images": f"{state.images:,}"})
            if stops:
                where = f": {', '.join(broken)}" if broken else " on another process"
                raise ValueError(f"a loss is no longer finite{where}")
        if self.main and self.monitor.preview_due():
            self.monitor.preview(state.images, partial(self._published, PREVIEW_BATCHES))
        if self.main and self.monitor.fits(state.images):
            self._sample(result.scores)

    def save_checkpoint(self, wait: bool = False) -> None:
        """Save a complete checkpoint; the first process writes it in the background, unless `wait`.

        If it cannot be written, an alarm follows, and the next one is another attempt.
        """
        state = self.state
        check_same_weights(self.accelerator, state.generator, state.discriminator, state.recipe)
        failure: Exception | None = None
        if self.main:
            try:
                self.monitor.check_weights(state.images, state.generator, state.discriminator)
                self.check_written()
                self.unwritten = None
                folder = self.output_dir / f"checkpoint-{state.step}"
                state.save(folder, self.settings, when_written=self._rotate)
                if wait:
                    self.check_written()
            except (OSError, ValueError) as error:
                failure = error
        if any_process(self.accelerator, failure is not None):
            raise failure or OSError("the first process could not write a checkpoint; its own output says why")

    def check_written(self) -> None:
        """Wait for the checkpoint being written, and raise an alarm if it cannot be. Other processes write none."""
        try:
            self.state.writer.wait()
        except OSError as error:
            self.unwritten = error
            self._alarm(unwritten_alarm(error))

    def _alarm(self, alarm: Alarm) -> None:
        self.monitor.alarm(self.state.images, alarm)

    def _rotate(self) -> None:
        """Delete old checkpoints; those that cannot be deleted stay."""
        try:
            rotate_checkpoints(self.output_dir, self.config.checkpoints_total_limit)
        except OSError as error:
            print(f"an old checkpoint could not be deleted: {error}")

    def write_model(self, published: ModelMixin, folder: Path) -> ModelMixin:
        """Write `_published` and the discriminator as a model; returns the network as loaded from it."""
        state = self.state
        record = {
            "images": state.images, "steps": state.step, "hours": round(state.seconds / 3600, 3),
            "held_out": len(self.split.held_out),
            "hardware": runtime.hardware(self.accelerator.device.type, self.accelerator.num_processes), **self.settings,
        }  # fmt: skip
        return save_model(folder, published, state.discriminator, record)

    def finish(self) -> None:
        """Write the model, and publish it if requested and the run is finished.

        Raises OSError at the end if the last checkpoint could not be written.
        """
        if self.state.step % self.config.checkpointing_steps:
            self.save_checkpoint(wait=True)
        if self.main:
            self.check_written()
            published = self._published(self._statistics_batches())
            try:
                self.monitor.finish(self.state.images, self.write_model(published, self.output_dir))
            except OSError as error:
                if self.unwritten:
                    raise OSError(f"{error}; {self._unresumable()}") from error
                raise
            stopped = self.state.step < self.state.duration.end
            if stopped:
                end = self.state.duration.known_end
                of = f" of {end:,}" if end else ""
                resumes = "" if self.unwritten else "; --resume_from_checkpoint latest resumes"
                print(f"stopped at step {self.state.step:,}{of}{resumes}")
            folder = shlex.quote(str(self.output_dir))
            print(f"see the covers:  album-gan demo --model {folder}")
            if self.config.push_to_hub and not stopped:  # a bad run that was stopped must not replace a good model
                print(f"published:       {push(str(self.output_dir), **self._publication())}")
            else:
                options = self._publication() | {"repo_id": self.config.hub_model_id or "YOUR_NAME/album-covers"}
                words = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in options.items() if value]
                print(f"publish them:    album-gan push {folder} {' '.join(words)}")
        self.accelerator.end_training()
        if self.unwritten:  # of the first process; the others are done
            raise self._unresumable()

    def _unresumable(self) -> OSError:
        """The error that the last checkpoint is missing."""
        newest = latest_checkpoint(self.output_dir)
        resumes = (
            f"--resume_from_checkpoint latest resumes from {newest.name}" if newest else "start again with --overwrite"
        )
        return OSError(f"{self.unwritten}, so the last steps cannot be resumed; make room, then {resumes}")

    def _publication(self) -> dict[str, Any]:
        """Arguments of `push`, which are options of `album-gan push` too."""
        config = self.config
        return {"repo_id": config.hub_model_id, "data_rights": config.data_rights, "license": config.license}

    def _sample(self, scores: list[tuple[Tensor, Tensor]]) -> None:
        """Draw and evaluate what is due, and save the best model so far. `scores`: as in `Monitor.sample`."""
        state = self.state
        with self.monitor.watching(state.images) as due:
            # Thumbnails are too small to compare; all else is compared, from run to run too.
            batches = PREVIEW_BATCHES if due == {"thumbnails"} else STATISTICS_BATCHES
            published = self._published(batches)
            if self.monitor.sample(state.images, published, scores):
                write_beside = partial(self.write_model, published)
                self.check_written()
                try:
                    state.save(self.output_dir / "best", self.settings, write_beside=write_beside)
                except OSError as error:
                    self._alarm(unwritten_best_alarm(error))

    def _published(self, batches: int) -> ModelMixin:
        """The averaged network as it would be published now, with BatchNorm statistics over `batches`.

        A copy: what is watched depends on the clock, and must not change saved state.
        """
        return as_published(self.state.average, self.state.recipe, self.config.seed, self.labels, batches)

    def _statistics_batches(self) -> int:
        """How many batches of BatchNorm statistics the final model gets; few after few images, to end a trial soon."""
        if self.state.warm_up_steps:  # it began with a trained model
            return STATISTICS_BATCHES
        return min(STATISTICS_BATCHES, PREVIEW_BATCHES + self.state.images // STATISTICS_BATCH_SIZE)

    def _open(self) -> None:
        """Start logging, to the run's folder and a tracker."""
        config, state, split = self.config, self.state, self.split
        if self.main:
            processes = self.accelerator.num_processes
            where = f"{precision_name(self.accelerator)} on {self.accelerator.device}, "
            where += "1 process" if processes == 1 else f"{processes} processes"
            print(f"{split.train} to train on, {len(split.held_out):,} held out; {where}")
            if config.label_column and self.labels is not None:
                column = find_label_column(split.train.rows.column_names, config.label_column)  # of which "auto" is any
                count, unknown = len(state.recipe.classes), int((self.labels == 0).sum())
                classes = "1 class" if count == 1 else f"{count:,} classes"
                print(f"label_column {column}: {classes}, {unknown:,} of {len(self.labels):,} covers without one")
            for line in advice(split, config, state.recipe) if state.step == 0 else ():
                print(line)
            self.output_dir.mkdir(parents=True, exist_ok=True)
            self.monitor = Monitor(
                self.output_dir, state.images, state.recipe, f"{config.recipe} at {config.resolution} px",
                self.accelerator.log, config.sample_images, config.evaluation_images, config.evaluation_samples,
                config.watching_share,
            )  # fmt: skip
            self.monitor.set_covers(state.images, split.train, split.held_out)
            page = (self.output_dir / "progress.html").absolute()
            print(f"watch {page.as_uri()} in a browser; numbers are in log.jsonl next to it")
        if config.report_to != "none":
            self._start_tracker()

    def _start_tracker(self) -> None:
        """Start or resume the tracker; what was logged after the checkpoint is replaced."""
        name, run_id = self.output_dir.resolve().name, self.state.run_id
        options = {
            "tensorboard": {"purge_step": self.state.images + 1},
            "wandb": {"name": name, "id": run_id, "resume": "allow", "dir": self.config.output_dir},
            "trackio": {"name": f"{name}-{run_id}", "resume": "allow"},
        }
        plain = (int, float, str, bool)
        settings = {key: value if isinstance(value, plain) else str(value) for key, value in self.settings.items()}
        self.accelerator.init_trackers("album_gan", config=settings, init_kwargs=options)
