"""From piles of pictures to batches for training."""

import hashlib
import logging

import datasets
import numpy as np
import pytest
import torch
from pictures import encoded
from PIL import Image

from album_gan.covers import dataset, synthetic
from album_gan.covers.batches import StepSampler, batches
from album_gan.covers.dataset import CoverSource, Split, load_covers
from album_gan.covers.decoding import decode
from album_gan.covers.pixel_cache import cache_folder
from album_gan.covers.split import HELD_OUT_SHARE, is_held_out
from album_gan.covers.synthetic import draw_cover

pytestmark = pytest.mark.usefixtures("own_cache")


def load(folder, **settings) -> Split:
    return load_covers(CoverSource(train_data_dir=str(folder), resolution=32, **settings))


def folder_of_covers(folder, count: int):
    folder.mkdir(parents=True)
    for index in range(count):
        draw_cover(index, 40).save(folder / f"{index:03d}.jpg", quality=95)
    return folder


def test_split_is_frozen_and_of_the_right_size():
    held_out = [number for number in range(10_000) if is_held_out(f"group-{number}")]
    assert held_out[:5] == GOLDEN_HELD_OUT
    assert len(held_out) / 10_000 == pytest.approx(HELD_OUT_SHARE, abs=0.01)


GOLDEN_HELD_OUT = [3, 27, 33, 43, 61]


def test_synthetic_covers_are_frozen_and_differ():
    covers = np.stack([np.asarray(draw_cover(index, 32)) for index in range(40)])
    assert (covers[7] == np.asarray(draw_cover(7, 32))).all()
    distances = np.abs(covers[:, None].astype(int) - covers[None]).mean((2, 3, 4)) + 1e9 * np.eye(40)
    assert distances.min() > 3


def test_decode_turns_flattens_and_crops():
    left_red = Image.new("RGB", (60, 40), "blue")
    left_red.paste("red", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    upright = decode(encoded(left_red, "JPEG", exif=exif, quality=95), 32)
    assert upright.shape == (32, 32, 3)
    assert upright[2, 16, 0] > 200
    assert upright[-3, 16, 2] > 200

    transparent = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert (decode(encoded(transparent), 32) == 255).all()
    for mode in ("L", "CMYK", "I;16", "1"):
        kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
        assert decode(encoded(Image.new(mode, (50, 50)), kind), 32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b"", "the file is empty"),
        (b"no picture", "it is of no format that can be read"),
        (encoded(draw_cover(1), "JPEG")[:900], "truncated"),
    ],
)
def test_decode_says_what_is_broken(broken, why):
    with pytest.raises(ValueError, match=f"not a readable picture: .*{why}"):
        decode(broken, 32)


def test_folder_of_pictures_loads_and_broken_ones_are_skipped(tmp_path, caplog):
    folder = folder_of_covers(tmp_path / "mine", 30)
    for number in range(5):
        (folder / f"broken-{number}.jpg").write_bytes(b"not a JPEG %d" % number)
    with caplog.at_level(logging.WARNING):
        split = load(folder)
        covers = split.train
        assert len(covers)
    groups = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    broken = {groups[path.name] for path in folder.glob("broken*")}
    assert len(split.held_out) == sum(map(is_held_out, set(groups.values()) - broken))
    assert len(covers) == sum(not is_held_out(group) for name, group in groups.items() if "broken" not in name)
    assert "covers skipped; the first: " in caplog.text
    assert covers.__getitems__([0, 1])[0].shape == (2, 32, 32, 3)
    assert covers.__getitems__([0, 1])[1] is None


def test_same_pixels_with_and_without_the_cache(tmp_path):
    folder = folder_of_covers(tmp_path / "mine", 20)
    covers = load(folder).train
    cached = covers.pixels_of([3, 1, 2])
    assert covers.decoded is not None
    uncached = load(folder).train
    uncached.decoded = None
    assert (cached == uncached.pixels_of([3, 1, 2])).all()


