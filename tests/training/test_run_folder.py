"""What a run may do to the folder that it trains in: start, refuse, overwrite, resume, and what it deletes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_covers import save_covers
from safetensors.torch import load_file

from album_gan.hub.run_checkpoints import checkpoints, read_state
from album_gan.training import run_folder
from album_gan.training.checkpoint import tidy_up
from album_gan.training.config import TrainingConfig
from album_gan.training.run_folder import clear_folder
from train import main


@pytest.fixture
def words(tmp_path) -> list[str]:
    """A tiny run in tmp_path/run."""
    covers = save_covers(tmp_path / "covers", 30)
    return [
        *("--recipe", "dcgan", "--dcgan.width", "64", "--resolution", "32", "--train_batch_size", "4"),
        *("--train_data_dir", str(covers), "--output_dir", str(tmp_path / "run"), "--report_to", "none"),
        *("--dataloader_num_workers", "0", "--evaluation_images", "0", "--logging_steps", "1"),
    ]


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_in_a_used_folder_is_refused_and_changes_nothing(words, tmp_path, capsys):
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "4", "--checkpointing_steps", "2"]) == 0
    before = everything_in(run)
    assert main([*words, "--max_train_steps", "2"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "already holds a run (log.jsonl)" in error
    assert "--resume_from_checkpoint latest, choose another output_dir, or delete it with --overwrite" in error
    assert everything_in(run) == before


def test_a_folder_in_use_is_left_alone(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_folder, "SECONDS_TO_LET_GO", 0)
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "1"]) == 0
    before = everything_in(run)
    holding = "import sys; from pathlib import Path; from album_gan.training.run_folder import claimed\n"
    holding += "with claimed(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", holding, str(run)], stdin=-1, stdout=-1) as other:
        assert other.stdout.readline() == b"held\n"
        assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 2
        assert "in use by another run" in capsys.readouterr().err
        assert everything_in(run) == {**before, ".lock": b""}
        other.kill()
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 0


def test_a_runs_folder_stands_for_its_newest_checkpoint(words, tmp_path, capsys):
    run, more = tmp_path / "run", tmp_path / "more"
    assert main([*words, "--max_train_steps", "2", "--checkpointing_steps", "1"]) == 0
    modes = {path.stat().st_mode & 0o777 for path in (run / "checkpoint-2").iterdir()}
    assert len(modes) == 1  # whoever may read one file may read all
    copied = [*words, "--output_dir", str(more), "--resume_from_checkpoint", str(run), "--max_train_steps", "3"]
    assert main(copied) == 0
    assert f"resuming from {run / 'checkpoint-2'}" in capsys.readouterr().out

    fresh = [*words, "--output_dir", str(tmp_path / "fresh"), "--max_train_steps", "1"]
    assert main([*fresh, "--init_from", str(run / "checkpoint-2")]) == 2
    assert (
        f"checkpoint-2 is a checkpoint, for --resume_from_checkpoint; the run's model is in {run}"
        in capsys.readouterr().err
    )
    assert main([*fresh, "--init_from", str(run), "--dcgan.latent_dim", "50"]) == 2
    assert (
        "a DCGANGenerator that does not fit this run's DCGANGenerator (latent_dim 100 there and 50 here)"
        in capsys.readouterr().err
    )


def test_overwriting_deletes_the_old_run_and_nothing_else(words, tmp_path):
    run = tmp_path / "run"
    words[words.index("--report_to") + 1] = "tensorboard"
    assert main([*words, "--max_train_steps", "6", "--checkpointing_steps", "3"]) == 0
    (run / "notes.txt").write_text("mine")
    tracked = set((run / "album_gan").rglob("*"))
    assert tracked
    old = read_state(run / "checkpoint-6")["run_id"]
    # Of the new run, none may be taken for the oldest: its step numbers are lower.
    more = ["--overwrite", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2"]
    assert main([*words, "--max_train_steps", "3", *more]) == 0
    assert [path.name for path in checkpoints(run)] == ["checkpoint-2", "checkpoint-3"]
    assert read_state(run / "checkpoint-3")["run_id"] != old
    assert (run / "notes.txt").read_text() == "mine"
    assert tracked.isdisjoint((run / "album_gan").rglob("*"))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("samples/1.png", ["--overwrite"]),
        ("history/02.webp", ["--resume_from_checkpoint", "latest"]),
        ("best/training.json", []),
        ("generator/config.json", ["--overwrite"]),
        ("best/1.jpg", ["--overwrite"]),
        ("checkpoint-1/mine.txt", []),
        ("model_index.json", ["--overwrite"]),
    ],
)
def test_pictures_in_folders_named_as_a_runs_are_the_users(words, tmp_path, capsys, name, more):
    mine = tmp_path / "run" / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    assert main([*words, "--max_train_steps", "1", *more]) == 2
    assert f"holds {name.partition('/')[0]}, which is not from a run" in " ".join(capsys.readouterr().err.split())
    assert everything_in(tmp_path / "run") == {name: b"mine"}


def test_overwriting_keeps_the_users_files_in_a_runs_folders(words, tmp_path):
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "1"]) == 0
    mine = ["best/1.jpg", "history/mine.webp", "samples/favourite.png", "checkpoint-1/notes.txt", "album_gan/notes.txt"]
    for name in mine:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    clear_folder(TrainingConfig(output_dir=str(run), report_to="none", overwrite=True))
    assert everything_in(run) == dict.fromkeys(mine, b"mine")


@pytest.mark.parametrize("inside", [".", "covers", "more"])
def test_covers_and_run_are_in_separate_folders(words, tmp_path, capsys, inside):
    covers = tmp_path / "covers"
    before = everything_in(covers)
    output_dir = {".": tmp_path, "covers": covers, "more": covers / "more"}[inside]
    words[words.index("--output_dir") + 1] = str(output_dir)
    assert main([*words, "--max_train_steps", "1", "--overwrite"]) == 2
    assert "output_dir must be separate from train_data_dir" in capsys.readouterr().err
    assert everything_in(covers) == before


def test_overwriting_deletes_the_code_of_a_finished_run_alone(tmp_path):
    config = TrainingConfig(output_dir=str(tmp_path), report_to="none", overwrite=True)
    for name in ("pipeline.py", "latents.py", "mine.py", "log.jsonl"):
        (tmp_path / name).write_text("")
    clear_folder(config)
    assert {path.name for path in tmp_path.iterdir()} == {"pipeline.py", "latents.py", "mine.py"}
    for name in ("model_index.json", "training.json"):
        (tmp_path / name).write_text("{}")
    clear_folder(config)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.py"}


def test_resuming_from_an_earlier_checkpoint_sets_later_ones_aside(words, tmp_path, capsys):
    run = tmp_path / "run"
    words += ["--checkpointing_steps", "1", "--checkpoints_total_limit", "4"]
    assert main([*words, "--max_train_steps", "4"]) == 0
    state = read_state(run / "checkpoint-2")
    shutil.copytree(run / "checkpoint-4", run / "best")
    leftover = run / "history" / ".000000009.webp.0a1b2c3d.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    earlier = ["--resume_from_checkpoint", str(run / "checkpoint-2"), "--checkpoints_total_limit", "1"]
    assert main([*words, *earlier, "--max_train_steps", "3"]) == 0
    assert [path.name for path in checkpoints(run)] == ["checkpoint-3"]  # the one just written
    assert read_state(run / "superseded-checkpoint-4")["step"] == 4
    assert not leftover.exists()
    assert read_state(run / "superseded-best")["step"] == 4
    assert not (run / "best").exists()
    assert "a later checkpoint of this run is now" in capsys.readouterr().out
    assert read_state(run / "checkpoint-3")["run_id"] == state["run_id"]


def test_what_was_set_aside_earlier_stays(words, tmp_path):
    run = tmp_path / "run"
    words += ["--checkpointing_steps", "1", "--checkpoints_total_limit", "4", "--max_train_steps", "2"]
    assert main(words) == 0
    for name in ("superseded-checkpoint-2", "superseded-best"):
        shutil.copytree(run / "checkpoint-2", run / name)
        (run / name / "mine.txt").write_text("the first")
    shutil.copytree(run / "checkpoint-2", run / "best")
    (run / "best" / "model_index.json").write_text("{}")
    (run / "best" / "pipeline.py").write_text("")
    assert main([*words, "--resume_from_checkpoint", str(run / "checkpoint-1")]) == 0
    for name in ("superseded-checkpoint-2", "superseded-best"):
        assert (run / name / "mine.txt").read_text() == "the first"
        assert read_state(run / f"{name}-2")["step"] == 2
    assert main([*words, "--overwrite"]) == 0  # which deletes all of it, but not the user's
    left = [path for path in run.glob("superseded-*/**/*") if path.is_file()]
    assert {path.name for path in left} == {"mine.txt"}
    assert not (run / "superseded-checkpoint-2-2").exists()


def test_a_run_is_not_resumed_into_the_folder_of_another(words, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "other"
    assert main([*words, "--max_train_steps", "1"]) == 0
    words[words.index("--output_dir") + 1] = str(other)
    assert main([*words, "--max_train_steps", "1", "--seed", "1"]) == 0
    before = everything_in(other)
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", str(run / "checkpoint-1")]) == 2
    assert "holds another run than the checkpoint to resume from" in capsys.readouterr().err.splitlines()[-1]
    assert everything_in(other) == before


def test_a_run_resumed_into_another_folder_takes_its_log_along(words, tmp_path, capsys):
    run, other = tmp_path / "run", tmp_path / "other"
    words += ["--checkpointing_steps", "1", "--logging_steps", "1"]
    assert main([*words, "--max_train_steps", "2"]) == 0
    words[words.index("--output_dir") + 1] = str(other)
    words += ["--resume_from_checkpoint", str(run)]
    assert main([*words, "--max_train_steps", "3"]) == 0
    steps = [json.loads(line).get("step") for line in (other / "log.jsonl").read_text().splitlines()]
    assert [step for step in steps if step] == [1, 2, 3]
    pictures = [path.name for path in (run / "history").iterdir()]
    assert pictures
    assert set(pictures) <= {path.name for path in (other / "history").iterdir()}
    assert main([*words, "--max_train_steps", "4"]) == 0  # the same command
    assert f"resuming from {other / 'checkpoint-3'}" in capsys.readouterr().out


def test_a_finished_run_says_so(words, capsys):
    assert main([*words, "--max_train_steps", "1"]) == 0
    assert main([*words, "--max_train_steps", "1", "--resume_from_checkpoint", "latest"]) == 0
    assert (
        "this run has already completed its 1 steps; to train longer, raise --max_train_steps"
        in capsys.readouterr().out
    )


def test_a_model_without_checkpoints_is_not_started_over(words, tmp_path, capsys):
    """Checkpoints are large, so a finished run's are deleted first; a downloaded model has none."""
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "1"]) == 0
    shutil.rmtree(run / "checkpoint-1")
    before = everything_in(run)
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        f"holds a model, but no checkpoint to resume from; choose another output_dir, where --init_from {run}" in error
    )
    assert everything_in(run) == before


