"""Advice at the start of a run: given where another choice draws better covers, and nowhere else."""

import json

import pytest

from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover
from album_gan.recipes.base import recipe_module
from album_gan.training import advice as module
from album_gan.training.advice import advice
from album_gan.training.config import TrainingConfig


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    for index in range(12):
        draw_cover(index, 32).save(folder / f"{index}.png")
    return load_covers(CoverSource(train_data_dir=str(folder), resolution=32))


def lines(split, recipe: str, classes: tuple[str, ...] = (), **options) -> list[str]:
    config = TrainingConfig(recipe=recipe, train_data_dir="covers", output_dir="run", **options)
    built = recipe_module(recipe).Recipe(recipe_module(recipe).Config(), config.resolution)
    built.classes = classes
    return list(advice(split, config, built))


@pytest.mark.parametrize(
    ("recipe", "resolution", "options"),
    [
        ("projected", 128, "--init_from bundled"),
        ("projected", 64, "--recipe projected --resolution 128 --init_from bundled"),
        ("dcgan", 128, "--recipe projected --resolution 128 --init_from bundled"),
    ],
)
def test_few_covers_had_better_start_from_a_trained_model(split, recipe, resolution, options):
    [line] = lines(split, recipe, resolution=resolution)
    assert line.startswith(f"ADVICE: {len(split.train)} covers are too few")
    assert line.endswith(f": {options}")


def test_nothing_is_said_of_a_trained_model_or_enough_covers(split, monkeypatch):
    assert lines(split, "projected", init_from="bundled") == []
    assert lines(split, "upscaler") == []  # which starts from no model
    monkeypatch.setattr(module, "FEW_COVERS", len(split.train))
    assert lines(split, "dcgan") == []


@pytest.mark.parametrize(
    ("sides", "options", "end"),
    [
        ([48] * 9 + [200] * 3, {}, "Find larger ones, or train at their size: --resolution 32"),
        ([64] * 7 + [None] * 5, {}, "Find larger ones, or train at their size: --resolution 64"),
        ([64] * 12, {"init_from": "bundled"}, "Find larger ones"),
        ([20] * 12, {"resolution": 32}, "Find larger ones"),
        ([64] * 12, {"resolution": 64}, None),
        ([64] * 3 + [128] * 9, {}, None),
        ([None] * 12, {}, None),
        (["small"] * 12, {}, None),
    ],
)
def test_covers_that_are_enlarged_are_named(tmp_path, monkeypatch, sides, options, end):
    monkeypatch.setattr(module, "FEW_COVERS", 0)
    with (tmp_path / "metadata.jsonl").open("w") as file:
        for index, side in enumerate(sides):
            draw_cover(index, 32).save(tmp_path / f"{index}.png")
            file.write(json.dumps({"file_name": f"{index}.png", "width": side, "height": side}) + "\n")
    found = lines(load_covers(CoverSource(train_data_dir=str(tmp_path), resolution=32)), "dcgan", **options)
    assert [line.endswith(f"their blur. {end}") for line in found] == [True] * (end is not None)


def test_a_conditional_gan_without_labels_is_named(split, monkeypatch):
    monkeypatch.setattr(module, "FEW_COVERS", 0)
    [line] = lines(split, "cgan", resolution=64)
    assert line.startswith("ADVICE: cgan without a label column trains as dcgan. ")
    assert line.endswith(": --label_column genre")
    assert lines(split, "cgan", classes=("jazz", "rock"), resolution=64) == []
    assert lines(split, "projected") == []
