"""`album-gan start`: one command from a pile of pictures to a model, which resumes when it is typed again."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from short_runs import wait_until

from album_gan.cli.main import main
from album_gan.cli.start import _options, _rows
from album_gan.covers.recommended_settings import settings_for
from album_gan.covers.synthetic import draw_cover
from album_gan.hub.run_checkpoints import sha256_of

TINY = ("--recipe", "dcgan", "--dcgan.width", "8", "--resolution", "32", "--train_batch_size", "4")
TINY += (
    "--dataloader_num_workers",
    "0",
    "--evaluation_images",
    "0",
    "--report_to",
    "none",
    "--checkpointing_steps",
    "2",
)


@pytest.fixture(scope="module")
def pile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "my_pile"
    folder.mkdir()
    for index in range(60):
        draw_cover(index, 128 + index % 3).save(folder / f"{index}.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def start(folder: Path, *words: str, **more) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **more}
    words = (sys.executable, "-m", "album_gan", "start", *words)
    return subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_settings_are_for_the_covers_to_train_on(tmp_path):
    (tmp_path / "data").mkdir()
    for name, count in (("train-00000-of-00001", 3), ("test-00000-of-00001", 1)):
        parquet.write_table(pa.table({"id": ["x"] * count}), tmp_path / "data" / f"{name}.parquet")
    assert _rows(tmp_path) == 3


def test_few_covers_start_from_the_bundled_model():
    options, why = settings_for(545, "2 CPU cores", gpu=False)
    assert options == {"minutes": "60", "init_from": "bundled", "resolution": "128"}
    assert why.startswith("545 covers are few: it starts from the bundled model")


def test_many_covers_on_a_gpu_start_from_nothing():
    options, _ = settings_for(5_000, "a GPU", gpu=True)
    assert options == {"minutes": "240", "train_batch_size": "64", "resolution": "128"}
    assert settings_for(50_000, "a GPU", gpu=True)[0]["resolution"] == "256"
    assert settings_for(50_000, "a GPU", gpu=True, side=128)[0]["resolution"] == "128"
    assert settings_for(50_000, "2 CPU cores", gpu=False)[0]["init_from"] == "bundled"


@pytest.mark.parametrize(("side", "resolution"), [(127, "64"), (64, "64"), (40, "32"), (16, "32")])
def test_small_covers_are_not_enlarged_for_the_bundled_model(side, resolution):
    options, why = settings_for(545, "2 CPU cores", gpu=False, side=side)
    assert options == {"minutes": "60", "resolution": resolution}
    assert f"545 covers of {side} px are too small for the bundled model" in why


@pytest.mark.parametrize(
    ("more", "starts"),
    [
        ([], True),
        (["--resolution", "128"], True),  # what it would have chosen itself
        (["--recipe=projected", "--learning_rate", "1e-4"], True),
        (["--resolution=64"], False),
        (["--recipe", "dcgan"], False),
        (["--init_from", "teaching"], False),
    ],
)
def test_options_that_the_bundled_model_does_not_fit_leave_it_out(more, starts):
    options, why = _options(argparse.Namespace(device="cpu", minutes=None), more, 545)
    assert ("bundled" in options) is starts
    assert ("your settings" in why) is not starts
    assert options[-len(more) :] == more or not more


def test_a_preset_is_not_overridden_by_recommendations():
    words = ["--config", "configs/live-talk.json"]
    options, why = _options(argparse.Namespace(device="cpu", minutes=None), words, 5000)
    assert (options, why) == (["--device", "cpu", *words], "5,000 covers, with the settings of configs/live-talk.json.")
    assert _options(argparse.Namespace(device="cpu", minutes=7), words, 5000)[0][:2] == ["--minutes", "7"]


def test_a_dry_run_says_all_and_writes_nothing(pile, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["start", str(pile), "--dry_run", "--minutes", "3", *TINY]) == 0
    text = capsys.readouterr().out
    assert f"1 of 3: clean the pictures, remove duplicates and broken files\n  album-gan covers build {pile}" in text
    assert "2 of 3: train. 61 covers, with your settings." in text
    assert "album-gan train --train_data_dir runs/my_pile/covers --minutes 3 --recipe dcgan" in text
    assert "images per second" in text
    assert "covers are too few to train from scratch" in text
    assert not list(tmp_path.iterdir())


def test_a_dry_run_counts_no_covers_in_an_archive(pile, tmp_path, capsys, monkeypatch):
    archive = shutil.make_archive(str(tmp_path / "pile"), "zip", pile)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["start", archive, "--dry_run"]) == 0
    text = capsys.readouterr().out
    assert "2 of 3: train; the settings depend on the number of covers, which the first step determines" in text
    assert "0 covers" not in text
    assert not list((tmp_path / "here").iterdir())


def test_a_dry_run_counts_no_pictures_that_cannot_be_read(tmp_path, capsys, monkeypatch):
    (tmp_path / "photos").mkdir()
    for index in range(20):
        (tmp_path / "photos" / f"{index}.heic").write_bytes(b"of a telephone")
    monkeypatch.chdir(tmp_path)
    assert main(["start", "photos", "--dry_run"]) == 0
    assert "the settings depend on the number of covers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following arguments are required: PILE; see album-gan start --help"),
        (("nowhere",), "nowhere"),
        (("my_pile", "--minutes", "soon"), "argument --minutes: invalid float value: 'soon'"),
        (("--minutes", "60", "nowhere", "--train_batch_size", "8"), "nowhere"),
        (
            ("--resolution", "64", "my_pile"),
            "options of train must follow the pile, got --resolution before 64",
        ),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["start", *words]) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--resoluton", "64"), "Unrecognized options: --resoluton"),
        (("--train_batch_size", "0"), "train_batch_size must be"),
        (("--output_dir", "elsewhere"), "output_dir must be left to start, which sets it, got --output_dir; use --out"),
        (("--train-data-dir=elsewhere",), "train_data_dir must be left to start"),
        (("--resume_from_checkpoint", "latest"), "resume_from_checkpoint must be left to start"),
        (("--label_column", "auto"), "the pile has only pictures; --folder-genre takes the names of their folders"),
        (
            ("--resolution", "64"),
            "resolution must stay 32, as in the run that is resumed, got 64; start another run",
        ),
        (
            ("--recipe", "cgan"),
            "recipe must stay 'dcgan', as in the run that is resumed, got 'cgan'; start",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_pictures_are_cleaned(
    pile, tmp_path, monkeypatch, capfd, more, message
):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "runs" / "my_pile" / "run" / "checkpoint-7" / "state.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    state = {"format_version": 1, "sha256": sha256_of(weights), "step": 7, "images": 28, "seconds": 1}
    state["config"] = {"recipe": "dcgan", "resolution": 32}
    (weights.parent / "state.json").write_text(json.dumps(state))
    assert main(["start", str(pile), "--recipe", "dcgan", "--resolution", "32", *more]) == 2
    printed = capfd.readouterr()
    assert message in printed.err + printed.out
    assert "1 of 3" not in printed.out
    assert not (tmp_path / "runs" / "my_pile" / "covers").exists()


@pytest.mark.parametrize("labels", ["folders", "metadata"])
def test_genres_are_of_folders_or_of_metadata(labels, pile, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pile = shutil.copytree(pile, tmp_path / "pile")
    words = ["start", str(pile), "--recipe", "cgan", "--cgan.width", "8", "--resolution", "32"]
    words += ["--train_batch_size", "4", "--label_column", "genre", "--dry-run"]
    for folder, names in (("jazz", range(0, 10)), ("metal", range(10, 20))):
        (pile / folder).mkdir()
        for name in names:
            (pile / f"{name}.jpg").rename(pile / folder / f"{name}.jpg")
    if labels == "metadata":
        rows = [f"jazz/{n}.jpg,jazz" for n in range(10)] + [f"metal/{n}.jpg,metal" for n in range(10, 20)]
        (pile / "metadata.csv").write_text("\n".join(["file_name,genre", *rows]))
    else:
        words.append("--folder-genre")
    assert main(words) == 0
    [build] = [line for line in capsys.readouterr().out.splitlines() if "covers build" in line]
    assert build.endswith("--folder-genre") == (labels == "folders")


def test_another_pile_of_the_same_name_does_not_take_over_the_run(pile, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(pile, tmp_path / "other" / pile.name)
    (other / "0.jpg").unlink()
    assert main(["covers", "build", str(pile), "--out", "runs/my_pile/covers", "--num-workers", "0"]) == 0
    before = (tmp_path / "runs/my_pile/covers/files.csv.gz").read_bytes()
    assert main(["start", str(other), "--no-browser", "--max_train_steps", "1", *TINY]) == 2
    printed = capfd.readouterr()
    assert "covers was built from another my_pile; choose another place with --out" in printed.err
    assert "2 of 3" not in printed.out
    assert (tmp_path / "runs/my_pile/covers/files.csv.gz").read_bytes() == before


@pytest.mark.slow
def test_it_builds_trains_opens_the_page_and_resumes(pile, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path / "opened"}\n')
    browser.chmod(0o755)
    run = tmp_path / "runs" / "my_pile" / "run"
    words = (str(pile), *TINY, "--max_train_steps", "100000")

    process = start(tmp_path, *words, BROWSER=str(browser))
    wait_until(lambda: list(run.glob("checkpoint-*")))
    wait_until(lambda: (tmp_path / "opened").exists())
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert (tmp_path / "opened").read_text().strip() == (run / "progress.html").as_uri()
    said = [
        output.index(words) for words in ("1 of 3:", "covers from 61 files", "2 of 3:", "3 of 3:", "see the covers:")
    ]
    assert said == sorted(said)
    assert "train longer:    run the same command with more --minutes" in output
    assert (run / "model_index.json").exists()

    step = max(int(folder.name.rpartition("-")[2]) for folder in run.glob("checkpoint-*"))
    words = (*words[:-1], str(step + 2), "--no-browser")
    again = start(tmp_path, *words)
    output = again.communicate(timeout=200)[0]
    assert again.returncode == 0, output
    assert f"resuming from runs/my_pile/run/checkpoint-{step}" in output
    assert (run / f"checkpoint-{step + 2}").exists()


@pytest.mark.slow
def test_ctrl_c_while_it_builds_loses_nothing(pile, tmp_path):
    process = start(tmp_path, str(pile), *TINY, "--max_train_steps", "2", "--no-browser")
    wait_until(lambda: (tmp_path / "runs" / "my_pile" / "covers").exists())
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    if process.returncode:  # else the build was faster
        assert process.returncode == 130
        assert output.splitlines()[-1] == "the same command resumes"
    again = start(tmp_path, str(pile), *TINY, "--max_train_steps", "2", "--no-browser")
    output = again.communicate(timeout=200)[0]
    assert again.returncode == 0, output
    assert (tmp_path / "runs" / "my_pile" / "run" / "model_index.json").exists()
