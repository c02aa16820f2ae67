"""Visual styles: found among covers, given to them, and drawn by seeds."""

import runpy
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from album_gan import AlbumCoverPipeline
from album_gan.covers.build.styles import Styles, find_styles, rename
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import rows
from album_gan.inference.latents import classes_of, latents_of
from album_gan.networks.lite_generator import LiteGenerator

TOOL = Path(__file__).resolve().parents[3] / "tools" / "styles"
COUNTS = [0, 300, 100, 600]


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


def test_covers_are_given_styles(tmp_path, monkeypatch):
    """Trained on with its new column, a set keeps its covers, their order and its split."""
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
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

    give_styles([str(tmp_path / "covers"), str(again), "--like", str(first / "styles.json")])
    column = [datasets.Dataset.from_parquet(str(folder / "covers.parquet"))["style"][:] for folder in (first, again)]
    assert column[0] == column[1]


def test_seeds_draw_classes_as_often_as_counted():
    drawn = classes_of(range(20_000), COUNTS)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[0] == 0
    assert np.abs(shares - np.array(COUNTS) / 1_000).max() < 0.01
    assert drawn[:8] == [3, 1, 3, 3, 3, 3, 3, 3]  # golden: a seed keeps its class for ever
    assert classes_of([99_999_999], [7]) == [0]
    unrelated = np.corrcoef(latents_of(range(20_000), 4).T, drawn)[-1, :-1]  # a class says nothing of the latent
    assert np.abs(unrelated).max() < 0.03


@pytest.fixture(scope="module")
def counted() -> AlbumCoverPipeline:
    """A tiny generator that counted its classes."""
    torch.manual_seed(0)
    return AlbumCoverPipeline(LiteGenerator(32, classes=("a", "b", "c"), class_counts=COUNTS).eval())


def test_a_seed_has_a_class_of_its_own(counted, tmp_path):
    """Without a label a seed draws the cover of its class, alone or among others, and from the saved files."""
    seeds = list(range(12))
    covers = counted(seeds=seeds, output_type="np").images
    for seed, cover, number in zip(seeds, covers, classes_of(seeds, COUNTS), strict=True):
        [alone] = counted(seeds=seed, label=counted.labels[number - 1], output_type="np").images
        assert np.abs(alone - cover).max() < 1e-5
    counted.save_pretrained(tmp_path)
    loaded = AlbumCoverPipeline.from_pretrained(tmp_path)
    assert loaded.class_counts == COUNTS
    stems = loaded.stems_of(seeds)
    assert torch.equal(loaded(stems=stems, output_type="pt").images, loaded(seeds=seeds, output_type="pt").images)


def test_a_named_class_comes_before_the_seeds_own(counted):
    seeds = list(range(6))
    own = classes_of(seeds, COUNTS)
    mixed = counted(seeds=seeds, class_labels=["a", None, 2, None, "b", 0], output_type="pt").images
    expected = [0, own[1] - 1, 2, own[3] - 1, 1, 0]
    assert torch.equal(mixed, counted(seeds=seeds, class_labels=expected, output_type="pt").images)


def test_latents_and_models_that_counted_nothing_are_of_any_class(counted):
    torch.manual_seed(0)
    uncounted = AlbumCoverPipeline(LiteGenerator(32, classes=("a", "b", "c")).eval())
    assert uncounted.classes_of([1, 2, 3]) == [0, 0, 0]
    latents = uncounted.latents_of([1, 2, 3])
    any_class = uncounted(seeds=[1, 2, 3], output_type="pt").images
    assert torch.equal(counted(latents=latents, output_type="pt").images, any_class)
    assert not torch.equal(counted(seeds=[1, 2, 3], output_type="pt").images, any_class)
