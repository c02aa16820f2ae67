"""One list of column names, for training and for building."""

import io

import datasets
import pyarrow as pa
import pytest

from album_gan.covers.build.tables import find_image_column, parquet_entries
from album_gan.covers.columns import IMAGE_COLUMNS, LABEL_COLUMNS
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("place", range(0, len(IMAGE_COLUMNS), 4))
def test_training_and_building_choose_the_same_columns(tmp_path, place):
    pictures = [png(draw_cover(number, 32)) for number in range(30)]
    later = IMAGE_COLUMNS[place:]  # the first of the list wins, wherever it stands in the table
    kinds = ["rock", "jazz"] * 15
    label = LABEL_COLUMNS[place % len(LABEL_COLUMNS)]
    table = pa.table({"other": pictures, **dict.fromkeys(reversed(later), pictures), label: kinds})
    pa.parquet.write_table(table, tmp_path / "covers.parquet")

    split = load_covers(CoverSource(train_data_dir=tmp_path, resolution=16, label_column="auto"))
    assert split.train.image_column == find_image_column(table.schema, None) == later[0]
    assert set(split.train.classes) == {"rock", "jazz", "unknown"}
    assert [entry.labels["genre"] for entry in parquet_entries(tmp_path / "covers.parquet", None)] == kinds
