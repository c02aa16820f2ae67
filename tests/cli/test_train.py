"""train.py: its help, its presets, and what it says of a run before it begins."""

import json
import os
import re
from pathlib import Path

import pytest

from album_gan.cli.train import known_settings, main
from album_gan.covers.synthetic import draw_cover
from album_gan.recipes.base import recipe_names

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "configs").glob("*.json"))


@pytest.fixture
def covers(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "covers"
    folder.mkdir()
    for index in range(30):
        draw_cover(index, 32).save(folder / f"{index}.png")
    return str(folder)


OPTIONS = Path(__file__).with_name("train_options.txt")


def test_help_explains_every_setting_and_lists_every_recipe(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in recipe_names():
        assert re.search(rf"^  {name} +\w", text, re.MULTILINE)
    assert "--dcgan.width" not in text
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())
    for name in known_settings():
        if "." not in name:
            # The option, its kind of value, and then words about it before the default.
            assert re.search(rf"--{name}( [^ ]+)? (?!\(default)[a-zA-Z].*?\(default:", words), name


def test_help_of_one_recipe(capsys):
    assert main(["--recipe", "dcgan", "--help"]) == 0
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert "--dcgan.width INT" in text
    assert "channels at 4 px; halves with every doubling of the size (default: 1024)" in text
    assert "--wgan.clip" not in text


def test_options_appear_and_go_on_purpose_only():
    """After a change on purpose: print the lines below into train_options.txt."""
    kinds = {name: getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind).replace("typing.", "")
             for name, kind in known_settings().items()}  # fmt: skip
    assert [f"--{name}: {kind}" for name, kind in kinds.items()] == OPTIONS.read_text().splitlines()


def test_there_are_four_presets():
    names = [path.stem for path in PRESETS]
    assert names == ["laptop-night", "live-talk", "million-covers-8-gpus", "one-gpu-evening"]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_say_what_to_expect_and_are_accepted(path, tmp_path, capsys):
    assert set(json.loads(path.read_text())) >= {"about", "expect", "recipe", "max_train_steps"}
    # All settings are taken; then it is told that there are no covers.
    assert main(["--config", str(path), "--train_data_dir", str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("about: ")
    assert "train_data_dir must be a folder" in said.err


def test_what_is_given_counts_more_than_the_preset(covers, tmp_path):
    preset = tmp_path / "mine.json"
    settings = {"recipe": "dcgan", "dcgan.width": 64, "max_train_steps": 99, "report_to": "none", "resolution": 32}
    preset.write_text(json.dumps(settings))
    out = tmp_path / "run"
    words = ["--config", str(preset), "--train_data_dir", covers, "--output_dir", str(out), "--max_train_steps", "1"]
    assert main([*words, "--train_batch_size", "4", "--dataloader_num_workers", "0"]) == 0
    record = json.loads((out / "training.json").read_text())
    assert (record["steps"], record["recipe"], record["dcgan"]["width"]) == (1, "dcgan", 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"reslution": 64}', "has the setting 'reslution', which does not exist"),
        ("{", "config must be a JSON file"),
        (None, "No such file"),
        ("[]", "config must be a JSON file of settings"),
        ('{"resolution": "big"}', "resolution must be of type int, got 'big'"),
        ('{"resolution": true}', "resolution must be of type int, got True"),
        ('{"dcgan.beta1": [1]}', "dcgan.beta1 must be of type float, got [1]"),
        ('{"mixed_precision": "fp16"}', "mixed_precision must be of type Literal['auto', 'no', 'bf16'], got 'fp16'"),
    ],
)
def test_a_broken_preset_is_one_line(text, message, tmp_path, capsys):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main(["--config", str(path)]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_dry_run_measures_and_leaves_nothing(covers, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--recipe", "dcgan", "--dcgan.width", "64", "--resolution", "32", "--train_batch_size", "4"]
    words += ["--train_data_dir", covers, "--output_dir", str(out), "--dataloader_num_workers", "0", "--dry_run"]
    assert main([*words, "--max_train_steps", "1000"]) == 0
    text = capsys.readouterr().out
    assert "generator: DCGANGenerator, 0.17 M parameters" in text
    assert re.search(r"project +Linear +1024 +102,400", text)
    assert re.search(r"layers\.0 +ConvTranspose2d +32 x 8 x 8 +51,200", text)
    assert re.search(r"[\d.]+ images a second, \d+% of the time waiting for data", text)
    assert re.search(r"1,000 steps are 4,000 images, .* hours", text)
    assert not out.exists()
    assert not os.path.exists(tmp_path / "runs")


@pytest.mark.parametrize(("tracker", "message"), [("mlflow", "invalid choice"), ("wandb", "pip install")])
def test_trackers_are_checked_first(tracker, message, covers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--train_data_dir", covers, "--output_dir", str(tmp_path / "run"), "--report_to", tracker]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
