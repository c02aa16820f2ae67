"""The training loop. It knows no loss: what makes a GAN this GAN is in `recipes/`."""

import copy
import dataclasses
import json
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import ModelMixin
from torch import nn
from tqdm import tqdm

from . import performance
from .averaging import reestimate_batch_norm, round_to_half, update_average
from .checkpoint import latest_checkpoint, load_checkpoint, read_state, rotate_checkpoints, save_checkpoint
from .covers.loading import StepSampler, batches, load_covers
from .draws import Draw, named_generator
from .hub import hardware, push
from .images import to_unit_range
from .journal import SHEET_SEEDS, Journal, next_moment
from .pipeline import AlbumCoverPipeline, find_model, read_weights
from .processes import average_buffers, average_gradients, broadcast_weights, rows_of_process, stopped
from .recipes.base import Recipe, Step, recipe_module, recipe_modules

logger = logging.getLogger(__name__)

WARM_UP_STEPS = 1_000  # of the learning rate, after --init_from
STATISTICS_BATCHES = 100
STATISTICS_BATCH_SIZE = 8
FEW_COVERS = 500


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a run; the names are those of diffusers' training examples."""

    recipe: str = "projected"  # which GAN
    dataset_name: str | None = None  # Hub id, a builder such as parquet, or synthetic
    train_data_dir: str | None = None  # folder of pictures or parquet files
    data_files: str | None = None  # files for the builder, e.g. 'my_covers/*.parquet'
    image_column: str = "image"  # column of the data set that holds the covers
    label_column: str | None = None  # column of their classes, e.g. genre, for recipes that take labels
    resolution: int = 128  # pixels; power of two
    output_dir: str = "runs/album_gan"  # where everything goes
    train_batch_size: int = 32  # images for each process and each backward pass
    gradient_accumulation_steps: int = 1  # backward passes before an update
    max_train_steps: int = 5_000  # generator updates
    learning_rate: float | None = None  # instead of the recipe's own
    mixed_precision: str = "auto"  # no, bf16, or auto: bf16 where the machine is fast at it
    checkpointing_steps: int = 500  # steps from one checkpoint to the next
    checkpoints_total_limit: int | None = 3  # older ones are deleted
    resume_from_checkpoint: str | None = None  # a checkpoint's folder, or latest
    init_from: str | None = None  # start from a trained model: bundled, a folder, or a Hub id
    sample_images: int = 5_000  # images from one sample sheet to the next
    logging_steps: int = 50  # steps from one line of the log to the next
    report_to: str | None = "tensorboard"  # tracker of accelerate; none for none
    push_to_hub: bool = False  # publish the finished model
    hub_model_id: str | None = None  # as this, owner/name
    data_rights: str | None = None  # what the model card says of the data; without it the repository stays private
    seed: int = 0  # of everything random
    dataloader_num_workers: int = 2  # processes that prepare batches

    def __post_init__(self) -> None:
        positive = ("train_batch_size", "gradient_accumulation_steps", "max_train_steps", "checkpointing_steps")
        for name in (*positive, "sample_images", "logging_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.checkpoints_total_limit is not None and self.checkpoints_total_limit < 1:
            raise ValueError(f"checkpoints_total_limit must be at least 1, got {self.checkpoints_total_limit}")
        if self.mixed_precision not in ("no", "bf16", "auto"):
            raise ValueError(
                f"mixed_precision must be no, bf16 or auto, got {self.mixed_precision!r}; "
                "fp16 shares one loss scale between two optimisers, choose bf16"
            )
        if self.push_to_hub and (self.hub_model_id or "").count("/") != 1:
            raise ValueError(f"hub_model_id must be owner/name to push to, got {self.hub_model_id!r}; e.g. me/covers")
        if self.resume_from_checkpoint and self.init_from:
            raise ValueError("init_from starts a new run, resume_from_checkpoint goes on with one; give one of them")


def train(config: TrainingConfig, recipe_config: Any = None) -> Path:
    """Train, and leave a model that `AlbumCoverPipeline.from_pretrained` loads in the folder that is returned.

    SIGINT and SIGTERM end the run after the step at hand, with a checkpoint and a model. Raises ValueError for
    settings or data that cannot be trained on, before anything is written.
    """
    # --- Setup: recipe, covers, networks, optimisers
    performance.keep_freed_memory()
    module = recipe_module(config.recipe)
    recipe = module.Recipe(recipe_config or module.Config(), config.resolution)
    if config.label_column and not recipe.takes_labels:
        takers = ", ".join(name for name, other in recipe_modules() if other.Recipe.takes_labels)
        raise ValueError(f"label_column is for {takers}, got recipe {config.recipe}; choose another, or leave it out")
    bf16 = config.mixed_precision == "bf16" or (config.mixed_precision == "auto" and performance.fast_in_bfloat16())
    tracker = None if config.report_to in (None, "none") else config.report_to
    output_dir = Path(config.output_dir)
    precision = "bf16" if bf16 else "no"
    accelerator = Accelerator(mixed_precision=precision, log_with=tracker, project_dir=str(output_dir))
    performance.use_all_cores(accelerator.num_processes)
    device, main = accelerator.device, accelerator.is_main_process
    accelerator.print(f"watch {output_dir / 'samples'} (pictures) and {output_dir / 'log.jsonl'} (numbers)")
    with accelerator.main_process_first():  # the first one decodes, the others find it done
        covers, held_out = load_covers(
            config.dataset_name, config.train_data_dir, config.data_files, config.image_column, config.resolution,
            config.label_column,
        )  # fmt: skip
    labels = None if covers.labels is None else torch.from_numpy(covers.labels)
    recipe.classes = tuple(covers.classes[1:])
    with torch.random.fork_rng():
        torch.manual_seed(named_generator(config.seed, "initial weights").initial_seed())
        generator, discriminator = recipe.build_networks()
    if config.init_from:
        load_initial_weights(config.init_from, generator, discriminator)
    for network in (generator, discriminator, recipe):
        network.to(device=device, memory_format=torch.channels_last)
        broadcast_weights(accelerator, network)
    generator.train()
    discriminator.train()
    average = copy.deepcopy(generator).requires_grad_(False)
    generator_optimizer, discriminator_optimizer = recipe.optimizers(generator, discriminator)
    modules = {"generator": generator, "discriminator": discriminator, "average": average, "recipe": recipe}
    optimizers = {"generator_optimizer": generator_optimizer, "discriminator_optimizer": discriminator_optimizer}
    judged = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]

    # --- Resume
    first_step, seconds_before = 0, 0.0
    checkpoint = find_checkpoint(config)
    if checkpoint:
        state = read_state(checkpoint)
        tell_changes(state["config"], describe(config, recipe), accelerator)
        load_checkpoint(checkpoint, modules, optimizers)
        first_step, seconds_before = state["step"], state["seconds"]
    groups = (*generator_optimizer.param_groups, *discriminator_optimizer.param_groups)
    base_rates = [group["lr"] for group in groups]
    parts = config.gradient_accumulation_steps
    batch_size = config.train_batch_size * accelerator.num_processes * parts
    images_per_step = batch_size * recipe.discriminator_steps
    images = state["images"] if checkpoint else 0
    if main:
        output_dir.mkdir(parents=True, exist_ok=True)
        journal = Journal(output_dir, images)
        print(f"{len(covers):,} covers to train on, {held_out:,} held out; {'bf16' if bf16 else 'fp32'}, {device}")
        if len(covers) < FEW_COVERS:
            logger.warning("under %d covers a GAN copies what it saw; look for copies among samples", FEW_COVERS)
    if tracker:
        accelerator.init_trackers("tracker")

    # --- Batches: each process and each part takes its rows of every batch
    share_fakes = recipe.discriminator_steps == 1 and parts == 1  # one set of fakes a step saves a generator pass
    rows = rows_of_process(accelerator, config.train_batch_size, parts)
    turns = recipe.discriminator_steps
    sampler = StepSampler(
        len(covers), batch_size, rows, config.seed, first_step * turns, config.max_train_steps * turns
    )
    real_batches, index_batches = batches(covers, sampler, config.dataloader_num_workers), iter(sampler)

    def prepare(batch: dict[str, torch.Tensor], part: int, turn: str, with_graph: bool) -> Step:
        draw = Draw(config.seed, step, batch_size, rows[part], device, turn)
        inputs = recipe.generator_inputs(batch, draw)
        with torch.set_grad_enabled(with_graph), accelerator.autocast():
            fake = generator(*inputs).float()
        progress = step / config.max_train_steps
        networks = (generator, discriminator)
        shown = batch.get("labels")
        return Step(batch["images"], fake, inputs, *networks, draw, progress, shown, recipe.augmentation)

    def draw_fixed_seeds() -> list:
        make_ready_to_draw(average, recipe, config.seed, labels)
        return AlbumCoverPipeline(average)(seeds=SHEET_SEEDS, truncation=1.0).images

    def save(images: int) -> None:
        """A complete checkpoint of this step, written by the first process while the others wait."""
        accelerator.wait_for_everyone()
        if main:
            state = {"step": step, "images": images, "seconds": seconds_before + time.monotonic() - started}
            state["config"] = describe(config, recipe)
            save_checkpoint(output_dir / f"checkpoint-{step}", modules, optimizers, state)
            rotate_checkpoints(output_dir, config.checkpoints_total_limit)
        accelerator.wait_for_everyone()

    started = window_started = time.monotonic()
    window_images, peak, peak_images, step = 0, 0.0, 0, first_step
    if main and images == 0:
        journal.remember(0, draw_fixed_seeds())
    next_sheet, next_thumbnails = next_multiple(images, config.sample_images), next_moment(images)
    progress_bar = tqdm(total=config.max_train_steps, initial=step, desc="training", unit="step", disable=not main)
    with stop_signals() as stop:
        while step < config.max_train_steps and not stopped(stop, accelerator):
            schedule = recipe.schedule(step / config.max_train_steps)
            warm_up = min(1.0, (step + 1) / WARM_UP_STEPS) if config.init_from else 1.0
            for group, rate in zip(groups, base_rates, strict=True):
                group["lr"] = rate * warm_up * schedule.learning_rate
                if schedule.beta2 is not None:
                    group["betas"] = (group["betas"][0], schedule.beta2)

            # --- Discriminator updates
            for turn in range(turns):
                terms_of_parts = []
                latest = []
                for part in range(parts):
                    real = to_unit_range(next(real_batches).to(device, non_blocking=True))
                    batch, indices = {"images": real}, next(index_batches)
                    if labels is not None:
                        batch["labels"] = labels[indices].to(device)
                    if peak_images < 1_000:
                        peak, peak_images = max(peak, real.abs().max().item()), peak_images + len(real)
                        check_range(peak, peak_images)
                    current = prepare(batch, part, f"discriminator {turn}", with_graph=share_fakes)
                    with accelerator.autocast():
                        terms = recipe.discriminator_terms(current)
                    (sum(terms.values()) / parts).backward()
                    terms_of_parts.append(terms)
                    latest.append((current, batch))
                average_gradients(accelerator, discriminator)
                discriminator_optimizer.step()
                discriminator_optimizer.zero_grad()
                recipe.after_discriminator_step(current)
                average_buffers(accelerator, recipe)
            discriminator_terms = terms_of_parts[-1]

            # --- Generator update
            for parameter in judged:
                parameter.requires_grad_(False)
            for part in range(parts):
                current, batch = latest[part]
                if not share_fakes:
                    current = prepare(batch, part, "generator", with_graph=True)
                with accelerator.autocast():
                    generator_terms = recipe.generator_terms(current)
                (sum(generator_terms.values()) / parts).backward()
            for parameter in judged:
                parameter.requires_grad_(True)
            average_gradients(accelerator, generator, recipe)  # a recipe may train a network of its own
            generator_optimizer.step()
            generator_optimizer.zero_grad()

            # --- Average weights
            images += images_per_step
            step += 1
            half_life = min(schedule.average_half_life, 0.05 * images)  # a ramp: no memory of the first noise
            update_average(average, generator, images_per_step, half_life)

            # --- Log
            progress_bar.update()
            window_images += images_per_step
            if step % config.logging_steps == 0 and main:
                values = {f"discriminator/{name}": term.item() for name, term in discriminator_terms.items()}
                values |= {f"generator/{name}": term.item() for name, term in generator_terms.items()}
                check_finite(values, output_dir)
                values["images_per_second"] = round(window_images / (time.monotonic() - window_started), 2)
                journal.log(images, {"step": step, **values})
                accelerator.log(values, step=images)
                short = {name.replace("iscriminator", "").replace("enerator", ""): v for name, v in values.items()}
                progress_bar.set_postfix({**short, "images": f"{images:,}"})
                window_started, window_images = time.monotonic(), 0

            # --- Sample sheets and history
            if main and (images >= next_sheet or images >= next_thumbnails):
                covers_now = draw_fixed_seeds()
                if images >= next_sheet:
                    journal.sheet(images, covers_now)
                    next_sheet = next_multiple(images, config.sample_images)
                if images >= next_thumbnails:
                    journal.remember(images, covers_now)
                    next_thumbnails = next_moment(images)
                window_started, window_images = time.monotonic(), 0

            # --- Checkpoint
            if step % config.checkpointing_steps == 0:
                save(images)
    progress_bar.close()

    # --- The finished (or interrupted) run is a model
    if step % config.checkpointing_steps:
        save(images)
    if main:
        hours = round((seconds_before + time.monotonic() - started) / 3600, 3)
        record = {"images": images, "steps": step, "hours": hours, "covers": len(covers), "held_out": held_out}
        record |= {"hardware": hardware(accelerator.num_processes), **describe(config, recipe)}
        pipe = save_model(output_dir, average, discriminator, recipe, config.seed, labels, record)
        journal.sheet(images, pipe(seeds=SHEET_SEEDS, truncation=1.0).images)
        print(f"see the covers:  album-gan demo --model {output_dir}")
        if config.push_to_hub:
            push(str(output_dir), config.hub_model_id, data_rights=config.data_rights)
        print(f"publish them:    album-gan push {output_dir} --repo-id YOUR_NAME/album-covers")
    accelerator.end_training()
    return output_dir


