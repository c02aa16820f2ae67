"""Signals to the process, to its whole group as a terminal sends them, and to the launcher."""

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from drawn_covers import save_covers
from safetensors.torch import load_file
from serving import free_port

from album_gan import AlbumCoverPipeline
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
RECIPES = {
    "dcgan": ["--dcgan.width", "64"],
    # Several batches a step: it may be waiting for one when the signal comes.
    "wgan": ["--wgan.width", "64", "--wgan.critic_steps", "3"],
}


@pytest.fixture(scope="module")
def covers(tmp_path_factory) -> Path:
    return save_covers(tmp_path_factory.mktemp("covers"), 40)


def options(recipe: str, covers: Path, run: Path) -> list[str]:
    """Of a run with two workers that does not end by itself."""
    words = [
        *("--recipe", recipe, *RECIPES[recipe], "--train_data_dir", covers, "--output_dir", run),
        *("--resolution", 32, "--train_batch_size", 4, "--dataloader_num_workers", 2, "--report_to", "none"),
        *("--max_train_steps", 100_000, "--checkpointing_steps", 5, "--evaluation_images", 0),
    ]
    return ["train.py", *map(str, words)]


@pytest.fixture
def begin(covers, tmp_path):
    """Starts a run with two workers in a process group of its own, as a shell does."""
    started = []

    def start(recipe: str, *launcher: str, more: Sequence[str] = (), **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [*(launcher or (sys.executable,)), *options(recipe, covers, tmp_path / "run"), *more],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        started.append(process)
        deadline = time.monotonic() + 150
        while latest_checkpoint(tmp_path / "run") is None:
            assert process.poll() is None, process.communicate()[0][-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        if process.poll() is None:  # a launcher ends its processes, which are not of its group
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(40)
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


LAUNCHER = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1")


def test_a_run_that_could_not_write_does_not_wait_for_its_workers_for_ever(begin, tmp_path):
    """It keeps the error, the error's traceback keeps the loader, and workers ignore signals."""
    process = begin("dcgan")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert "log or pictures not written" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), LAUNCHER], ids=["train.py", "launcher"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_run_whose_output_nobody_reads_any_more_saves_all(launcher, name, begin, tmp_path):
    """Ctrl-C in `train.py | tee log` ends tee as well, and before the run."""
    process = begin("wgan", *launcher)
    process.stdout.close()
    process.stdout = None
    os.killpg(process.pid, getattr(signal, name))
    process.wait(60)
    deadline = time.monotonic() + 60
    while _group_lives(process.pid):  # a launcher may end first
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert_nothing_lost(tmp_path / "run", "")


def test_ctrl_c_under_tee_says_that_it_stops_and_saves_all(covers, tmp_path):
    """As in a terminal, which sends the signal to the whole pipeline."""
    words = shlex.join([sys.executable, *options("dcgan", covers, tmp_path / "run")])
    script = f"cd {shlex.quote(str(ROOT))} && {words} 2>&1 | tee {shlex.quote(str(tmp_path / 'log'))}"
    child, terminal = pytest.importorskip("pty").fork()
    if child == 0:
        os.execvp("sh", ["sh", "-c", script])
    deadline, shown = time.monotonic() + 150, b""
    try:
        while not (tmp_path / "run" / "checkpoint-5").exists():
            assert time.monotonic() < deadline, shown[-2000:]
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)
        os.write(terminal, b"\x03")
        with contextlib.suppress(OSError):  # what a terminal gives that nobody has open any more
            while more := os.read(terminal, 65536):
                shown += more
    finally:
        os.close(terminal)  # ends a run that still goes on
        os.waitpid(child, 0)
    assert b"stopping after this step" in shown
    assert_nothing_lost(tmp_path / "run", (tmp_path / "log").read_text())


def assert_nothing_lost(run: Path, output: str) -> None:
    """A model, and a checkpoint of the very step at which the run ended."""
    assert "Traceback" not in output, output[-3000:]
    steps = json.loads((run / "training.json").read_text())["steps"]
    assert read_state(latest_checkpoint(run))["step"] == steps >= 5
    assert AlbumCoverPipeline.from_pretrained(run)(seeds=[3]).images[0].size == (32, 32)


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("wgan", "SIGINT"),
        *(
            pytest.param(*both, marks=pytest.mark.slow)
            for both in (("dcgan", "SIGHUP"), ("dcgan", "SIGTERM"), ("wgan", "SIGTERM"))
        ),
    ],
)
def test_a_signal_to_the_whole_group_saves_all(recipe, name, begin, tmp_path):
    process = begin(recipe)
    os.killpg(process.pid, getattr(signal, name))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output[-3000:]
    assert_nothing_lost(tmp_path / "run", output)
    steps = json.loads((tmp_path / "run" / "training.json").read_text())["steps"]
    assert f"stopped at step {steps:,} of 100,000; --resume_from_checkpoint latest resumes" in output
    assert "on cpu, 1 process\n" in output
    assert "covers are too few to train from scratch. Start from a trained model" in output


