"""Two processes train as one: the gradients of the first step, and weights that never drift apart."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from serving import free_port
from tiny_recipes import RECIPES, STILL, settings_of

from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover
from album_gan.inference.pixels import to_unit_range
from album_gan.recipes.base import Step
from album_gan.recipes.named_random import Draw, named_generator

# No image's gradient depends on the others of its batch, so two halves of a batch are a batch. The other recipes have
# statistics over batches (BatchNorm, minibatch deviation or discrimination, mean features): each process has its own.
INDEPENDENT = ("began", "r3gan", "vanilla")
FAST = ("dcgan", "vanilla")
BATCH, WORLD = 8, 2


@pytest.fixture(scope="module")
def covers(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("covers")
    for index in range(40):
        draw_cover(index, 32).save(folder / f"{index}.png")
    return folder


def run_pair(covers: Path, out: Path, recipes: tuple[str, ...]) -> Path:
    environment = {**os.environ, "WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    command = [
        sys.executable,
        str(Path(__file__).parents[1] / "pair.py"),
        str(covers),
        str(out),
        ",".join(str(free_port()) for _ in range(2 * len(recipes) + 1)),
        *recipes,
    ]
    processes = [
        subprocess.Popen(
            command,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=1_500)
        assert process.returncode == 0, output[-3_000:]
        assert output.count("told: the processes' weights have drifted apart") == 2
        assert "checkpoint: checkpoint-1\ncheckpoint: None\n" in output  # the first one's, on both
    return out


def add_gradients(network: torch.nn.Module, other: torch.nn.Module) -> None:
    for mine, theirs in zip(network.parameters(), other.parameters(), strict=True):
        if theirs.grad is not None:
            mine.grad = theirs.grad.clone() if mine.grad is None else mine.grad + theirs.grad


def plain_state(name: str, covers: Path, shards: int) -> dict[str, dict[int, dict[str, torch.Tensor]]]:
    """What both optimisers hold after the first step of a plain loop over the shards of the batch."""
    module = RECIPES[name]
    recipe = module.Recipe(module.Config(**settings_of(name, STILL)), 32)
    torch.manual_seed(named_generator(0, "initial weights").initial_seed())
    # In the loop's memory format: in fp32 another one moves gradients through the frozen network by a hundredth (in
    # fp64 by 1e-14), for a last digit can decide on which side of a kink a feature lies.
    generator, discriminator = (network.to(memory_format=torch.channels_last) for network in recipe.build_networks())
    optimizers = recipe.optimizers(generator, discriminator)
    data = load_covers(CoverSource(train_data_dir=str(covers), resolution=32)).train
    order = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(len(data))[:BATCH].tolist()
    real = to_unit_range(torch.from_numpy(data.pixels_of(order)))
    steps = []
    for shard in range(shards):  # each process has its own networks: BatchNorm and spectral norm remember
        rows = slice(shard * BATCH // shards, (shard + 1) * BATCH // shards)
        draw = Draw(0, 0, BATCH, rows, turn="discriminator 0")
        inputs = recipe.generator_inputs({}, draw)
        networks = (copy.deepcopy(generator), copy.deepcopy(discriminator))
        steps.append(Step(real[rows], networks[0](*inputs), inputs, *networks, draw, 0.0, None, recipe.augmentation))
    for step in steps:
        (sum(recipe.discriminator_terms(step).values()) / shards).backward()
        add_gradients(discriminator, step.discriminator)
    optimizers[1].step()
    before = {name: buffer.clone() for name, buffer in recipe.named_buffers()}
    for step in steps:
        for name, buffer in recipe.named_buffers():
            buffer.copy_(before[name])  # a process does not know yet what the others drew
        recipe.after_discriminator_step([step])
        step.discriminator.requires_grad_(False)
        (sum(recipe.generator_terms(step).values()) / shards).backward()
        add_gradients(generator, step.generator)
    optimizers[0].step()
    sides = zip(("generator_optimizer", "discriminator_optimizer"), optimizers, strict=True)
    return {side: optimizer.state_dict()["state"] for side, optimizer in sides}


def assert_same_gradients(name: str, state: dict, checkpoint: Path) -> None:
    """First moments are the gradients up to a factor, the same on both sides; RMSprop's are their squares."""
    saved = load_file(checkpoint / "state.safetensors")
    compared, largest = 0, 0.0
    for side, moments in state.items():
        for index, values in moments.items():
            (key,) = {"exp_avg", "momentum_buffer", "square_avg"} & values.keys()
            expected, found = values[key].double(), saved[f"{side}.{index}.{key}"].double()
            if key == "square_avg":
                expected, found = expected.sqrt(), found.sqrt()
            distance, largest = (expected - found).norm().item(), max(largest, expected.norm().item())
            # A bias before a BatchNorm has no gradient but rounding.
            assert distance <= 1e-4 * expected.norm().item() + 1e-6 * largest, f"{name}: {side} {index}, {distance}"
            compared += 1
    assert compared > 4


def check(name: str, covers: Path, out: Path) -> None:
    checkpoint = out / f"{name}-still" / "checkpoint-1"
    assert_same_gradients(name, plain_state(name, covers, WORLD), checkpoint)
    if name in INDEPENDENT:
        assert_same_gradients(name, plain_state(name, covers, 1), checkpoint)
    assert (out / f"{name}-moving" / "checkpoint-3").is_dir()  # written only while all weights are the same


def test_two_processes_are_as_one(covers, tmp_path):
    run_pair(covers, tmp_path, FAST)
    for name in FAST:
        check(name, covers, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_two_processes_are_as_one_in_all_recipes(covers, tmp_path):
    run_pair(covers, tmp_path, tuple(RECIPES))
    for name in RECIPES:
        check(name, covers, tmp_path)
