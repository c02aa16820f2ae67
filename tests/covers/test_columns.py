"""One list of column names, for training and for building."""

from dataclasses import replace

import datasets
import pyarrow as pa
import pytest
from pictures import encoded

from album_gan.covers.build.inspect import inspect
from album_gan.covers.build.tables import parquet_entries
from album_gan.covers.columns import IMAGE_COLUMNS, LABEL_COLUMNS, find_image_column
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("place", range(0, len(IMAGE_COLUMNS), 4))
def test_training_and_building_choose_the_same_columns(tmp_path, place):
    pictures = [encoded(draw_cover(number, 32)) for number in range(30)]
    later = IMAGE_COLUMNS[place:]  # the first of the list wins, wherever it stands in the table
    kinds = ["rock", "jazz"] * 15
    label = LABEL_COLUMNS[place % len(LABEL_COLUMNS)]
    table = pa.table({"other": pictures, **dict.fromkeys(reversed(later), pictures), label: kinds})
    pa.parquet.write_table(table, tmp_path / "covers.parquet")

    split = load_covers(CoverSource(train_data_dir=tmp_path, resolution=16, label_column="auto"))
    assert split.train.image_column == find_image_column(table.schema, None) == later[0]
    assert set(split.train.classes) == {"rock", "jazz", "unknown"}
    assert [entry.labels["genre"] for entry in parquet_entries(tmp_path / "covers.parquet", None)] == kinds


def test_bytes_of_an_unusual_name_are_pictures_once_they_are_named(tmp_path):
    pictures = [encoded(draw_cover(number, 32)) for number in range(30)]
    table = pa.table({"checksum": [b"x"] * 30, "photo": pictures})
    path = tmp_path / "covers.parquet"
    pa.parquet.write_table(table, path)
    assert all(entry.reason is None for entry in parquet_entries(path, "photo"))
    assert inspect(tmp_path, None, "photo")[0].startswith("30 covers")
    for source in ({"train_data_dir": tmp_path}, {"dataset_name": "parquet", "data_files": str(path)}):
        split = load_covers(CoverSource(**source, image_column="photo", resolution=16))
        assert len(split.train) + len(split.held_out) == 30
    with pytest.raises(ValueError, match="holds no pictures"):
        load_covers(CoverSource(train_data_dir=tmp_path, resolution=16))


def test_checksums_hide_no_pictures(tmp_path):
    for number in range(30):
        draw_cover(number, 32).save(tmp_path / f"{number}.png")
    pa.parquet.write_table(pa.table({"url": ["x"] * 30, "checksum": [b"x"] * 30}), tmp_path / "urls.parquet")
    split = load_covers(CoverSource(train_data_dir=tmp_path, resolution=16))
    assert len(split.train) + len(split.held_out) == 30


def test_only_the_column_of_the_covers_is_decoded(tmp_path):
    """Another one may hold pictures, or what is none: from the cache, without it, and as a stream."""
    features = datasets.Features({"image": datasets.Image(), "photo": datasets.Image()})
    photos = [{"bytes": encoded(draw_cover(number, 32)), "path": None} for number in range(30)]
    broken = [{"bytes": b"broken", "path": None}] * 30
    datasets.Dataset.from_dict({"image": broken, "photo": photos}, features=features).to_parquet(tmp_path / "a.parquet")
    source = CoverSource(train_data_dir=str(tmp_path), resolution=32, image_column="photo")
    train = load_covers(source).train
    cached = train.all_pixels()
    train.decoded = None
    assert (train.pixels_of(list(range(len(cached)))) == cached).all()
    assert (load_covers(replace(source, streaming=True)).train.all_pixels() == cached).all()


def test_sounds_stored_as_pictures_are_no_pictures(tmp_path):
    pictures = [{"bytes": encoded(draw_cover(number, 32)), "path": None} for number in range(30)]
    features = datasets.Features({"sample": datasets.Audio(), "photo": datasets.Image()})
    table = pa.table({"sample": pictures, "photo": pictures}).cast(features.arrow_schema)
    pa.parquet.write_table(table, tmp_path / "covers.parquet")
    assert load_covers(CoverSource(train_data_dir=tmp_path, resolution=16)).train.image_column == "photo"
