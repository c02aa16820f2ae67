"""Dry run: networks, speed, memory and disk of a run, measured in a few steps; its duration and cost."""

import dataclasses
import math
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .. import runtime
from ..covers.dataset import Split
from ..covers.pixel_cache import cache_folder
from ..inference.model_store import find_model, read_json
from ..metrics.measures import KERNEL_DISTANCE, ruler_line
from ..recipes.named_random import Draw
from .advice import advice
from .config import TrainingConfig
from .distributed import is_first_process, precision_name
from .loop import Trainer, set_up
from .packaging import inherit_settings
from .state import TrainingState
from .watching.run_page import bundled_kernel_distances

STEPS = {"cpu": (4, 6), "cuda": (20, 100), "mps": (10, 20)}  # warm-up, measured
DEPTH = 2  # modules nested deeper than this are not listed
SAFE = 0.9  # share of the free memory that a batch may take
KID_MILESTONES = (0.026, 0.014, 0.01)  # from the bundled model's log; its last evaluation is added


class Measured(NamedTuple):
    """Measurements of a few steps."""

    images_per_second: float
    waiting: float  # fraction of the time spent waiting for data
    bytes: int | None  # peak memory; None if unknown


def dry_run(config: TrainingConfig, recipe_config: Any = None, price_per_hour: float | None = None) -> Iterator[str]:
    """Lines that describe this run. Trains a few steps, on the run's own covers, and discards them.

    All processes must call it; only the first yields. `price_per_hour` is for all machines together.
    """
    first, batch_size = is_first_process(), config.train_batch_size
    half = max(1, batch_size // 2)
    if first:
        yield from describe_networks(config, recipe_config)
        steps = sum(STEPS[runtime.choose_device(config.device)])
        yield (
            f"\nmeasuring speed and memory: reading the covers, then {steps} steps with batches of {half} and {steps} "
            f"with {batch_size}; some minutes on CPUs, less than one on a GPU ..."
        )
    runtime.keep_freed_memory()
    with torch.random.fork_rng():
        smaller = measure(config, recipe_config, half) if batch_size > 1 else None
        if first and smaller is not None:
            yield f"about {2 * steps * half / smaller[3].images_per_second:.0f} s more ..."
        split, accelerator, state, measured = measure(config, recipe_config, batch_size)
    if not first:
        return
    processes = accelerator.num_processes
    yield (
        f"\n{split.train} to train on, {len(split.held_out):,} held out, "
        f"on {runtime.hardware(accelerator.device.type, processes)}, in {precision_name(accelerator)}"
    )
    yield f"{measured.images_per_second:.1f} images per second, {measured.waiting:.0%} of the time waiting for data"
    yield from memory(batch_size, measured, smaller and smaller[3], accelerator.device)
    yield from disk(config, state, len(split.train) + len(split.held_out))
    yield from duration(config, state, split.train.count, measured.images_per_second, processes, price_per_hour)
    yield from quality(config, measured.images_per_second, price_per_hour)
    for line in advice(split, config, state.recipe):
        yield f"\n{line}"


# --- Measuring


def measure(
    config: TrainingConfig, recipe_config: Any, batch_size: int
) -> tuple[Split, Accelerator, TrainingState, Measured]:
    """Train a few steps with this batch size, without writing anything."""
    uncounted, counted = STEPS[runtime.choose_device(config.device)]
    short = dataclasses.replace(
        config, train_batch_size=batch_size, max_train_steps=uncounted + counted, minutes=None, report_to="none"
    )
    split, accelerator, state = set_up(short, short.build_recipe(recipe_config), fit=False)
    cuda = accelerator.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer, waited = Trainer(short, state, split, accelerator), 0.0
    for result in trainer.steps():
        if state.step > uncounted:
            waited += result.seconds_waited
        elif state.step == uncounted:
            _finish(accelerator.device)
            started, before = time.monotonic(), state.images
    _finish(accelerator.device)
    seconds = time.monotonic() - started
    peak = torch.cuda.max_memory_allocated() if cuda else _peak_memory()
    return split, accelerator, state, Measured((state.images - before) / seconds, waited / seconds, peak)


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _peak_memory() -> int | None:
    """Peak memory of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _free_memory() -> int | None:
    """Bytes available to this process, including those in use; None if the system is not Linux."""
    try:
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"))
    except OSError:
        return None
    peak = _peak_memory()
    return int(available[1]) * 1024 + peak if available and peak else None


# --- Estimates


def memory(batch_size: int, measured: Measured, smaller: Measured | None, device: torch.device) -> Iterator[str]:
    """Memory for this batch size, and the largest that would fit: memory grows linearly with it."""
    if measured.bytes is None:
        return
    kind = "GPU memory" if device.type == "cuda" else "memory"
    yield f"at most {measured.bytes / 1e9:.1f} GB of {kind} with batches of {batch_size}"
    if smaller is None or smaller.bytes is None:
        return
    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() if device.type == "cuda" else _free_memory()
    if free is None:
        return
    per_image = (measured.bytes - smaller.bytes) / (batch_size - max(1, batch_size // 2))
    if per_image < 1e4:
        yield f"the batch size hardly affects it; there are {free / 1e9:.0f} GB"
        return
    fits = batch_size + (SAFE * free - measured.bytes) / per_image
    yield (
        f"{per_image / 1e6:.0f} MB more for each image of a batch: {max(0, math.floor(fits)):,} fit "
        f"into {free / 1e9:.0f} GB"
    )


def disk(config: TrainingConfig, state: TrainingState, covers: int) -> Iterator[str]:
    """Disk space for decoded covers and the run's folder, and whether it is free."""
    tensors = [tensor for module in state.modules.values() for tensor in module.state_dict().values()]
    moments = [p for n in (state.generator, state.discriminator) for p in n.parameters() if p.requires_grad]
    checkpoint = sum(t.numel() * t.element_size() for t in (*tensors, *moments, *moments))
    limit = config.checkpoints_total_limit or math.ceil(config.max_train_steps / config.checkpointing_steps)
    # Plus best/, and a new checkpoint before the oldest is deleted; models are half a checkpoint.
    run = (limit + 3) * checkpoint
    pixels = 0 if config.streaming else covers * config.resolution**2 * 3
    yield f"{run / 1e9:.2f} GB of disk for {config.output_dir}, {pixels / 1e9:.2f} GB for decoded covers"
    for folder, size in ((Path(config.output_dir), run), (cache_folder("pixels"), 0)):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if (free := shutil.disk_usage(existing).free) < size + 1e9:
            yield f"PROBLEM: only {free / 1e9:.1f} GB are free in {existing}"


def duration(
    config: TrainingConfig, state: TrainingState, covers: int | None, speed: float, processes: int, price: float | None
) -> Iterator[str]:
    """Duration and cost of the run, and how often each cover is seen."""
    per_step = config.train_batch_size * config.gradient_accumulation_steps * processes
    per_step *= state.recipe.discriminator_steps
    seconds = 60 * config.minutes if config.minutes else config.max_train_steps * per_step / speed
    steps = round(seconds * speed / per_step)
    times = f", {steps * per_step / covers:.1f} times each cover" if covers else ""
    yield (
        f"{steps:,} steps are {steps * per_step:,} images{times}: "
        f"{_hours(seconds, price)}, and up to {config.watching_share:.0%} for sheets and measurements"
    )


def quality(config: TrainingConfig, speed: float, price: float | None) -> Iterator[str]:
    """When a run at this speed, in images per second, would be as good as the bundled model, from that model's log."""
    if config.init_from:
        return
    record = read_json(find_model("bundled") / "training.json")
    if (config.recipe, config.resolution) != (record["recipe"], record["resolution"]):
        yield f"the bundled model is {record['recipe']} at {record['resolution']} px: its log cannot predict this run"
        return
    evaluations = bundled_kernel_distances()
    moments = [next(found for found in evaluations if found[1] <= kid) for kid in KID_MILESTONES]
    moments.append(evaluations[-1])
    batches = f"{record['covers']:,} covers in batches of {record['train_batch_size']}"
    yield f"time to match the bundled model ({batches}), by {KERNEL_DISTANCE.name} ({ruler_line()}):"
    for images, kid in moments:
        yield f"  {KERNEL_DISTANCE.show(kid):>5} after {images:>7,} images: {_hours(images / speed, price)}"


def _hours(seconds: float, price: float | None) -> str:
    """The duration, with its cost if the price of an hour is known."""
    hours = (
        f"{seconds / 60:.0f} minutes" if seconds < 7_200 else f"{seconds / 3600:.{1 if seconds < 36_000 else 0}f} hours"
    )
    return hours if price is None else f"{hours}, costs {seconds / 3600 * price:.2f}"


# --- The networks


def describe_networks(config: TrainingConfig, recipe_config: Any = None) -> Iterator[str]:
    """Lines about generator and discriminator, without classes, and the memory for training them."""
    recipe = config.build_recipe(recipe_config)
    inherit_settings(recipe, config, None)
    networks = generator, discriminator = recipe.build_networks()
    batch = {"images": torch.zeros(2, 3, config.resolution, config.resolution)}
    inputs = recipe.generator_inputs(batch, Draw(config.seed, 0, 2))
    with torch.no_grad():
        images = generator(*inputs)
        yield from describe("generator", generator, *inputs)
        yield from describe("discriminator", discriminator, images)
    trained = sum(p.numel() for network in networks for p in network.parameters() if p.requires_grad)
    held = sum(p.numel() for network in (generator, *networks) for p in network.parameters())
    yield (f"\nweights, EMA, gradients, Adam moments: {(held + 3 * trained) * 4 / 1e6:,.0f} MB; plus activations")


def describe(title: str, network: nn.Module, *inputs: Tensor) -> Iterator[str]:
    """A table of the network's modules with output shapes and parameters; multiply-adds per image."""
    rows: list[tuple[str, str, tuple[int, ...], int]] = []

    def note(name: str, module: nn.Module):
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                parameters = sum(parameter.numel() for parameter in module.parameters())
                rows.append((name, type(module).__name__, tuple(output.shape[1:]), parameters))

        return module.register_forward_hook(hook)

    listed = [(n, m) for n, m in network.named_modules() if n and n.count(".") < DEPTH and "parametrizations" not in n]
    hooks = [note(name, module) for name, module in listed]
    try:
        with FlopCounterMode(display=False) as counter:
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    total = sum(parameter.numel() for parameter in network.parameters())
    cost = counter.get_total_flops() / 2 / len(inputs[0])
    yield f"\n{title}: {type(network).__name__}, {total / 1e6:.2f} M parameters, {cost / 1e6:,.0f} M multiply-adds"
    for name, kind, shape, parameters in rows:
        yield f"  {name:<28} {kind:<24} {' x '.join(map(str, shape)):>18} {parameters:>12,}"