def save_model(
    folder: Path,
    average: ModelMixin,
    discriminator: ModelMixin,
    recipe: Recipe,
    seed: int,
    labels: torch.Tensor | None,
    record: dict[str, Any],
) -> AlbumCoverPipeline:
    """Write generator, discriminator and training.json so that `from_pretrained` and `--init_from` load them.

    Returns the pipeline as others will load it.
    """
    average = copy.deepcopy(average)
    round_to_half(average)
    make_ready_to_draw(average, recipe, seed, labels)
    AlbumCoverPipeline(average).save_pretrained(folder)
    discriminator = copy.deepcopy(discriminator).eval()
    round_to_half(discriminator)
    for tensor in (*discriminator.parameters(), *discriminator.buffers()):
        tensor.data = tensor.data.contiguous()
    discriminator.save_pretrained(folder / "discriminator")
    discriminator.half().save_pretrained(folder / "discriminator", variant="fp16")
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    return AlbumCoverPipeline.from_pretrained(folder)


@torch.no_grad()
def make_ready_to_draw(generator: nn.Module, recipe: Recipe, seed: int, labels: torch.Tensor | None = None) -> None:
    """Give averaged weights their own BatchNorm statistics and mean stem, over seeded latents.

    `labels` (N,), those of the training covers, are drawn from as well.
    """
    device = next(generator.parameters()).device

    def inputs(number: int, size: int, turn: str) -> tuple[torch.Tensor, ...]:
        draw = Draw(seed, number, size, device=device, turn=turn)
        some = {} if labels is None else {"labels": labels.to(device)[draw.integers("labels", 0, len(labels))]}
        return recipe.generator_inputs(some, draw)

    reestimate_batch_norm(
        generator, (inputs(n, STATISTICS_BATCH_SIZE, "statistics") for n in range(STATISTICS_BATCHES))
    )
    generator.stem_mean.copy_(generator.embed(*inputs(0, 4_096, "stem")).mean(0))