def test_a_skipped_cover_takes_its_label_along(tmp_path, monkeypatch):
    """Without a cache the next readable cover stands in for one that cannot be read."""
    for number, name in enumerate(["jazz", "rock"] * 20):
        (tmp_path / "covers" / name).mkdir(parents=True, exist_ok=True)
        file = tmp_path / "covers" / name / f"{number}.png"
        Image.new("RGB", (32, 32), (number, 0, 255) if name == "jazz" else (255, number, 0)).save(file)
        if number % 4 == 0:
            file.write_bytes(b"no picture")
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "covers" / "jazz" / "2.png"))  # no folder
    train = load(tmp_path / "covers", label_column="label").train
    assert train.decoded is None
    pixels, labels = train.__getitems__(list(range(len(train))))
    names = [train.classes[label] for label in labels]
    assert names == ["jazz" if cover[0, 0, 2] > 128 else "rock" for cover in pixels.numpy()]


def test_a_folder_may_have_the_name_of_a_pattern(tmp_path):
    folder = tmp_path / "covers [v2]*"
    folder.mkdir()
    features = datasets.Features({"image": datasets.Image()})
    made = [{"image": row["image"]} for row in synthetic.rows(30)]
    datasets.Dataset.from_list(made, features=features).to_parquet(folder / "a.parquet")
    split = load(folder)
    assert len(split.train) + len(split.held_out) == 30


def test_changed_pictures_are_decoded_anew(tmp_path):
    folder = folder_of_covers(tmp_path / "mine", 20)
    before = load(folder).train
    assert before.decoded is not None
    for path in folder.iterdir():
        Image.new("RGB", (40, 40), "white").save(path)
    after = load(folder).train
    assert after.pixels_of([0]).min() > 250
    assert before.pixels_of([0]).min() < 250


def test_parquet_with_groups_keeps_editions_together(tmp_path):
    rows = [
        {"image": {"bytes": encoded(draw_cover(i, 32)), "path": None}, "group": f"album-{i // 4}"} for i in range(200)
    ]
    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    split = load_covers(CoverSource(dataset_name="parquet", data_files=str(tmp_path / "*.parquet"), resolution=32))
    covers, held_out = split.train, len(split.held_out)
    assert held_out == 4 * sum(is_held_out(f"album-{group}") for group in range(50))
    assert 0 < held_out < 60
    assert len(covers) == 200 - held_out
    again = load(tmp_path)
    assert (len(again.train), len(again.held_out)) == (len(covers), held_out)


