"""Twenty SIGKILLs at random times, in the middle of checkpoint writes too: the run ends as if there had been none."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from album_gan.covers.synthetic import draw_cover
from album_gan.hub.run_checkpoints import checkpoints

ROOT = Path(__file__).parents[2]
KILLS, STEPS = 20, 150
RECIPES = {"dcgan": ["--dcgan.width", "256"], "began": ["--began.width", "32"]}


def start(covers: Path, output: Path, recipe: str) -> subprocess.Popen:
    words = ["--recipe", recipe, *RECIPES[recipe], "--train_data_dir", str(covers), "--output_dir", str(output)]
    words += ["--resolution", "32", "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none"]
    words += ["--max_train_steps", str(STEPS), "--checkpointing_steps", "1", "--resume_from_checkpoint", "latest"]
    words += ["--evaluation_images", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def newest(output: Path) -> int:
    return max((int(path.name[11:]) for path in checkpoints(output)), default=0)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("recipe", RECIPES)
def test_twenty_kills_change_nothing(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    covers = tmp_path / "covers"
    covers.mkdir()
    for index in range(40):
        draw_cover(index, 32).save(covers / f"{index}.png")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(covers, whole, recipe).wait(timeout=1_200) == 0

    rng = random.Random(0)
    for kill in range(KILLS):
        before = newest(killed)
        process = start(covers, killed, recipe)
        deadline = time.monotonic() + 200
        while newest(killed) == before:  # it has begun to train: each step writes a checkpoint
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, f"the run was over before kill {kill + 1}"
        process.kill()
        process.wait()
    assert start(covers, killed, recipe).wait(timeout=1_200) == 0

    for name in (f"checkpoint-{STEPS}/state.safetensors", "generator/diffusion_pytorch_model.safetensors"):
        one, other = load_file(whole / name), load_file(killed / name)
        assert one.keys() == other.keys()
        for key in one:
            assert torch.equal(one[key], other[key]), key
    assert not [path for path in killed.iterdir() if path.name.startswith(".checkpoint")]
