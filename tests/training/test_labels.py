"""Training with a column of labels, from the command line to a cover of a class."""

import json
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from drawn_covers import save_covers
from tiny_recipes import RECIPES, build

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main as album_gan
from album_gan.covers import labels
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import rows
from album_gan.hub import model_card
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from album_gan.media.image_files import read_settings
from album_gan.recipes import cgan
from album_gan.training.config import TrainingConfig
from album_gan.training.packaging import inherit_settings, load_initial_weights
from train import main

GENRES = ("rock", None, "jazz", "")
PATTERNS = ("busy", "plain", "calm")
QUICK = ["--resolution", "32", "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> str:
    """A parquet file of 40 drawn covers, half of them with a genre."""
    made = [{**row, "genre": GENRES[index % 4], "pattern": PATTERNS[index % 3]} for index, row in enumerate(rows(40))]
    kinds = {name: datasets.Value("string") for name in ("group", "genre", "pattern")}
    features = datasets.Features({"image": datasets.Image(), **kinds})
    folder = tmp_path_factory.mktemp("labelled")
    datasets.Dataset.from_list(made, features=features).to_parquet(folder / "covers.parquet")
    return str(folder)


def projected(covers: str, *more: str) -> list[str]:
    return [*QUICK, "--recipe", "projected", "--train_data_dir", covers, "--max_train_steps", "1", *more]


@pytest.fixture(scope="module")
def styled(labelled, tmp_path_factory) -> Path:
    """A run with classes, mixtures of them, and a refined and modulated generator."""
    run = tmp_path_factory.mktemp("styled") / "run"
    words = projected(labelled, "--label_column", "pattern", "--mixture_column", "genre")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "SMALLEST_MIXTURE", 8)
        words += ["--projected.refined_from", "32", "--projected.modulated"]
        assert main([*words, "--output_dir", str(run)]) == 0
    return run


def test_a_model_that_knows_classes(labelled, tmp_path, capsys):
    run = tmp_path / "run"
    words = [*QUICK, "--recipe", "cgan", "--cgan.width", "64", "--train_data_dir", labelled, "--output_dir", str(run)]
    assert main([*words, "--max_train_steps", "2", "--label_column", "genre"]) == 0
    said = re.search(
        r"^label_column genre: 2 classes, (\d+) of (\d+) covers without one$", capsys.readouterr().out, re.M
    )
    assert 0 < int(said[1]) < int(said[2])
    assert read_state(latest_checkpoint(run))["config"]["label_column"] == "genre"
    pipe = AlbumCoverPipeline.from_pretrained(run)
    assert pipe.labels == ["jazz", "rock"]

    covers, nowhere = tmp_path / "covers", tmp_path / "nowhere"
    assert album_gan(["generate", "--model", str(run), "--seeds", "5", "--label", "jazz", "--out", str(covers)]) == 0
    assert read_settings(covers / "00000005.png")["label"] == "jazz"
    assert album_gan(["generate", "--model", str(run), "--seeds", "5", "--label", "x", "--out", str(nowhere)]) == 2
    assert "label must be one of jazz, rock, got 'x'" in capsys.readouterr().err
    assert not nowhere.exists()