def load_initial_weights(source: str, generator: ModelMixin, discriminator: ModelMixin) -> None:
    """Copy a published model's networks into freshly built ones; ValueError when they do not fit."""
    folder = find_model(source, parts=("generator", "discriminator"))
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        weights = read_weights(folder / name)
        try:
            found = network.load_state_dict(weights, strict=False)
            if found.unexpected_keys or any(not key.startswith("label") for key in found.missing_keys):
                raise RuntimeError(f"keys do not match: {found}")
        except RuntimeError as error:
            config = json.loads((folder / name / "config.json").read_text())
            raise ValueError(
                f"init_from {source!r} holds a {config['_class_name']} of {config.get('resolution', 'any')} px that "
                f"does not fit this run's {type(network).__name__}; use the same recipe and resolution"
            ) from error


def find_checkpoint(config: TrainingConfig) -> Path | None:
    """The checkpoint to go on from, None to start afresh. Whether a named one is whole, `read_state` tells."""
    if config.resume_from_checkpoint is None:
        return None
    if config.resume_from_checkpoint != "latest":
        return Path(config.resume_from_checkpoint)
    found = latest_checkpoint(Path(config.output_dir))
    print(f"resuming from {found}" if found else f"no checkpoint in {config.output_dir} yet, starting afresh")
    return found


