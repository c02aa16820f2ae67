"""Labels of covers for recipes that know classes."""

import datasets
import pytest

from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.split import is_held_out
from album_gan.covers.synthetic import rows


def load(folder, column):
    return load_covers(CoverSource(train_data_dir=str(folder), label_column=column, resolution=32)).train


@pytest.mark.parametrize("broken", [False, True])
def test_labels_follow_their_covers(tmp_path, broken):
    genres = ["rock", None, "jazz", ""]
    made = [{**row, "genre": genres[index % 4]} for index, row in enumerate(rows(40))]
    if broken:
        made[0]["image"] = {"bytes": b"no picture", "path": None}
    kinds = {name: datasets.Value("string") for name in ("group", "genre")}
    features = datasets.Features({"image": datasets.Image(), **kinds})
    datasets.Dataset.from_list(made, features=features).to_parquet(tmp_path / "covers.parquet")
    expected = [row["genre"] for row in made[broken:] if not is_held_out(row["group"])]
    for column in ("genre", "auto"):  # from the pictures, then from the cache
        covers = load(tmp_path, column)
        assert covers.classes == ("unknown", "jazz", "rock")
        assert [covers.classes[label] for label in covers.labels] == [genre or "unknown" for genre in expected]
        assert len(covers.labels) == len(covers)
    with pytest.raises(ValueError, match="label_column must be one of image, group, genre; got 'style'"):
        load(tmp_path, "style")


def test_rare_classes_that_may_be_misspelt_are_reported(tmp_path, caplog):
    genres = ["jazz"] * 40 + ["rock"] * 40 + ["rokc"] * 3 + ["JAZZ"] * 3 + ["hiphop"] * 3 + ["hiphop2"] * 3
    made = [{**row, "group": str(index), "genre": genres[index]} for index, row in enumerate(rows(len(genres)))]
    kinds = {name: datasets.Value("string") for name in ("group", "genre")}
    features = datasets.Features({"image": datasets.Image(), **kinds})
    datasets.Dataset.from_list(made, features=features).to_parquet(tmp_path / "covers.parquet")
    covers = load(tmp_path, "genre")
    assert covers.classes == ("unknown", "JAZZ", "hiphop", "hiphop2", "jazz", "rock", "rokc")
    (message,) = [message for message in caplog.messages if "spelled" in message]
    counts = dict(zip(covers.classes, covers.labels.bincount().tolist(), strict=True))
    for rare, usual in (("JAZZ", "jazz"), ("rokc", "rock")):
        assert f"{rare!r} ({counts[rare]}), as {usual!r} ({counts[usual]});" in message
    assert "hiphop" not in message
