"""train.py: its help, its presets, and what it says of a run before it begins."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from serving import free_port

from album_gan import AlbumCoverPipeline
from album_gan.cli.train import known_settings, main, parse
from album_gan.covers.synthetic import draw_cover
from album_gan.metrics.measures import KERNEL_DISTANCE
from album_gan.recipes import dcgan
from album_gan.recipes.base import SMALLEST_RESOLUTION, recipe_module, recipe_names
from album_gan.training.config import TrainingConfig
from album_gan.training.dry_run import describe_networks, quality
from album_gan.training.loop import train

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "configs").glob("*.json"))


@pytest.fixture
def covers(tmp_path) -> str:
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
            assert re.search(rf"--{name}(, --no_{name}| [^ ]+)? (?!\(default)[a-zA-Z].*?\(default:", words), name


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
def test_presets_say_what_to_expect_and_are_accepted(path, tmp_path, capsys, monkeypatch):
    assert set(json.loads(path.read_text())) >= {"about", "expect", "recipe", "max_train_steps"}
    # All settings are taken; then it is told that there are no covers.
    words = ["--train_data_dir", str(tmp_path / "none"), "--output_dir", str(tmp_path / "run")]
    assert main(["--config", str(path), *words]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("about: ")
    assert "train_data_dir must be a folder" in said.err
    monkeypatch.setenv("RANK", "1")
    assert main(["--config", str(path), *words]) == 2
    assert "about: " not in capsys.readouterr().err


def test_what_is_given_counts_more_than_the_preset(covers, tmp_path):
    preset = tmp_path / "mine.json"
    settings = {"recipe": "dcgan", "dcgan.width": 64, "max_train_steps": 99, "report_to": "none", "resolution": 32}
    settings |= {"compile": True}
    preset.write_text(json.dumps({**settings, "dataset_name": "synthetic"}))
    out = tmp_path / "run"
    words = ["--config", str(preset), "--train-data-dir", covers, "--output_dir", str(out), "--max_train_steps", "1"]
    assert main([*words, "--train_batch_size", "4", "--dataloader_num_workers", "0", "--no-compile"]) == 0
    record = json.loads((out / "training.json").read_text())
    assert (record["steps"], record["recipe"], record["dcgan"]["width"]) == (1, "dcgan", 64)
    assert not record["compile"]


@pytest.mark.parametrize(
    ("preset", "option", "value", "found"),
    [
        ({"minutes": 90.0}, "max_train_steps", "7", {"max_train_steps": 7, "minutes": None}),
        ({"max_train_steps": 7}, "minutes", "90", {"minutes": 90}),
        ({"train_data_dir": "mine"}, "dataset_name", "me/mine", {"train_data_dir": None, "dataset_name": "me/mine"}),
        (
            {"dataset_name": "parquet", "data_files": "*.parquet"}, "train_data_dir", "mine",
            {"train_data_dir": "mine", "dataset_name": None, "data_files": None},
        ),
    ],
)  # fmt: skip
def test_an_option_replaces_what_the_preset_says_by_another_name(preset, option, value, found, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**preset, "report_to": "none"}))
    for words in ([f"--{option}", value], [f"--{option.replace('_', '-')}={value}"]):
        _, config, _ = parse(["--config", str(path), *words])
        assert {name: getattr(config, name) for name in found} == found


def test_two_durations_are_refused(capsys, tmp_path):
    assert main(["--dataset_name", "synthetic", "--minutes", "60", "--max-train-steps=99"]) == 2
    expected = "minutes and max_train_steps both say how long to train, got 60 and 99; leave one out"
    assert expected in capsys.readouterr().err
    preset = tmp_path / "mine.json"
    preset.write_text(json.dumps({"dataset_name": "synthetic", "minutes": 60, "max_train_steps": 99}))
    assert main(["--config", str(preset)]) == 2
    assert expected in capsys.readouterr().err


def test_another_recipe_than_the_presets_leaves_out_the_settings_of_the_presets(tmp_path):
    preset = tmp_path / "mine.json"
    preset.write_text(json.dumps({"recipe": "dcgan", "dcgan.width": 64, "wgan.clip": 0.02, "resolution": 32}))
    words = ["--config", str(preset), "--report_to", "none"]
    _, config, recipe_config = parse([*words, "--recipe", "wgan"])
    assert (config.recipe, config.resolution, recipe_config.clip) == ("wgan", 32, 0.02)
    assert parse([*words, "--recipe", "dcgan"])[2].width == 64


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
    assert main([*words, "--max_train_steps", "1000", "--price_per_hour", "0.8"]) == 0
    text = capsys.readouterr().out
    assert "generator: DCGANGenerator, 0.17 M parameters" in text
    assert re.search(r"project +Linear +1024 +102,400", text)
    assert re.search(r"layers\.0 +ConvTranspose2d +32 x 8 x 8 +51,200", text)
    assert re.search(r"[\d.]+ images per second, \d+% of the time waiting for data", text)
    assert re.search(r"1,000 steps are 4,000 images, .* (minutes|hours), costs [\d.]+, ", text)
    assert (
        re.search(r"then 10 steps with batches of 2 and 10 with 4; .*\nabout \d+ s more", text)
        or torch.cuda.is_available()
    )
    assert "covers are too few to train from scratch" in text
    assert "--recipe projected --resolution 128 --init_from bundled" in text
    assert re.search(r"at most [\d.]+ GB of memory with batches of 4", text)
    assert re.search(r"[\d.]+ GB of disk for .*run, 0.00 GB for decoded covers", text)
    assert "the bundled model is projected at 128 px: its log cannot predict this run" in text
    command = f"train.py --recipe dcgan --dcgan.width 64 --resolution 32 --train_batch_size 4 --train_data_dir {covers}"
    assert text.count(command) == 5 - torch.cuda.is_available()
    assert not out.exists()
    assert not os.path.exists(tmp_path / "runs")


def test_dry_run_of_the_upscaler(covers, tmp_path, capsys):
    """Its generator's input is made of covers; nobody has any before they are loaded."""
    words = ["--recipe", "upscaler", "--upscaler.channels", "8", "--upscaler.blocks", "1", "--resolution", "32"]
    words += ["--train_data_dir", covers, "--train_batch_size", "2", "--dataloader_num_workers", "0", "--dry_run"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "generator: CoverUpscaler" in text
    assert "images per second" in text


def test_a_dry_run_describes_the_networks_that_init_from_brings():
    """The bundled model's levels are modulated and refined; those of a new one are not."""
    parameters = []
    for more in ((), ("--init_from", "bundled")):
        text = "\n".join(describe_networks(parse(["--resolution", "128", "--report_to", "none", *more])[1]))
        parameters.append(float(text.partition("LiteGenerator, ")[2].split()[0]))
    bundled = AlbumCoverPipeline.from_pretrained(device="cpu").generator
    classes = sum(weight.numel() for name, weight in bundled.named_parameters() if name.startswith("label"))
    expected = sum(weight.numel() for weight in bundled.parameters()) - classes
    assert parameters[0] < parameters[1] == pytest.approx(expected / 1e6, abs=0.01)


def test_a_dry_run_names_the_images_at_which_the_bundled_model_was_measured():
    log = (ROOT / "album_gan" / "pretrained" / "log.jsonl").read_text().splitlines()
    last = [record for record in map(json.loads, log) if "kid" in record][-1]
    text = list(quality(parse(["--resolution", "128", "--report_to", "none"])[1], 1.0, None))[-1]
    assert f"{KERNEL_DISTANCE.show(last['kid'])} after {last['images']:,} images" in text


@pytest.mark.slow
def test_dry_run_with_two_processes(covers, tmp_path):
    words = ["--recipe", "dcgan", "--dcgan.width", "64", "--resolution", "32", "--train_data_dir", covers, "--dry_run"]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "ACCELERATE_USE_CPU": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "train.py", *words, "--dataloader_num_workers", "0"], cwd=ROOT, text=True,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]  # fmt: skip
    first, second = (process.communicate(timeout=200)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], first + second
    assert first.count("images per second") == 1
    assert "images per second" not in second