def test_a_second_ctrl_c_ends_at_once_in_one_line(begin):
    # Steps of seconds, so that both arrive in one.
    process = begin("dcgan", more=["--gradient_accumulation_steps", "300", "--checkpointing_steps", "1"])
    process.send_signal(signal.SIGINT)
    assert any("stopping after this step" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    output = process.stdout.read()
    assert process.wait(60) == 130, output[-3000:]
    assert "Traceback" not in output
    assert "train.py: interrupted; --resume_from_checkpoint latest" in output.strip().splitlines()[-1]


@pytest.mark.slow
def test_the_launcher_alone_is_ended(begin, tmp_path):
    """accelerate's launcher does not pass SIGTERM on to its process, which must not train on as an orphan."""
    process = begin("dcgan", *LAUNCHER)
    process.terminate()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "generator").exists() or _group_lives(process.pid):
        assert time.monotonic() < deadline, "the training goes on without its launcher"
        process.poll()
        time.sleep(0.1)
    assert_nothing_lost(tmp_path / "run", "")


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_two_processes_stop_together(name, begin, tmp_path):
    port = str(free_port())
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port)
    process = begin("dcgan", *launcher, ACCELERATE_USE_CPU="true")
    os.killpg(process.pid, getattr(signal, name))
    process.communicate(timeout=120)
    steps = json.loads((tmp_path / "run" / "training.json").read_text())["steps"]
    assert read_state(latest_checkpoint(tmp_path / "run"))["step"] == steps >= 5


def start_pair(words: list[object]) -> list[subprocess.Popen]:
    """Two gloo processes of one training."""
    shared = {
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip
    return [
        subprocess.Popen(
            [sys.executable, "train.py", *map(str, words)], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip


def pair_words(covers: Path, out: Path, recipe: str) -> list[object]:
    return [
        *("--recipe", recipe, "--train_data_dir", covers, "--output_dir", out, "--resolution", 32),
        *("--train_batch_size", 4, "--dataloader_num_workers", 0, "--report_to", "none", "--evaluation_images", 0),
        *("--checkpointing_steps", 5, "--checkpoints_total_limit", 10_000),
        *(["--dcgan.width", 64] if recipe == "dcgan" else []),
    ]  # fmt: skip


def kill_second(processes: list[subprocess.Popen], checkpoint: Path) -> str:
    """Once the checkpoint is there; what the first says to it, within a minute."""
    first, second = processes
    deadline = time.monotonic() + 240
    while not checkpoint.exists():
        assert first.poll() is None, first.communicate()[0][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second.kill()
    output, _ = first.communicate(timeout=60)
    second.communicate()
    assert first.returncode == 2, output[-3000:]
    assert "Traceback" not in output, output[-3000:]
    return output


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dcgan", "projected"])
def test_a_pair_of_which_one_was_killed_resumes_bit_for_bit(recipe, covers, tmp_path):
    words = pair_words(covers, tmp_path / "run", recipe)
    kill_second(start_pair([*words, "--max_train_steps", 100_000]), tmp_path / "run" / "checkpoint-5")
    resume = ["--resume_from_checkpoint", tmp_path / "run" / "checkpoint-5", "--max_train_steps", 10]
    whole = [*pair_words(covers, tmp_path / "whole", recipe), "--max_train_steps", 10]
    if recipe == "projected":  # whose learning rate falls to 0 at the end of the run
        resume, whole = [*resume, "--projected.decay", 0], [*whole, "--projected.decay", 0]
    for more in ([*words, *resume], whole):
        for process in start_pair(more):
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output[-3000:]
    ended = [load_file(tmp_path / name / "checkpoint-10" / "state.safetensors") for name in ("run", "whole")]
    assert ended[0].keys() == ended[1].keys()
    assert all(torch.equal(tensor, ended[1][name]) for name, tensor in ended[0].items())


@pytest.mark.slow
def test_a_lost_process_is_one_line_and_the_run_resumes(covers, tmp_path):
    """Of two gloo processes one is killed: the other ends within a minute and says so."""
    words = pair_words(covers, tmp_path / "run", "dcgan")
    pair = start_pair([*words, "--max_train_steps", 100_000])
    last = kill_second(pair, tmp_path / "run" / "checkpoint-5").strip().splitlines()[-1]
    assert "train.py (process 0): another training process has exited" in last
    resumed = [*words, "--resume_from_checkpoint", "latest", "--max_train_steps", 40]
    alone = subprocess.run(
        [sys.executable, "train.py", *map(str, resumed)], cwd=ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert "batch_size was 8 and is now 4" in alone.stdout
    assert load_file(tmp_path / "run" / "generator" / "diffusion_pytorch_model.safetensors")