def test_a_run_killed_before_its_first_checkpoint_resumes_from_its_best(words, tmp_path, capsys):
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "2"]) == 0
    (run / "checkpoint-2").rename(run / "best")
    (run / "model_index.json").unlink()  # written at the end
    assert main([*words, "--max_train_steps", "3", "--resume_from_checkpoint", "latest"]) == 0
    assert f"resuming from {run / 'best'}" in capsys.readouterr().out
    assert read_state(run / "best")["step"] == 2
    assert read_state(run / "checkpoint-3")["step"] == 3


def test_corrupt_checkpoints_are_not_started_over(words, tmp_path, capsys):
    assert main([*words, "--max_train_steps", "1"]) == 0
    (tmp_path / "run" / "checkpoint-1" / "state.safetensors").write_bytes(b"torn")
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 2
    assert "no checkpoint in" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "run" / "checkpoint-1").exists()


def test_an_output_dir_that_is_a_file_is_one_line(words, tmp_path, capsys):
    (tmp_path / "run").write_text("a file")
    assert main(words) == 2
    assert "output_dir must be a folder" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_replaced_halfway_gets_its_name_back(tmp_path):
    """A kill between the two renames leaves the old one under another name, and one after them both."""
    mine = [".config.old", ".mine.tmp", ".checkpoint-mine.old"]
    for name in (".best.old", ".checkpoint-2.old", "checkpoint-2", *mine):
        (tmp_path / name).mkdir()
    tidy_up(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["best", "checkpoint-2", *mine])


