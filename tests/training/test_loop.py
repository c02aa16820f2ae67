"""Training through its real command line: smoke, resume, signals, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from album_gan import AlbumCoverPipeline
from album_gan.covers.synthetic import draw_cover
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from album_gan.recipes.base import recipe_names
from album_gan.training.config import TrainingConfig
from album_gan.training.loop import train
from train import main

ROOT = Path(__file__).parents[2]
SMALL = {
    "began": ["--began.width", "16"],
    "cgan": ["--cgan.width", "64"],
    "dcgan": ["--dcgan.width", "64"],
    "improved_dcgan": ["--improved_dcgan.width", "64"],
    "infogan": ["--infogan.width", "64"],
    "progressive": ["--progressive.width", "32"],
    "r3gan": ["--r3gan.width", "32", "--r3gan.blocks", "1"],
    "vanilla": ["--vanilla.width", "64"],
    "wgan": ["--wgan.width", "64", "--wgan.critic_steps", "2"],
    "wgan_gp": ["--wgan_gp.width", "32", "--wgan_gp.critic_steps", "2"],
}
QUICK = ["--resolution", "32", "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none"]


@pytest.fixture(scope="session")
def my_covers(tmp_path_factory) -> Path:
    """A folder of 40 drawn covers as JPEG files, and a cache for them."""
    folder = tmp_path_factory.mktemp("my_covers")
    os.environ["ALBUM_GAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    for index in range(40):
        draw_cover(index, 48).save(folder / f"{index}.jpg", quality=95)
    return folder


def command(covers: Path, output: Path, recipe: str, *more: object) -> list[str]:
    return [
        *("--recipe", recipe, "--train_data_dir", str(covers), "--output_dir", str(output)),
        *(*QUICK, *SMALL.get(recipe, []), *map(str, more)),
    ]


def start(arguments: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    return output


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline, f"{path.name} does not appear"
        time.sleep(0.01)


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


# Three processes for each recipe take time: these two go with every run of the tests, the others with the slow ones.
ALWAYS = ("dcgan", "projected")
KILLED = [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in recipe_names()]


@pytest.mark.parametrize("recipe", KILLED)
def test_killed_and_resumed_is_never_killed(recipe, my_covers, tmp_path):
    steps = 12
    options = ("--max_train_steps", steps, "--checkpointing_steps", 3, "--logging_steps", 1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    output = finish(start(command(my_covers, whole, recipe, *options)))
    assert f"watch {(whole / 'progress.html').as_uri()} in a browser" in output
    assert output.splitlines()[-2].startswith("see the covers:  album-gan demo --model")
    assert output.splitlines()[-1].startswith("publish them:")

    process = start(command(my_covers, killed, recipe, *options))
    wait_for(killed / "checkpoint-6", process)
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
    assert len(list((whole / "history").glob("*.webp"))) == 1  # step 0
    assert Image.open(next((whole / "samples").glob("0*.png"))).size == (256, 256)


def test_a_polite_stop_leaves_a_checkpoint_and_a_model(my_covers, tmp_path):
    arguments = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 100_000, "--checkpointing_steps", 5)
    process = start(arguments)
    wait_for(tmp_path / "checkpoint-5", process)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert read_state(latest_checkpoint(tmp_path))["step"] >= 5
    assert AlbumCoverPipeline.from_pretrained(tmp_path)(seeds=[3]).images[0].size == (32, 32)


def test_starting_from_a_trained_model(my_covers, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(command(my_covers, first, "dcgan", "--max_train_steps", 2)) == 0
    assert main(command(my_covers, second, "dcgan", "--max_train_steps", 1, "--init_from", first)) == 0
    before = load_file(first / "generator/diffusion_pytorch_model.safetensors")
    after = load_file(second / "generator/diffusion_pytorch_model.safetensors")
    # One step of the thousand of warm-up: hardly moved, but moved.
    moved = (before["project.weight"] - after["project.weight"]).abs().max().item()
    assert moved < 0.002
    afresh = tmp_path / "afresh"
    assert main(command(my_covers, afresh, "dcgan", "--max_train_steps", 1, "--seed", 5)) == 0
    other = load_file(afresh / "generator/diffusion_pytorch_model.safetensors")
    assert (before["project.weight"] - other["project.weight"]).abs().max().item() > 0.02


def test_init_from_another_architecture_says_so(my_covers, tmp_path, capsys):
    first = tmp_path / "first"
    assert main(command(my_covers, first, "dcgan", "--max_train_steps", 1)) == 0
    wider = command(my_covers, tmp_path / "x", "dcgan", "--init_from", first, "--dcgan.width", 128)
    assert main(wider) == 2
    assert "does not fit this run's DCGANGenerator; use the same recipe" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_resume_where_there_is_nothing_yet_starts_afresh(my_covers, tmp_path, capsys):
    arguments = command(my_covers, tmp_path / "run", "dcgan", "--max_train_steps", 1)
    assert main([*arguments, "--resume_from_checkpoint", "latest"]) == 0
    assert "no checkpoint in" in capsys.readouterr().out


def test_gradients_are_accumulated(my_covers, tmp_path):
    """Two halves of a batch give about the whole batch's step; dcgan's BatchNorm sees halves, so only about."""
    runs = {}
    for name, more in (("whole", ()), ("halves", ("--train_batch_size", 2, "--gradient_accumulation_steps", 2))):
        folder = tmp_path / name
        assert main(command(my_covers, folder, "dcgan", "--max_train_steps", 1, *more)) == 0
        runs[name] = load_file(folder / "checkpoint-1" / "state.safetensors")
        assert json.loads((folder / "training.json").read_text())["images"] == 4
    moments = [run["discriminator_optimizer.0.exp_avg"].flatten() for run in runs.values()]
    assert torch.cosine_similarity(*moments, dim=0) > 0.5


def test_bare_call_prints_three_commands():
    process = subprocess.run([sys.executable, "train.py"], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2
    assert process.stderr.count("accelerate launch train.py") == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--resolution", "100"], "resolution must be a power of two from 32 to 512 for recipe projected, got 100"),
        (["--recipe", "nogan"], "recipe must be one of"),
        (["--train_data_dir", "{tmp}/empty"], "train_data_dir must hold pictures"),
        (["--train_data_dir", "{tmp}/missing"], "train_data_dir must be a folder"),
        (["--train_batch_size", "0"], "train_batch_size must be at least 1, got 0"),
        (["--resume_from_checkpoint", "{tmp}/none"], "is no whole checkpoint"),
        (["--init_from", "{tmp}/none"], "must be bundled, teaching, a folder or a Hub id"),
    ],
)
def test_bad_input_is_one_line(more, message, my_covers, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    more = [word.replace("{tmp}", str(tmp_path)) for word in more]
    output = tmp_path / "out"
    assert main([*("--train_data_dir", str(my_covers), "--output_dir", str(output), "--report_to", "none"), *more]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("train.py: ")
    assert message in error
    assert not output.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--mixed_precision", "fp16"], "Expected one of ('auto', 'no', 'bf16')"),
        (["--max_train_steps", "many"], "--max_train_steps"),
        (["--reslution", "64"], "Perhaps you meant"),
    ],
)
def test_options_of_a_wrong_name_or_type_are_explained(more, message, my_covers, tmp_path, capsys):
    assert main(["--train_data_dir", str(my_covers), "--output_dir", str(tmp_path / "out"), *more]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_dashes_and_underscores_are_the_same(my_covers, tmp_path, capsys):
    assert main(["--train-data-dir=" + str(tmp_path / "a-b_c"), "--output-dir", "x"]) == 2
    assert "a-b_c" in capsys.readouterr().err


def test_a_changed_setting_is_said_on_resume(my_covers, tmp_path, capsys):
    arguments = command(my_covers, tmp_path, "vanilla", "--max_train_steps", 1)
    assert main(arguments) == 0
    longer = command(my_covers, tmp_path, "vanilla", "--max_train_steps", 2, "--resume_from_checkpoint", "latest")
    assert main([*longer, "--vanilla.learning_rate", "1e-3"]) == 0
    said = capsys.readouterr().out
    assert "max_train_steps was 1 and is now 2" in said
    assert "'learning_rate': 0.001" in said
    with pytest.raises(ValueError, match="recipe must stay 'vanilla'"):
        train(
            TrainingConfig(
                recipe="dcgan", train_data_dir=str(my_covers), output_dir=str(tmp_path), resolution=32,
                resume_from_checkpoint="latest", report_to="none",
            )
        )  # fmt: skip


LIMITED = """
import resource, sys
sys.path.insert(0, ".")
from train import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk_ends_the_run_and_keeps_the_last_checkpoint(my_covers, tmp_path):
    """No file may grow beyond half of a checkpoint: the same error, on any machine, as a disk without room."""
    words = command(my_covers, tmp_path, "dcgan", "--checkpointing_steps", 2, "--evaluation_images", 0)
    assert main([*words, "--max_train_steps", "2"]) == 0
    before = (tmp_path / "checkpoint-2" / "state.safetensors").read_bytes()
    words += ["--max_train_steps", "6", "--resume_from_checkpoint", "latest"]
    limited = [sys.executable, "-c", LIMITED, str(len(before) // 2), *words]
    run = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("train.py: checkpoint-4 could not be written into")
    assert "make room, then --resume_from_checkpoint latest resumes from the last whole one" in last
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.glob("*checkpoint-*")] == ["checkpoint-2"]
    assert (tmp_path / "checkpoint-2" / "state.safetensors").read_bytes() == before
    assert read_state(latest_checkpoint(tmp_path))["step"] == 2
    assert main([*words, "--max_train_steps", "4"]) == 0
    assert read_state(latest_checkpoint(tmp_path))["step"] == 4


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="needs root, to make a small disk")
def test_a_disk_that_is_really_full(my_covers, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts no small disk")
    try:
        words = command(my_covers, disk / "run", "dcgan", "--max_train_steps", 40, "--checkpointing_steps", 1)
        assert main([*words, "--checkpoints_total_limit", "20", "--evaluation_images", "0"]) == 2
        assert "make room, then --resume_from_checkpoint latest" in capsys.readouterr().err.splitlines()[-1]
        assert read_state(latest_checkpoint(disk / "run"))["step"] >= 1
        assert not list((disk / "run").glob(".checkpoint*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_best_by_kid_is_kept_apart(my_covers, tmp_path, monkeypatch):
    """best/ is a model, and a checkpoint to go on from; rotation leaves it alone."""
    from album_gan.training.watching.monitor import Monitor

    kids = iter([0.5, 0.3, 0.4, 0.6])

    def evaluate(self, images, samples, scores):
        kid = next(kids)
        self.run_log.log(images, {"kid": kid, "kid_floor": 0.01, "recall": 0.1})
        return kid

    monkeypatch.setattr(Monitor, "evaluate", evaluate)
    monkeypatch.setattr("album_gan.training.watching.monitor.FEW_HELD_OUT", 1)
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 8, "--checkpointing_steps", 1)
    assert main([*words, "--evaluation_images", "8", "--checkpoints_total_limit", "1"]) == 0
    assert read_state(tmp_path / "best")["step"] == 4
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-8"]
    assert AlbumCoverPipeline.from_pretrained(tmp_path / "best").fingerprint
    page = (tmp_path / "progress.html").read_text()
    assert "Best 300 at 16 images" in page
    assert 'http-equiv="refresh"' not in page  # it is over
    shutil.rmtree(tmp_path / "checkpoint-8")
    more = ["--resume_from_checkpoint", str(tmp_path / "best"), "--evaluation_images", "0"]
    assert main([*words, *more]) == 0
    assert read_state(latest_checkpoint(tmp_path))["step"] == 8


@pytest.mark.slow  # a compiler takes minutes
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_networks_train_and_are_saved_as_others(my_covers, tmp_path):
    arguments = command(my_covers, tmp_path / "run", "projected", "--max_train_steps", 3, "--compile")
    process = start(arguments)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    assert len(AlbumCoverPipeline.from_pretrained(str(tmp_path / "run"))(seeds="1-2").images) == 2
    weights = load_file(latest_checkpoint(tmp_path / "run") / "state.safetensors")
    assert not [name for name in weights if "_orig_mod" in name]


@pytest.mark.slow
def test_deterministic_kernels_change_nothing_on_cpus(my_covers, tmp_path):
    """In processes of their own: the switch is the process's."""
    runs = []
    for more in ([], ["--deterministic"]):
        folder = tmp_path / f"run{len(runs)}"
        process = start(command(my_covers, folder, "projected", "--max_train_steps", 2, *more))
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        runs.append(load_file(latest_checkpoint(folder) / "state.safetensors"))
    assert all(torch.equal(tensor, runs[1][name]) for name, tensor in runs[0].items())
