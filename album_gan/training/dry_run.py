"""What a run would be: networks, their cost, and how long it would take, measured in ten steps."""

import contextlib
import dataclasses
import io
import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..recipes.named_random import Draw
from .loop import TrainingConfig, build_recipe, train

STEPS = 10
DEPTH = 2  # names of modules with more parts than this are not listed


def dry_run(config: TrainingConfig, recipe_config: Any = None) -> Iterator[str]:
    """Lines that say what this run would be. Ten steps are trained, on the run's own covers, and thrown away."""
    recipe = build_recipe(config, recipe_config)
    generator, discriminator = recipe.build_networks()
    inputs = recipe.generator_inputs({}, Draw(config.seed, 0, 2))
    with torch.no_grad():
        images = generator(*inputs)
        yield from describe("generator", generator, *inputs)
        yield from describe("discriminator", discriminator, images)
    trained = sum(p.numel() for network in (generator, discriminator) for p in network.parameters() if p.requires_grad)
    kept = sum(p.numel() for network in (generator, generator, discriminator) for p in network.parameters())
    yield f"\nweights, average, gradients, moments: {(kept + 3 * trained) * 4 / 1e6:,.0f} MB; activations come on top"

    yield f"\ntraining {STEPS} steps to measure the time ..."
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        short = dataclasses.replace(
            config, output_dir=folder, max_train_steps=STEPS, logging_steps=STEPS // 2, checkpointing_steps=STEPS,
            sample_images=10**9, evaluation_images=0, report_to=None, push_to_hub=False, resume_from_checkpoint=None,
        )  # fmt: skip
        train(short, recipe_config)
        record = json.loads((Path(folder) / "training.json").read_text())
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    speed = [line for line in lines if "images_per_second" in line][-1]  # the first half of the steps is a warm-up
    images = record["images"] // STEPS * config.max_train_steps
    hours = images / speed["images_per_second"] / 3600
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 1e9
    yield f"{record['covers']:,} covers to train on, {record['held_out']:,} held out, on {record['hardware']}"
    waiting = f"{speed['waiting_for_data']:.0%} of the time waiting for data"
    yield f"{speed['images_per_second']:.1f} images a second, {waiting}"
    yield f"{peak:.1f} GB of memory at the most"
    yield (
        f"{config.max_train_steps:,} steps are {images:,} images, {images / record['covers']:.1f} times each cover: "
        f"{hours:.1f} hours, and a few minutes for sheets and measurements"
    )


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