@pytest.mark.parametrize("more", ["--overwrite", "--resume_from_checkpoint=latest"])
def test_what_a_killed_run_had_half_written_is_deleted(words, tmp_path, more):
    run = tmp_path / "run"
    assert main([*words, "--max_train_steps", "1"]) == 0
    for name in (".checkpoint-7.tmp", ".best.tmp", ".checkpoint-1.old"):
        (run / name).mkdir()
        (run / name / "state.safetensors").write_bytes(b"half")
    assert main([*words, "--max_train_steps", "2", more]) == 0
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def statistics_batches(run: Path) -> int:
    """Batches that the BatchNorm statistics of a run's model were taken over."""
    weights = load_file(run / "generator" / "diffusion_pytorch_model.safetensors")
    (count,) = {int(tensor) for name, tensor in weights.items() if name.endswith("num_batches_tracked")}
    return count


def test_an_init_from_run_resumes_with_its_warm_up_bit_for_bit(words, tmp_path):
    first, whole, parts = (tmp_path / name for name in ("first", "whole", "parts"))
    words[words.index("--output_dir") + 1] = str(first)
    assert main([*words, "--max_train_steps", "2"]) == 0
    fine = ["--init_from", str(first), "--checkpointing_steps", "2", "--max_train_steps", "4"]
    words[words.index("--output_dir") + 1] = str(whole)
    assert main([*words, *fine]) == 0
    parts.mkdir()
    (whole / "checkpoint-2").rename(parts / "checkpoint-2")
    words[words.index("--output_dir") + 1] = str(parts)
    # Both with the option that began the run and without it: where it came from belongs to its state.
    for option in (fine, fine[2:]):
        assert main([*words, *option, "--resume_from_checkpoint", str(parts / "checkpoint-2")]) == 0
        name = "checkpoint-4/state.safetensors"
        ours, theirs = load_file(parts / name), load_file(whole / name)
        assert all((ours[key] == theirs[key]).all() for key in theirs)
        # Weights that are trained already deserve good statistics, those of a run's first steps do not.
        assert statistics_batches(parts) == statistics_batches(whole) == 100
    assert statistics_batches(first) == 9  # after 8 images


@pytest.mark.slow
def test_a_term_of_every_other_step_is_in_the_log(words, tmp_path):
    """`projected` compares whole covers in even steps only, and an even number of steps ends with an odd one."""
    words[1] = "projected"
    del words[2:4]
    more = ["--max_train_steps", "8", "--checkpointing_steps", "3", "--sample_images", "100000"]
    words[words.index("--logging_steps") + 1] = "4"
    assert main([*words, *more]) == 0
    whole = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in whole] == [1, 2, 4, 5, 8]  # the first ones soon, then every fourth
    assert all(line["generator/mixture"] > 0 for line in whole if line["step"] % 4 == 0)
    # A run that is resumed between two lines logs the same means.
    resumed = ["--resume_from_checkpoint", str(tmp_path / "run" / "checkpoint-3")]
    assert main([*words, *more, *resumed]) == 0
    again = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for line in (*whole, *again):
        del line["images_per_second"], line["waiting_for_data"]
    assert again == whole


def test_a_run_is_not_resumed_and_deleted_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"overwrite must not be set .* latest: .*; leave one out"):
        TrainingConfig(output_dir=str(tmp_path), report_to="none", overwrite=True, resume_from_checkpoint="latest")
