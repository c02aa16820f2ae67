"""Commands that a dry run prints: other programs take them as they are."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from album_gan.cli.launch import launch, lines, options_of_the_run
from album_gan.cli.train import main, parse

RUN = ["--train_data_dir", "my covers", "--minutes=60", "--report_to", "none"]
MORE = ["--dry_run", "--price-per-hour", "0.8", "--on=hf:l4x1"]


def test_what_only_describes_a_run_is_left_out():
    assert options_of_the_run([*MORE, *RUN[:2], "--price_per_hour=1", "--on", "hf:h200", *RUN[2:]]) == RUN


def test_accelerate_takes_every_line():
    commands = [shlex.split(line) for line in lines([*RUN, *MORE]) if line.startswith("  ")]
    assert len(commands) >= 4
    for command in commands:
        assert command[:2] == ["accelerate", "launch"]
        parsed = launch_command_parser().parse_args(command[2:])
        assert parsed.training_script == "train.py"
        assert parsed.training_script_args == RUN
        assert parsed.multi_gpu == (parsed.num_processes > 1)
    assert (parsed.num_machines, parsed.num_processes, parsed.machine_rank) == (2, 8, 1)
    assert launch_command_parser().parse_args(shlex.split(launch(RUN, cpu=True))[2:]).cpu


def test_a_dry_run_on_the_cpu_tells_how_to_train_on_gpus():
    on_cpu, *on_gpus = (shlex.split(line) for line in lines([*RUN, "--device", "cpu"]) if line.startswith("  "))
    assert on_cpu[-2:] == ["--device", "cpu"]
    assert all("--device" not in words for words in on_gpus)


def job(capsys, *more: str) -> list[str]:
    assert main([*RUN, *MORE[:3], *more]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_job_trains_on_the_covers_of_this_machine(capsys):
    *_, archive, line = job(capsys, "--on", "hf:l4x4", "--push_to_hub", "--hub_model_id", "me/covers")
    assert archive.startswith("rm -rf /tmp/album_gan && git archive")
    words = shlex.split(line)
    assert words[: words.index("-v")] == [
        "hf",
        "jobs",
        "run",
        "--flavor",
        "l4x4",
        "--timeout",
        "90m",
        "--secrets",
        "HF_TOKEN",
    ]
    assert f"{Path('my covers').absolute()}:/covers:ro" in words
    steps = words[-1].split(" && ")
    assert "album-gan doctor" in steps
    command = shlex.split(steps[-1])
    assert command[command.index("--num_processes") + 1] == "4"
    config = parse(command[command.index("train.py") + 1 :])[1]
    assert (config.train_data_dir, config.minutes, config.hub_model_id) == ("/covers", 60, "me/covers")


def test_a_job_gets_the_local_files_that_the_run_reads(capsys, tmp_path):
    (tmp_path / "run").mkdir()
    preset = tmp_path / "mine.json"
    preset.write_text('{"about": "Small.", "resolution": 64}')
    *others, line = job(capsys, "--on", "hf:t4-small", "--init_from", str(tmp_path / "run"), "--config", str(preset))
    assert not any("Small." in other for other in others)
    words = shlex.split(line)
    assert f"{tmp_path / 'run'}:/init_from:ro" in words
    command = shlex.split(words[-1].split(" && ")[-1])
    config = parse(command[command.index("train.py") + 1 :])[1]
    assert (config.init_from, config.resolution) == ("/init_from", 64)
    assert "mine.json" not in line  # the file is not there
    hub = job(capsys, "--on", "hf:t4-small", "--init_from", "me/covers")[-1]
    assert "/init_from" not in hub
    assert main([*RUN, *MORE[:3], "--on", "hf:t4-small", "--data_files", "my/*.parquet"]) == 2
    assert "data_files must be left out on hf:t4-small, got 'my/*.parquet'" in capsys.readouterr().err


def test_what_a_job_would_lose_is_said_first(capsys):
    assert "add --push_to_hub" in job(capsys, "--on", "hf:a100-large")[0]


@pytest.mark.slow
def test_hf_takes_the_job(tmp_path):
    """Its own dry run, which resolves the job and submits nothing."""
    (tmp_path / "covers").mkdir()
    words = [
        sys.executable,
        Path(__file__).parents[2] / "train.py",
        "--train_data_dir",
        tmp_path / "covers",
        "--dry_run",
    ]
    printed = subprocess.run([*words, "--on", "hf:t4-small"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "code").mkdir()  # in place of the folder into which the archive is unpacked
    unpacked, here = "/tmp/album_gan:", f"{tmp_path / 'code'}:"
    assert unpacked in printed
    _, *command = shlex.split(printed.splitlines()[-1].replace(unpacked, here))
    hf = Path(sys.executable).with_name("hf")
    environment = {"HF_TOKEN": "hf_none", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    taken = subprocess.run(
        [hf, *command[:2], "--dry-run", *command[2:]], env=environment, capture_output=True, text=True
    )
    assert "Job not submitted" in taken.stdout, taken.stderr


@pytest.mark.parametrize(
    ("place", "message"),
    [("hf:abacus", "on must be hf: and one of cpu-basic, "), ("moon:l4x1", "got 'moon:l4x1'; e.g. hf:l4x1")],
)
def test_places_that_do_not_exist(place, message, capsys):
    assert main([*RUN, "--dry_run", "--on", place]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_started_by_mistake(capsys):
    assert main([*RUN, "--on", "hf:l4x1"]) == 2
    assert "on needs --dry_run" in capsys.readouterr().err
