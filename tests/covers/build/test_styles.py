"""Visual styles: found among covers, and given to them."""

import runpy
from pathlib import Path

import datasets
import numpy as np
import pytest

from album_gan.covers.build.styles import Styles, find_styles, rename
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import rows

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

    give_styles([str(tmp_path / "covers"), str(again), "--like", str(first / "styles.json")])
    column = [datasets.Dataset.from_parquet(str(folder / "covers.parquet"))["style"][:] for folder in (first, again)]
    assert column[0] == column[1]
