"""What a run would be: networks, their cost, and how long it would take, measured in ten steps."""

import contextlib
import dataclasses
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..recipes.named_random import Draw
from .config import TrainingConfig
from .distributed import is_first_process
from .loop import train

STEPS = 10
DEPTH = 2  # modules nested deeper than this are not listed


def dry_run(config: TrainingConfig, recipe_config: Any = None) -> Iterator[str]:
    """Lines that describe this run. Ten steps are trained, on the run's own covers, and thrown away.

    Of several processes, which must all call it, the first one yields.
    """
    first = is_first_process()
    if first:
        yield from describe_networks(config, recipe_config)
        yield f"\ntraining {STEPS} steps to measure the time ..."

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        short = dataclasses.replace(
            config, output_dir=folder, max_train_steps=STEPS, minutes=None, logging_steps=STEPS // 2,
            checkpointing_steps=STEPS, sample_images=10**9, evaluation_images=0, report_to="none", push_to_hub=False,
            resume_from_checkpoint=None,
        )  # fmt: skip
        train(short, recipe_config)
        if not first:
            return
        record = json.loads((Path(folder) / "training.json").read_text(encoding="utf-8"))
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    speed = [line for line in lines if "images_per_second" in line][-1]  # the first half of the steps is a warm-up
    images = record["images"] // STEPS * config.max_train_steps
    hours = images / speed["images_per_second"] / 3600
    yield f"{record['covers']:,} covers to train on, {record['held_out']:,} held out, on {record['hardware']}"
    waiting = f"{speed['waiting_for_data']:.0%} of the time waiting for data"
    yield f"{speed['images_per_second']:.1f} images a second, {waiting}"
    yield from peak_memory()
    yield (
        f"{config.max_train_steps:,} steps are {images:,} images, {images / record['covers']:.1f} times each cover: "
        f"{hours:.1f} hours, and a few minutes for sheets and measurements"
    )


def describe_networks(config: TrainingConfig, recipe_config: Any = None) -> Iterator[str]:
    """Lines about generator and discriminator, and the memory that training them takes."""
    recipe = config.build_recipe(recipe_config)
    networks = generator, discriminator = recipe.build_networks()
    batch = {"images": torch.zeros(2, 3, config.resolution, config.resolution)}
    inputs = recipe.generator_inputs(batch, Draw(config.seed, 0, 2))
    with torch.no_grad():
        images = generator(*inputs)
        yield from describe("generator", generator, *inputs)
        yield from describe("discriminator", discriminator, images)
    trained = sum(p.numel() for network in networks for p in network.parameters() if p.requires_grad)
    held = sum(p.numel() for network in (generator, *networks) for p in network.parameters())
    yield (f"\nweights, average, gradients, moments: {(held + 3 * trained) * 4 / 1e6:,.0f} MB; activations come on top")


def peak_memory() -> Iterator[str]:
    """The most memory that this process has used so far, as a line; nothing where the system does not count it."""
    if torch.cuda.is_available():
        yield f"at most {torch.cuda.max_memory_allocated() / 1e9:.1f} GB of GPU memory"
        return
    with contextlib.suppress(ImportError):  # Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield f"at most {peak / (1e9 if sys.platform == 'darwin' else 1e6):.1f} GB of memory"


def describe(title: str, network: nn.Module, *inputs: Tensor) -> Iterator[str]:
    """A table of the network's parts, the shapes that come out of them, parameters; multiply-adds for one image."""
    rows: list[tuple[str, str, tuple[int, ...], int]] = []

    def note(name: str, module: nn.Module):
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                parameters = sum(parameter.numel() for parameter in module.parameters())
                rows.append((name, type(module).__name__, tuple(output.shape[1:]), parameters))

        return module.register_forward_hook(hook)

    listed = [(n, m) for n, m in network.named_modules() if n and n.count(".") < DEPTH and "parametrizations" not in n]
    hooks = [note(name, module) for name, module in listed]
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    for hook in hooks:
        hook.remove()
    total = sum(parameter.numel() for parameter in network.parameters())
    cost = counter.get_total_flops() / 2 / len(inputs[0])
    yield f"\n{title}: {type(network).__name__}, {total / 1e6:.2f} M parameters, {cost / 1e6:,.0f} M multiply-adds"
    for name, kind, shape, parameters in rows:
        yield f"  {name:<28} {kind:<24} {' x '.join(map(str, shape)):>18} {parameters:>12,}"
