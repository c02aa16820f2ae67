"""Visual styles: found among covers, and given to them."""

import runpy
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from tiny_recipes import build

from album_gan import AlbumCoverPipeline
from album_gan.covers.build.styles import Styles, find_styles, find_variants, rename
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import rows
from album_gan.inference.model_store import read_weights

TOOL = Path(__file__).resolve().parents[3] / "tools" / "styles"


def test_styles_are_the_clusters(tmp_path):
    """Three clouds are three styles, in a file too, and new points of a cloud have its style."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 80))
    clouds = np.repeat(centres, (40, 60, 100), axis=0) + 0.1 * rng.normal(size=(200, 80))
    found = find_styles(clouds, count=3, smallest=40)
    numbers = found.of(clouds)
    assert [len(set(numbers[start:end])) for start, end in ((0, 40), (40, 100), (100, 200))] == [1, 1, 1]
    assert len(set(numbers)) == 3

    rename(found, ("red", "green", "blue")).save(tmp_path / "styles.json")
    loaded = Styles.load(tmp_path / "styles.json")
    assert loaded.names == ("red", "green", "blue")
    new = centres + 0.1 * rng.normal(size=centres.shape)
    assert loaded.of(new).tolist() == numbers[[0, 40, 100]].tolist()

    with pytest.raises(ValueError, match=r"3 styles must have 41 covers each, .* smallest cluster has 40 at best"):
        find_styles(clouds, count=3, smallest=41)
    with pytest.raises(ValueError, match="names must be 3, all different, got 2"):
        rename(found, ("red", "red", "blue"))


def test_styles_are_divided_into_variants(tmp_path):
    """A style of two clouds has two variants, one of few covers has one; new points find theirs within their style."""
    rng = np.random.default_rng(0)
    far, near = 10 * rng.normal(size=(2, 80)), rng.normal(size=(3, 80))
    centres = np.stack([far[0] + near[0], far[0] - near[0], far[1] + near[1], far[1] - near[1]])
    clouds = np.repeat(centres, (40, 60, 5, 5), axis=0) + 0.1 * rng.normal(size=(110, 80))
    styles = rename(find_styles(clouds, count=2, smallest=10), ("style 1", "style 2"))
    with pytest.raises(ValueError, match="these styles have no variants; tools/styles --variants finds them"):
        styles.variants_of(clouds)
    found = find_variants(styles, clouds, size=50)
    numbers = found.variants_of(clouds)
    assert [len(set(numbers[start:end])) for start, end in ((0, 40), (40, 100), (100, 110))] == [1, 1, 1]
    assert len(set(numbers)) == len(found.variants.names) == 3
    named = [found.variants.names[number].rpartition(" ")[0] for number in numbers]
    assert named == [styles.names[number] for number in styles.of(clouds)]

    found.save(tmp_path / "styles.json")
    loaded = Styles.load(tmp_path / "styles.json")
    assert loaded.variants.names == found.variants.names
    new = centres + 0.1 * rng.normal(size=centres.shape)
    assert loaded.variants_of(new).tolist() == numbers[[0, 40, 100, 105]].tolist()


def test_covers_are_given_styles(tmp_path):
    """Trained on with its new column, a set keeps its covers, their order and its split."""
    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    (tmp_path / "covers").mkdir()
    made = datasets.Dataset.from_list(list(rows(60)), features=features)
    made.to_parquet(tmp_path / "covers" / "covers.parquet")
    interrupted = tmp_path / "covers" / ".candidates" / "data-0a1b2c3d"  # of a build that was interrupted
    interrupted.mkdir(parents=True)
    made.to_parquet(interrupted / "train-00000-of-00002.parquet")
    names = tmp_path / "names.txt"
    names.write_text("busy\nplain\n", encoding="utf-8")
    first, again = tmp_path / "first", tmp_path / "again"
    size = ["--count", "2", "--smallest", "5"]
    give_styles = runpy.run_path(str(TOOL))["main"]
    give_styles([str(tmp_path / "covers"), str(first), *size, "--names", str(names)])

    before = load_covers(CoverSource(train_data_dir=str(tmp_path / "covers"), resolution=32))
    after = load_covers(CoverSource(train_data_dir=str(first), resolution=32, label_column="style"))
    for one, other in ((before.train, after.train), (before.held_out, after.held_out)):
        assert len(one) == len(other) > 0
        assert np.array_equal(one.all_pixels(), other.all_pixels())
    assert after.train.classes == ("unknown", "busy", "plain")
    assert np.bincount(after.train.labels, minlength=3)[1:].min() >= 5

    divided = tmp_path / "divided"
    give_styles([str(tmp_path / "covers"), str(divided), "--like", str(first / "styles.json"), "--variants"])
    give_styles([str(tmp_path / "covers"), str(again), "--like", str(divided / "styles.json")])
    made = [datasets.Dataset.from_parquet(str(folder / "covers.parquet")) for folder in (first, divided, again)]
    assert made[0]["style"][:] == made[1]["style"][:] == made[2]["style"][:]
    assert made[1]["variant"][:] == made[2]["variant"][:]
    own = {
        (variant.rpartition(" ")[0], style) for variant, style in zip(made[1]["variant"], made[1]["style"], strict=True)
    }
    assert all(variant == style for variant, style in own)


@pytest.mark.slow
def test_styles_and_then_variants_are_added_to_a_model(tmp_path):
    """Without training: the model has the new classes, each an embedding of its own; variants are judged as styles."""
    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    (tmp_path / "covers").mkdir()
    datasets.Dataset.from_list(list(rows(60)), features=features).to_parquet(tmp_path / "covers" / "covers.parquet")
    options = ["--count", "2", "--smallest", "5", "--variants"]
    runpy.run_path(str(TOOL))["main"]([str(tmp_path / "covers"), str(tmp_path / "styles"), *options])
    _, generator, discriminator = build("projected")
    AlbumCoverPipeline(generator.eval()).save_pretrained(tmp_path / "model")
    discriminator.save_pretrained(tmp_path / "model" / "discriminator")

    start = runpy.run_path(str(TOOL.parent / "start-styles"))["main"]
    words = [str(tmp_path / "styles"), "--seeds", "64"]
    start([str(tmp_path / "model"), words[0], str(tmp_path / "styled"), *words[1:]])
    start([str(tmp_path / "styled"), words[0], str(tmp_path / "divided"), *words[1:], "--variants"])
    styles = Styles.load(tmp_path / "styles" / "styles.json")
    styled, divided = (AlbumCoverPipeline.from_pretrained(tmp_path / name) for name in ("styled", "divided"))
    assert styled.labels == sorted(styles.names)
    assert divided.labels == sorted(styles.variants.names)
    for pipe in (styled, divided):
        assert len(pipe([1, 2, 3]).images) == 3
        assert pipe.generator.label.weight[1:].norm(dim=1).max() > 1
    heads = [read_weights(tmp_path / name / "discriminator")["labels.0.weight"] for name in ("styled", "divided")]
    for number, name in enumerate(divided.labels, 1):
        assert torch.equal(heads[1][number], heads[0][styled.labels.index(name.rpartition(" ")[0]) + 1])