def test_labels_stay_with_their_covers(labelled, tmp_path, monkeypatch):
    """Each step's labels are those of its covers, whatever the order in which they come."""
    covers = load_covers(CoverSource(train_data_dir=labelled, label_column="genre", resolution=32)).train
    numbered = zip(covers.all_pixels(), covers.labels.tolist(), strict=True)
    known = {picture.tobytes(): label for picture, label in numbered}
    seen = []

    class Recipe(cgan.Recipe):
        def discriminator_terms(self, step):
            pixels = ((step.real.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
            seen.extend(
                (known[picture.tobytes()], label) for picture, label in zip(pixels, step.labels.tolist(), strict=True)
            )
            return super().discriminator_terms(step)

    monkeypatch.setattr(cgan, "Recipe", Recipe)
    words = ["--recipe", "cgan", "--cgan.width", "64", "--train_data_dir", labelled, "--label_column", "genre"]
    words += ["--output_dir", str(tmp_path / "run"), "--max_train_steps", "12", "--gradient_accumulation_steps", "2"]
    assert main([*QUICK, *words]) == 0
    assert len(seen) == 12 * 4 * 2
    assert all(label == expected for expected, label in seen)
    assert {label for _, label in seen} == {0, 1, 2}


def test_a_resumed_run_keeps_its_classes(tmp_path, capsys):
    """Rows of labels are known by number: with other names, one class would be drawn under another's."""
    covers, run = tmp_path / "covers", tmp_path / "run"
    for name in ("folk", "jazz", "rock"):
        save_covers(covers / name, 20)
    words = [*QUICK, "--recipe", "cgan", "--cgan.width", "64", "--evaluation_images", "0", "--label_column", "auto"]
    words += ["--train_data_dir", str(covers), "--output_dir", str(run)]
    assert main([*words, "--max_train_steps", "1"]) == 0
    before = (run / "log.jsonl").read_bytes()
    (covers / "jazz").rename(covers / "zydeco")
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 2
    error = capsys.readouterr().err
    assert "label_column must give the same classes when a run is resumed, gone: jazz; new: zydeco; use" in error
    assert (run / "log.jsonl").read_bytes() == before

    (covers / "zydeco").rename(covers / "jazz")
    for picture in sorted((covers / "rock").iterdir())[:10]:
        picture.unlink()
    assert main([*words, "--max_train_steps", "2", "--resume_from_checkpoint", "latest"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"covers was \d+ and is now \d+", said)
    assert re.search(r"^label_column label: 3 classes, 0 of \d+ covers without one$", said, re.MULTILINE)


def test_labels_for_a_recipe_that_takes_none(labelled, tmp_path, capsys):
    words = [*QUICK, "--train_data_dir", labelled, "--output_dir", str(tmp_path / "run"), "--recipe", "dcgan"]
    assert main([*words, "--label_column", "genre"]) == 2
    assert "label_column is for cgan, projected, r3gan, got recipe dcgan" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_classes_can_be_added_to_a_trained_model(tmp_path):
    """A model without classes, gone on with, draws the same covers of any class at first."""
    _, *networks = build("projected")
    for name, network in zip(("generator", "discriminator"), networks, strict=True):
        network.save_pretrained(tmp_path / name)
    _, generator, discriminator = build("projected", classes=("jazz", "rock"))
    load_initial_weights(str(tmp_path), generator, discriminator)
    for network in (generator, discriminator, *networks):
        network.eval()
    z, any_class = torch.randn(2, 128), torch.tensor([0, 0])
    with torch.no_grad():
        images = networks[0](z)
        assert torch.equal(generator(z, any_class), images)
        assert not torch.equal(generator(z, any_class + 1), images)
        assert torch.equal(discriminator(images, any_class + 1), networks[1](images))  # nothing learned yet


def test_a_run_has_the_architecture_of_the_model_that_it_starts_from(styled):
    """So does one that resumes a run, and what is asked for counts."""
    module, run = RECIPES["projected"], styled
    generator = json.loads((run / "generator" / "config.json").read_text())
    assert (generator["refined_from"], generator["modulated"]) == (32, True)

    for asked, init_from, checkpoint, expected in (
        ({}, str(run), None, (32, True)),
        ({}, None, latest_checkpoint(run), (32, True)),
        ({"refined_from": 16}, str(run), None, (16, True)),
        ({}, None, None, (None, False)),
    ):
        recipe = module.Recipe(module.Config(**asked), 32)
        config = TrainingConfig(recipe="projected", resolution=32, init_from=init_from)
        inherit_settings(recipe, config, checkpoint)
        assert (recipe.config.refined_from, recipe.config.modulated) == expected


@pytest.mark.parametrize("added", [{"refined_from": 16}, {"modulated": True}], ids=lambda added: next(iter(added)))
def test_a_trained_generator_can_be_extended(added, tmp_path):
    module = RECIPES["projected"]
    _, *networks = build("projected")
    for name, network in zip(("generator", "discriminator"), networks, strict=True):
        network.save_pretrained(tmp_path / name)
    generator, discriminator = module.Recipe(module.Config(**added), 32).build_networks()
    load_initial_weights(str(tmp_path), generator, discriminator)
    z = torch.randn(2, 128)
    with torch.no_grad():
        assert torch.equal(generator.eval()(z), networks[0].eval()(z))


def test_a_second_network_is_added_to_a_trained_model_and_then_inherited(tmp_path):
    module = RECIPES["projected"]
    one, two = tmp_path / "one", tmp_path / "two"

    def built(recipe, classes, init_from=None):
        recipe.classes = classes
        networks = recipe.build_networks()
        if init_from:
            load_initial_weights(str(init_from), *networks)
        return networks

    def saved(folder, networks):
        for name, network in zip(("generator", "discriminator"), networks, strict=True):
            network.save_pretrained(folder / name)

    saved(one, built(module.Recipe(module.Config(), 32), ("busy", "calm")))
    generator, discriminator = built(module.Recipe(module.Config(second_network=True), 32), ("busy", "calm"), one)
    for label in discriminator.second.labels:
        torch.nn.init.normal_(label.weight)
    saved(two, (generator, discriminator))

    recipe = module.Recipe(module.Config(), 32)
    inherit_settings(recipe, TrainingConfig(recipe="projected", resolution=32, init_from=str(two)), None)
    _, again = built(recipe, ("calm", "calm 2", "calm sea"), two)
    there, here = discriminator.second.state_dict(), again.second.state_dict()
    assert torch.equal(here["labels.0.weight"][:3], there["labels.0.weight"][[0, 2, 2]])  # any, calm and its variant
    assert not torch.equal(here["labels.0.weight"][3], there["labels.0.weight"][2])  # a name of its own
    assert all(torch.equal(here[key], there[key]) for key in here if key.startswith("heads."))


def test_mixtures_need_classes_and_a_column(labelled, tmp_path, capsys):
    words = projected(labelled, "--output_dir", str(tmp_path / "run"))
    assert main([*words, "--mixture_column", "genre"]) == 2
    assert "mixture_column is for projected with a label_column, got recipe projected" in capsys.readouterr().err
    assert main([*words, "--label_column", "pattern", "--mixture_column", "mood"]) == 2
    assert "mixture_column must be one of image, group, genre, pattern; got 'mood'" in capsys.readouterr().err


def test_several_columns_of_mixtures(monkeypatch, tmp_path):
    """A name that two columns share would mean two things."""
    monkeypatch.setattr(labels, "SMALLEST_MIXTURE", 3)
    values = [
        (f"pale {n % 2}", "pale", "rock" if n % 3 else None) if n % 4 else ("dark 1", "dark", "") for n in range(40)
    ]
    made = [
        {**row, "variant": variant, "style": style, "genre": genre, "mood": style}
        for row, (variant, style, genre) in zip(rows(40), values, strict=True)
    ]
    strings = {name: datasets.Value("string") for name in ("group", "variant", "style", "genre", "mood")}
    features = datasets.Features({"image": datasets.Image(), **strings})
    datasets.Dataset.from_list(made, features=features).to_parquet(tmp_path / "covers.parquet")

    def mixtures(columns: str) -> dict:
        found = CoverSource(train_data_dir=str(tmp_path), resolution=32, label_column="variant", mixture_column=columns)
        return load_covers(found).train.mixtures

    both = mixtures("genre, style")
    assert list(both) == ["dark", "pale", "rock"]
    assert both == mixtures("genre") | mixtures("style")
    assert [count > 0 for count in both["pale"]] == [False, False, True, True]
    with pytest.raises(ValueError, match="mixture_column must hold different names in each column, got 'dark' in two"):
        mixtures("style,mood")


def test_genres_are_mixtures_of_styles(labelled, styled, tmp_path):
    """A second column's names choose among the classes of the first: seeds, as often as covers; the files know them."""
    pipe = AlbumCoverPipeline.from_pretrained(styled)
    covers = load_covers(CoverSource(train_data_dir=labelled, label_column="pattern", resolution=32)).train
    jazz = np.array([genre == "jazz" for genre in covers.rows["genre"]])
    assert list(pipe.mixtures) == ["jazz", "rock"]
    assert pipe.mixtures["jazz"] == np.bincount(covers.labels[jazz], minlength=4).tolist()

    seeds = list(range(200))
    drawn = np.bincount(pipe.classes_of(seeds, "jazz"), minlength=4) / 200
    assert np.abs(drawn - np.array(pipe.mixtures["jazz"]) / sum(pipe.mixtures["jazz"])).max() < 0.1
    numbers = pipe.classes_of([5, 6], "jazz")
    by_class = pipe(seeds=[5, 6], class_labels=[number - 1 for number in numbers]).images
    by_genre = pipe(seeds=[5, 6], label="jazz")
    assert by_genre.images == by_class == pipe(seeds=[5, 6], class_labels=["jazz", "jazz"]).images
    assert by_genre.settings[0]["label"] == "jazz"
    with pytest.raises(ValueError, match="jazz is a mixture of classes, sampled by seed"):
        pipe.stems_of(latents=pipe.latents_of([5]), label="jazz")

    covers = tmp_path / "drawn"
    assert album_gan(["generate", "--model", str(styled), "--seeds", "5", "--label", "jazz", "--out", str(covers)]) == 0
    assert read_settings(covers / "00000005.png")["label"] == "jazz"
    assert model_card.classes(pipe) == " Classes: busy, calm, plain. Mixtures of them: jazz, rock."


def test_classes_can_be_left_out_or_exchanged(tmp_path):
    """A model with classes, trained on without any keeps covers of any class; with others, those of the same name."""
    _, *networks = build("projected", classes=("jazz", "rock"))
    for label in (networks[0].label, *networks[1].labels):
        label.weight.data[1:].normal_()
    for name, network in zip(("generator", "discriminator"), networks, strict=True):
        network.save_pretrained(tmp_path / name)
    z, any_class = torch.randn(2, 128), torch.tensor([0, 0])
    for classes in ((), ("folk", "rock")):
        _, generator, discriminator = build("projected", classes=classes)
        load_initial_weights(str(tmp_path), generator, discriminator)
        for network in (generator, discriminator, *networks):
            network.eval()
        with torch.no_grad():
            images = networks[0](z)
            assert torch.equal(generator(z), images)
            assert torch.equal(discriminator(images), networks[1](images))
            if classes:
                assert torch.equal(generator(z, any_class + 2), networks[0](z, any_class + 2))
                assert not torch.equal(generator(z, any_class + 1), networks[0](z, any_class + 1))
                assert torch.equal(discriminator(images, any_class + 2), networks[1](images, any_class + 2))
