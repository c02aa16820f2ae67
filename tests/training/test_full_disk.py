"""Training on a full disk: what is written stays whole, what is not is told, and the run goes on."""

import json
import os
import subprocess
import sys

import pytest
from short_runs import ROOT, alarms_of, command

from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from train import main

LIMITED = """
import resource, sys
sys.path.insert(0, ".")
from train import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


def test_a_run_on_a_full_disk_keeps_the_last_checkpoint_and_says_what_is_missing(my_covers, tmp_path):
    """No file may grow beyond half of a checkpoint: the same error, on any machine, as a disk without room."""
    words = command(my_covers, tmp_path, "dcgan", "--checkpointing_steps", 2, "--evaluation_images", 0)
    assert main([*words, "--max_train_steps", "2"]) == 0
    before = (tmp_path / "checkpoint-2" / "state.safetensors").read_bytes()
    words += ["--max_train_steps", "6", "--resume_from_checkpoint", "latest"]
    limited = [sys.executable, "-c", LIMITED, str(len(before) // 2), *words]
    run = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("train.py: checkpoint-6 could not be written into")
    assert last.endswith("make room, then --resume_from_checkpoint latest resumes from checkpoint-2")
    first, second = alarms_of(tmp_path)
    assert first["saw"].startswith("A checkpoint was not written: checkpoint-4 could not be written into")
    assert "checkpoint-6" in second["saw"]
    assert json.loads((tmp_path / "training.json").read_text())["steps"] == 6  # the model is there
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.glob("*checkpoint-*")] == ["checkpoint-2"]
    assert (tmp_path / "checkpoint-2" / "state.safetensors").read_bytes() == before
    assert read_state(latest_checkpoint(tmp_path))["step"] == 2
    assert main([*words, "--max_train_steps", "4"]) == 0
    assert read_state(latest_checkpoint(tmp_path))["step"] == 4


def test_a_full_disk_does_not_end_a_run_that_nobody_can_watch(my_covers, tmp_path):
    """Not even log, page and pictures can be written: it trains to the end, and says so once."""
    words = command(my_covers, tmp_path, "dcgan", "--checkpointing_steps", 5, "--logging_steps", 1)
    limited = [sys.executable, "-c", LIMITED, "50", *words, "--max_train_steps", "9", "--evaluation_images", "0"]
    run = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert "checkpoint-9 could not be written into" in last
    assert last.endswith("start again with --overwrite")
    assert "--resume_from_checkpoint" not in run.stdout + run.stderr  # there is no checkpoint
    assert run.stdout.count("log or pictures not written") == 1
    assert run.stdout.count("checkpoint not written") == 2
    assert "Traceback" not in run.stderr


ROOM_MADE = LIMITED.replace("import resource,", "import pathlib, resource, threading, time,").replace(
    "sys.exit",
    """
def make_room():
    log = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1], "log.jsonl")
    while not (log.exists() and '"alarm"' in log.read_text()):
        time.sleep(0.01)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

threading.Thread(target=make_room, daemon=True).start()
sys.exit""",
)


def test_a_run_goes_on_when_room_has_been_made(my_covers, tmp_path):
    words = command(my_covers, tmp_path, "dcgan", "--max_train_steps", 60, "--checkpointing_steps", 20)
    limited = [sys.executable, "-c", ROOM_MADE, "300000", *words, "--logging_steps", "1", "--evaluation_images", "0"]
    run = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert "checkpoint-20 could not be written" in alarms_of(tmp_path)[0]["saw"]
    assert latest_checkpoint(tmp_path).name == "checkpoint-60"


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
        assert alarms_of(disk / "run")
        assert read_state(latest_checkpoint(disk / "run"))["step"] >= 1
        assert not list((disk / "run").glob(".checkpoint*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