@pytest.mark.parametrize("large", [False, True])
def test_a_large_group_that_is_held_out_is_named(large, tmp_path, caplog):
    held_out = next(f"series-{number}" for number in range(100) if is_held_out(f"series-{number}"))
    rows = [
        {
            "image": {"bytes": encoded(draw_cover(i, 32)), "path": None},
            "group": held_out if large and i < 30 else f"{i}",
        }
        for i in range(80)
    ]
    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    split = load(tmp_path)
    warnings = [record.getMessage() for record in caplog.records if "share the group" in record.getMessage()]
    if not large:
        assert not warnings
        return
    assert warnings == [
        f"{len(split.held_out)} of 80 covers are held out, 30 of them because they share the group '{held_out}'; "
        "to train on some of them, give them different values in the column group"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "dataset_name or train_data_dir must say"),
        ({"train_data_dir": "{tmp}/nowhere"}, "train_data_dir must be a folder"),
        ({"train_data_dir": "{tmp}/empty"}, "train_data_dir must hold pictures"),
        (
            {"dataset_name": "parquet", "data_files": "{tmp}/*.parquet"},
            "with data_files '.*parquet' does not load",
        ),
        ({"train_data_dir": "{tmp}/broken"}, "^train_data_dir '.*broken' does not load: "),
        ({"train_data_dir": "{tmp}/mine", "image_column": "cover"}, "image_column must be one of image, got 'cover'"),
        ({"train_data_dir": "{tmp}/mine", "label_column": "image"}, "must hold names, but 'image' holds none"),
        ({"train_data_dir": "{tmp}/mine", "label_column": "imgae"}, "must be .*got 'imgae'; did you mean 'image'?"),
        ({"train_data_dir": "{tmp}/mine", "dataset_name": "synthetic"}, "both say where the covers are"),
        ({"train_data_dir": "{tmp}/mine", "data_files": "*.parquet"}, "data_files requires dataset_name"),
    ],
)
def test_bad_sources_say_what_is_wrong(tmp_path, settings, message):
    if "{tmp}/mine" in settings.values():
        folder_of_covers(tmp_path / "mine", 3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.parquet").write_bytes(b"no parquet")
    settings = {name: value.replace("{tmp}", str(tmp_path)) for name, value in settings.items()}
    with pytest.raises(ValueError, match=message):
        load_covers(CoverSource(**settings))


@pytest.mark.parametrize("kind", ["image", "binary"])
def test_column_of_pictures_is_found(tmp_path, kind):
    pictures = [encoded(draw_cover(i, 32)) for i in range(20)]
    features = {"title": datasets.Value("string"), "jpg": datasets.Value("binary")}
    if kind == "image":
        features["jpg"], pictures = datasets.Image(), [{"bytes": data, "path": None} for data in pictures]
    made = datasets.Dataset.from_dict({"title": ["x"] * 20, "jpg": pictures}, features=datasets.Features(features))
    made.to_parquet(tmp_path / "covers.parquet")
    split = load(tmp_path)
    assert (split.train.image_column, len(split.train) + len(split.held_out)) == ("jpg", 20)
    with pytest.raises(ValueError, match="image_column must be one of jpg, got 'title'"):
        load(tmp_path, image_column="title")


def test_nothing_decodes(tmp_path):
    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(b"broken %d" % index)
    with pytest.raises(ValueError, match=r"none of the \d+ covers is a readable picture"):
        len(load(tmp_path).train)
    assert not list(cache_folder("pixels").rglob("*.npy"))
    assert len(load(folder_of_covers(tmp_path / "readable", 20)).train)
    assert list(cache_folder("pixels").rglob("*.npy"))


def test_many_unreadable_rows_are_an_error_that_names_the_last(monkeypatch):
    monkeypatch.setattr(dataset, "UNREADABLE_IN_A_ROW", 3)
    rows = datasets.Dataset.from_list([{"image": {"bytes": b"broken", "path": None}}] * 10)
    with pytest.raises(ValueError, match="got 3 consecutive unreadable rows, the last is 1; name another column"):
        dataset.Covers(rows, "image", 32)._decode(9, rows[9]["image"])


def test_held_out_covers_may_all_be_unreadable(tmp_path, caplog):
    pictures = [b"broken" if number in GOLDEN_HELD_OUT else encoded(draw_cover(number, 32)) for number in range(10)]
    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    rows = [{"image": {"bytes": data, "path": None}, "group": f"group-{i}"} for i, data in enumerate(pictures)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    for _ in range(2):  # decoded, and from the cache
        split = load(tmp_path)
        assert (len(split.train), len(split.held_out)) == (9, 0)
        assert split.held_out.all_pixels().shape == (0, 32, 32, 3)
    assert "1 of 1 covers skipped" in caplog.text


def test_sampler_shows_each_cover_once_an_epoch_and_shares_rows():
    whole = list(StepSampler(10, 4, [slice(0, 4)], seed=1, first=0, last=5))
    shown = [index for batch in whole for index in batch]
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert list(StepSampler(10, 4, [slice(0, 4)], seed=1, first=3, last=5)) == whole[3:]
    second = list(StepSampler(10, 4, [slice(2, 3), slice(3, 4)], seed=1, first=0, last=5))
    assert second == [[index] for batch in whole for index in batch[2:]]
    assert list(StepSampler(10, 4, [slice(0, 4)], seed=2, first=0, last=5)) != whole


def test_batches_do_not_depend_on_workers(tmp_path):
    covers = load(folder_of_covers(tmp_path / "mine", 20)).train
    sampler = StepSampler(len(covers), 4, [slice(0, 4)], 0, 0, 3)
    without, with_two = list(batches(covers, sampler, 0)), list(batches(covers, sampler, 2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(without, with_two, strict=True))
    assert without[0][0].dtype == torch.uint8
