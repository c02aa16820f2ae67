"""Covers that are read as they are needed."""

import itertools

import datasets
import numpy as np
import pytest
from PIL import Image

from album_gan.covers import streaming
from album_gan.covers.batches import StepSampler, batches
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.decoding import decode
from album_gan.covers.split import is_held_out
from album_gan.covers.synthetic import rows

COUNT = 60


@pytest.fixture
def folder(tmp_path):
    """Two parquet files of drawn covers, one of them broken, with their pictures under a name of their own."""
    features = datasets.Features({"photo": datasets.Image(), "group": datasets.Value("string")})
    made = [{"photo": row["image"], "group": row["group"]} for row in rows(COUNT)]
    made[5]["photo"] = {"bytes": b"no picture", "path": None}
    for part in range(2):
        file = tmp_path / f"train-{part}.parquet"
        datasets.Dataset.from_list(made[part::2], features=features).to_parquet(file)
    return tmp_path


def expected(held_out: bool) -> set[bytes]:
    return {
        decode(row["image"]["bytes"], 32).tobytes()
        for number, row in enumerate(rows(COUNT))
        if number != 5 and is_held_out(row["group"]) == held_out
    }


def load(folder, **settings):
    return load_covers(CoverSource(train_data_dir=str(folder), resolution=32, streaming=True, **settings))


def first_batches(folder, first: int = 0, workers: int = 0, count: int = 40) -> list:
    covers = load(folder).train
    sampler = StepSampler(len(covers), 4, [slice(0, 4)], seed=3, first=first, last=first + count)
    return [pixels.numpy() for pixels, _ in itertools.islice(batches(covers, sampler, workers), count)]


def seen(found: list) -> set[bytes]:
    return {cover.tobytes() for batch in found for cover in batch}


def test_streams_all_covers_but_the_held_out(folder):
    found = first_batches(folder)
    assert all(batch.shape == (4, 32, 32, 3) and batch.dtype == np.uint8 for batch in found)
    assert seen(found) == expected(held_out=False)
    epoch = [cover.tobytes() for batch in found for cover in batch][: len(expected(held_out=False))]
    assert len(set(epoch)) == len(epoch)
    assert seen([load(folder).held_out.pixels]) == expected(True)


def test_a_stream_is_seeded_and_a_resumed_one_goes_on_in_another_order(folder, caplog):
    whole = first_batches(folder)
    assert all((a == b).all() for a, b in zip(whole, first_batches(folder), strict=True))
    assert not all((a == b).all() for a, b in zip(whole[10:], first_batches(folder, first=10), strict=False))
    assert "a resumed run sees them in another order" in caplog.text


def test_workers_share_a_stream(folder):
    assert seen(first_batches(folder, workers=3)) == expected(held_out=False)


def test_processes_read_different_shards(folder):
    """In each epoch, each of two processes reads one of the two files."""
    covers = load(folder).train
    found = []
    for rank in range(2):
        sampler = StepSampler(len(covers), 8, [slice(4 * rank, 4 * rank + 4)], seed=3, first=0, last=40)
        loaded = itertools.islice(batches(covers, sampler, 0, rank, world_size=2), 5)  # under half of all covers
        found.append(seen([pixels.numpy() for pixels, _ in loaded]))
    assert len(found[0]) == len(found[1]) == 20
    assert not found[0] & found[1]


def test_a_built_data_set_streams_from_the_folder(folder, tmp_path, monkeypatch):
    """Its files of held-out covers come first by name, and may hold more rows than are searched."""
    built = tmp_path / "built [v2]"
    (built / "data").mkdir(parents=True)
    table = datasets.Dataset.from_parquet([str(path) for path in sorted(folder.glob("*.parquet"))])
    table = table.cast_column("photo", datasets.Image(decode=False))
    for name, held_out in (("test", True), ("train", False)):
        part = table.filter(lambda row, held_out=held_out: is_held_out(row["group"]) == held_out)
        part.to_parquet(built / "data" / f"{name}-0000.parquet")
    monkeypatch.setattr(streaming, "SEARCHED", len(expected(held_out=True)))
    split = load(built)
    assert len(split.train) > 1
    assert seen([split.held_out.pixels]) == expected(held_out=True)
    assert seen(first_batches(built)) == expected(held_out=False)


def test_the_number_of_covers_of_a_stream_is_unknown(folder):
    train = load(folder).train
    assert (train.count, str(train)) == (None, "a stream of covers")


def test_what_cannot_be_streamed_says_so(folder, tmp_path):
    with pytest.raises(ValueError, match="parquet files or tars, got dataset_name 'synthetic'; leave"):
        load_covers(CoverSource(dataset_name="synthetic", streaming=True))
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "pictures" / "1.png")
    with pytest.raises(ValueError, match=r"streaming needs .* got train_data_dir '.*pictures', a folder of pictures"):
        load(tmp_path / "pictures")
    with pytest.raises(ValueError, match="label_column must be left out with streaming"):
        load(folder, label_column="group")
    with pytest.raises(ValueError, match="image_column must be one of photo, got 'image'"):
        load(folder, image_column="image")