def describe(config: TrainingConfig, recipe: Recipe) -> dict[str, Any]:
    """All settings of a run, for checkpoints and the model card."""
    return {**dataclasses.asdict(config), config.recipe: dataclasses.asdict(recipe.config)}


def tell_changes(before: dict[str, Any], now: dict[str, Any], accelerator: Accelerator) -> None:
    """Say which settings differ from the checkpoint's; ValueError for those that cannot."""
    for name in ("recipe", "resolution"):
        if before[name] != now[name]:
            raise ValueError(f"{name} must stay {before[name]!r} when a run is resumed, got {now[name]!r}")
    for name in before.keys() | now.keys():
        if before.get(name) != now.get(name) and name not in ("resume_from_checkpoint", "output_dir"):
            accelerator.print(f"{name} was {before.get(name)!r} and is now {now.get(name)!r}")


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM fill the list instead of ending the process; a second one ends it."""
    received: list[int] = []

    def receive(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, previous[number])
        print("\nstopping after this step; once more ends it at once")

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def check_range(peak: float, images: int) -> None:
    """An alarm for covers that are not in [-1, 1] but in [0, 1/2] or so."""
    if images >= 1_000 and peak < 0.5:
        logger.warning("the first %d covers never leave [-0.5, 0.5], got %.2f: are they all so pale?", images, peak)


def check_finite(values: dict[str, float], output_dir: Path) -> None:
    """A run whose losses are no numbers any more is over; its last checkpoint is not."""
    for name, value in values.items():
        if value - value != 0:
            raise ValueError(f"{name} must be finite, got {value}; resume {output_dir} with a lower learning_rate")


def next_multiple(images: int, interval: int) -> int:
    return (images // interval + 1) * interval
