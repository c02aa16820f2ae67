"""A run that was killed and resumed ends as if it had never been killed."""

import json
import random
import subprocess
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from short_runs import command, finish, start, wait_for

from album_gan import AlbumCoverPipeline
from album_gan.hub.run_checkpoints import checkpoints
from album_gan.recipes.base import recipe_names
from train import main

pytestmark = pytest.mark.long

KILLS, STEPS = 20, 150
WIDE = {"dcgan": ["--dcgan.width", "256"], "began": ["--began.width", "32"]}


def writing_each_step(covers: Path, output: Path, recipe: str) -> subprocess.Popen:
    more = ("--max_train_steps", STEPS, "--checkpointing_steps", 1, "--resume_from_checkpoint", "latest")
    words = command(covers, output, recipe, *WIDE[recipe], *more, "--evaluation_images", 0)
    return start(words, stdout=subprocess.DEVNULL)


def newest(output: Path) -> int:
    return max((int(path.name[11:]) for path in checkpoints(output)), default=0)


def assert_same_run(one: Path, other: Path, step: int) -> None:
    """Bit for bit the same model, and the same complete state."""
    for name in (
        "generator/diffusion_pytorch_model.safetensors",
        "generator/diffusion_pytorch_model.fp16.safetensors",
        "discriminator/diffusion_pytorch_model.safetensors",
        f"checkpoint-{step}/state.safetensors",
    ):
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys()
        for key in first:
            assert torch.equal(first[key], second[key]), f"{name}: {key}"


# Three processes for each recipe take time: the smallest goes with every run of the tests, the others with slow ones.
KILLED = [name if name == "dcgan" else pytest.param(name, marks=pytest.mark.slow) for name in recipe_names()]


@pytest.mark.parametrize("recipe", KILLED)
def test_killed_and_resumed_is_never_killed(recipe, my_covers, tmp_path, capsys):
    steps = 8
    options = ("--max_train_steps", steps, "--checkpointing_steps", 2, "--logging_steps", 1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(command(my_covers, whole, recipe, *options)) == 0  # in this process, the others in theirs
    output = capsys.readouterr().out
    assert f"watch {(whole / 'progress.html').as_uri()} in a browser" in output
    assert output.splitlines()[-2].startswith("see the covers:  album-gan demo --model")
    assert output.splitlines()[-1].startswith("publish them:")

    process = start(command(my_covers, killed, recipe, *options))
    wait_for(killed / "checkpoint-4", process)
    process.kill()
    process.communicate()
    assert not (killed / "generator").exists(), "the run was over before it could be killed"
    again = finish(start(command(my_covers, killed, recipe, *options, "--resume_from_checkpoint", "latest")))
    assert "resuming from" in again
    assert_same_run(whole, killed, steps)

    numbers = [json.loads(line) for line in (killed / "log.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    for line in (*numbers, *expected):
        assert line.pop("images_per_second") > 0
        assert 0 <= line.pop("waiting_for_data") < 1
    assert numbers == expected
    assert [line["step"] for line in numbers] == list(range(1, steps + 1))

    record = json.loads((whole / "training.json").read_text())
    critic_steps = record[recipe].get("critic_steps", 1)
    assert record["images"] == 4 * steps * critic_steps
    assert record["recipe"] == recipe
    if recipe == "upscaler":
        return  # it enlarges what the bundled model draws, at that model's size
    pipe = AlbumCoverPipeline.from_pretrained(whole)
    covers = pipe(seeds=[0, 1]).images
    assert covers[0].size == (32, 32)
    assert covers[0].tobytes() != covers[1].tobytes()
    assert {int(path.stem) for path in (whole / "history").glob("*.webp")} == {0, record["images"]}
    assert Image.open(next((whole / "samples").glob("0*.png"))).size == (256, 256)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("recipe", WIDE)
def test_twenty_kills_change_nothing(recipe, my_covers, tmp_path):
    """At random times, in the middle of checkpoint writes too."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert writing_each_step(my_covers, whole, recipe).wait(timeout=1_200) == 0

    rng = random.Random(0)
    for kill in range(KILLS):
        before = newest(killed)
        process = writing_each_step(my_covers, killed, recipe)
        deadline = time.monotonic() + 200
        while newest(killed) == before:  # it has begun to train: each step writes a checkpoint
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, f"the run was over before kill {kill + 1}"
        process.kill()
        process.wait()
    assert writing_each_step(my_covers, killed, recipe).wait(timeout=1_200) == 0

    assert_same_run(whole, killed, STEPS)
    assert not [path for path in killed.iterdir() if path.name.startswith(".checkpoint")]