@pytest.mark.parametrize("recipe", recipe_names())
def test_learning_rate_is_that_of_both_networks(recipe):
    networks = (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    built = TrainingConfig(
        recipe=recipe, resolution=SMALLEST_RESOLUTION, learning_rate=1e-5, report_to="none"
    ).build_recipe()
    built.reader = networks[0]  # of infogan, which trains with the generator
    [rate] = {group["lr"] for optimizer in built.optimizers(*networks) for group in optimizer.param_groups}
    # vanilla's falls with the number of pixels.
    assert rate == (1e-5 if recipe != "vanilla" else pytest.approx(1e-5 * 784 / 3072))
    usual = TrainingConfig(recipe=recipe, resolution=SMALLEST_RESOLUTION, report_to="none").build_recipe()
    for progress in (0.0, 0.5, 1.0):  # the schedule multiplies the rate
        assert built.schedule(progress).learning_rate == pytest.approx(usual.schedule(progress).learning_rate)


def test_a_learning_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="learning_rate must be above 0, got 0"):
        TrainingConfig(learning_rate=0, report_to="none")
    with pytest.raises(ValueError, match=r"r3gan.learning_rate must be above 0, got 0"):
        TrainingConfig(recipe="r3gan", report_to="none").build_recipe(recipe_module("r3gan").Config(learning_rate=0.0))


@pytest.mark.parametrize(
    ("recipe", "setting", "value", "rule"),
    [
        ("dcgan", "beta1", 1.0, "below 1, got 1.0"),
        ("projected", "hidden_labels", 5.0, "at most 1, got 5.0"),
        ("improved_dcgan", "real_target", 1.5, "at most 1, got 1.5"),
        ("upscaler", "lowest_quality", 150, "at most 100, got 150"),
    ],
)
def test_settings_of_recipes_have_upper_bounds(recipe, setting, value, rule):
    config = recipe_module(recipe).Config(**{setting: value})
    with pytest.raises(ValueError, match=f"{recipe}.{setting} must be {rule}"):
        TrainingConfig(recipe=recipe, report_to="none").build_recipe(config)


def test_training_outside_of_the_main_thread(covers, tmp_path):
    """As in a notebook's or a server's worker thread, where no signal can be handled."""
    config = TrainingConfig(
        recipe="dcgan", resolution=32, train_data_dir=covers, output_dir=str(tmp_path / "run"), max_train_steps=1,
        train_batch_size=4, dataloader_num_workers=0, report_to="none", evaluation_images=0,
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train, config, dcgan.Config(width=64)).result(timeout=120) == tmp_path / "run"


@pytest.mark.parametrize(("tracker", "message"), [("mlflow", "invalid choice"), ("wandb", "pip install")])
def test_trackers_are_checked_first(tracker, message, covers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--train_data_dir", covers, "--output_dir", str(tmp_path / "run"), "--report_to", tracker]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
