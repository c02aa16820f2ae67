"""A model against covers: extractors, the table, and the command."""

import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_covers import save_covers

from album_gan.cli.main import main
from album_gan.covers.dataset import CoverSource
from album_gan.covers.split import is_held_out
from album_gan.covers.synthetic import draw_cover
from album_gan.evaluation.compare import compare, copies, evaluate, in_one_space, sample_of
from album_gan.evaluation.extractors import EXTRACTORS, cached_features, features_of
from album_gan.evaluation.table import check_comparable, table
from album_gan.inference.model_store import find_model, read_json
from album_gan.inference.pixels import png_bytes
from album_gan.metrics.kernel_distance import kernel_distance
from album_gan.metrics.measures import KERNEL_DISTANCE, ruler_line

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def covers() -> np.ndarray:
    return np.stack([np.asarray(draw_cover(index, 32)) for index in range(90)])


@pytest.mark.parametrize("name", EXTRACTORS)
def test_extractors_see_differences_and_do_not_depend_on_the_batch(name, covers):
    extractor = EXTRACTORS[name]().eval()
    features = features_of(covers[:6], extractor)
    assert features.ndim == 2
    assert np.isfinite(features).all()
    alone = features_of(covers[:6], extractor, batch_size=2)
    assert np.abs(features - alone).max() < 1e-3 * np.abs(features).max()
    assert features.std(0).max() > 0


def test_st_lpips_is_the_packages_own(covers, monkeypatch):
    """The distance of covers by our taps and weights, and by the package's metric with its defaults."""
    for name in ("torchvision", "IPython", "torchsummary"):  # which the package imports for its other networks
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(models=None, embed=None, summary=None))
    package = importlib.import_module("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net="vgg", variant="shift_tolerant", verbose=False)
    ours = EXTRACTORS["stlpips-vgg"]()
    one, other = (torch.from_numpy(some).permute(0, 3, 1, 2).float() / 127.5 - 1 for some in (covers[:2], covers[2:4]))
    distances = torch.zeros(2)
    with torch.no_grad():
        for number, taps in enumerate(zip(ours.taps(one), ours.taps(other), strict=True)):
            a, b = (F.normalize(tap, dim=1, eps=1e-10) for tap in taps)
            weight = getattr(ours, f"lin{number}_model_1_weight")
            distances += F.conv2d((a - b) ** 2, weight).mean((1, 2, 3))
        torch.testing.assert_close(distances, theirs(one, other).flatten())


@pytest.mark.parametrize(("name", "beyond"), [("stlpips-vgg", (0, 0.001)), ("efficientnet-lite2", (0.05, 1))])
def test_in_st_lpips_the_kernel_distance_compares_means_alone(name, beyond, covers):
    """What the distance is beyond that of means, 3 |mean - mean|^2 / D (unbiased), as a fraction of it."""
    extractor = EXTRACTORS[name]().eval()
    real, fake = (features_of(some, extractor).astype(np.float64) for some in (covers[:30], covers[30:60] // 2))
    within = [(some.sum(0) @ some.sum(0) - (some**2).sum()) / (30 * 29) for some in (real, fake)]
    means = 3 * (sum(within) - 2 * real.mean(0) @ fake.mean(0)) / real.shape[1]
    least, most = beyond
    assert least <= abs(1 - means / kernel_distance(real, fake)) < most


def test_good_samples_score_better_than_noise(covers):
    noise = np.random.default_rng(0).integers(0, 255, (30, 32, 32, 3), dtype=np.uint8)
    arguments = {"extractors": ("efficientnet-lite2",), "progress": False}
    good = compare(covers[:30], covers[30:60], training=covers[60:], **arguments)
    bad = compare(noise, covers[30:60], training=covers[60:], **arguments)
    copied = compare(covers[60:], covers[30:60], training=covers[60:], **arguments)
    numbers, worse, copying = (result["spaces"]["efficientnet-lite2"] for result in (good, bad, copied))
    assert numbers["kid"] < 0.2 * worse["kid"]
    assert numbers["recall"] > worse["recall"]
    assert abs(good["spectrum_db"]["8-16"]) < abs(bad["spectrum_db"]["8-16"])
    assert numbers["recall_of_training"] == worse["recall_of_training"]  # of real covers: whatever the samples are
    assert numbers["recall_of_training"] > worse["recall"]
    assert copying["nearest_training_cover"] == pytest.approx(0, abs=0.01)
    assert numbers["nearest_training_cover"] > 0.5
    text = table(good)
    assert "30 samples against 30 held-out covers" in text
    assert "kernel distance x 1,000 of real covers " in text
    assert f"efficientnet-lite2: {ruler_line()}" in text
    assert ruler_line().startswith("real covers 0, bundled ")
    assert ruler_line().endswith(", DCGAN's authors' sheet 61.9, noise 336")


def test_real_covers_are_measured_as_the_samples_are(covers):
    """The same covers, once as few samples and once as the training covers beside more held-out ones."""
    samples = covers[:15]
    found = compare(samples, covers[30:], training=samples, extractors=("efficientnet-lite2",), progress=False)
    numbers = found["spaces"]["efficientnet-lite2"]
    for name in ("precision", "recall", "coverage"):
        assert numbers[f"{name}_of_training"] == numbers[name]


@pytest.mark.parametrize(("held_out", "samples"), [(76, 400), (200, 50), (61, 61)])
def test_the_spread_of_real_covers_is_that_of_as_many_as_are_compared(held_out, samples):
    rng = np.random.default_rng(0)
    drawn = [(rng.normal(size=(held_out, 16)), rng.normal(size=(samples, 16))) for _ in range(300)]
    chance = np.std([kernel_distance(real, fake) for real, fake in drawn])
    estimates = [in_one_space(fake, real)["kid_floor_spread"] for real, fake in drawn[:5]]
    assert np.mean(estimates) == pytest.approx(chance, rel=0.15)


def test_a_small_set_is_compared_at_its_own_size():
    real, fake = np.random.default_rng(0).normal(size=(2, 300, 8)).astype(np.float32)
    whole, drawn = in_one_space(fake, real), in_one_space(fake, real, subset=60)
    assert drawn.items() >= whole.items()
    assert abs(drawn["kid_of_draws"] - whole["kid"]) < 2 * drawn["kid_of_draws_spread"]
    assert 0 < drawn["recall_of_draws"] < 1
    assert drawn == in_one_space(fake, real, subset=60)


@pytest.mark.parametrize("repeated", [0, 1, 60])
def test_copies_are_seen_where_held_out_covers_repeat_training_covers(repeated):
    """Exactly, or nearly."""
    rng = np.random.default_rng(1)
    training, real, new = (rng.normal(size=(count, 16)) for count in (400, 76, 200))
    real[:repeated] = training[:repeated] + rng.normal(scale=1e-3, size=(repeated, 16))
    real[: min(1, repeated)] = training[: min(1, repeated)]
    found = copies(training[:200], real, training)
    assert found["closer_than_any_held_out"] == 1
    assert found["nearest_training_cover"] == pytest.approx(0, abs=1e-3)
    found = copies(new, real, training)
    assert found["closer_than_any_held_out"] < 0.1
    assert 0.9 < found["nearest_training_cover"] < np.inf


def groups_with(held_out: int, training: int) -> list[str]:
    """Names of groups, of which so many are held out."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for number in range(1_000):
        groups[is_held_out(str(number))].append(str(number))
    return groups[True][:held_out] + groups[False][:training]


def save_in_groups(folder: Path, held_out: int, training: int) -> Path:
    """A cover of each of as many groups."""
    folder.mkdir()
    with open(folder / "metadata.jsonl", "w") as file:
        for number, group in enumerate(groups_with(held_out, training)):
            draw_cover(number, 32).save(folder / f"{number}.png")
            file.write(json.dumps({"file_name": f"{number}.png", "group": group}) + "\n")
    return folder


def test_the_command(covers, tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    folder = save_in_groups(tmp_path / "mine", held_out=5, training=30)
    out = tmp_path / "numbers.json"
    words = ["evaluate", "--model", str(tiny_model), "--train_data_dir", str(folder), "--samples", "8"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert re.match(
        r"drawing 8 covers and comparing them in efficientnet-lite2 and stlpips-vgg: about \d+ (s|minutes)\n",
        printed.out,
    )
    assert "kernel distance x 1,000 " in printed.out
    bars = {line.partition(":")[0] for line in printed.err.replace("\n", "\r").split("\r") if "cover" in line}
    assert {name.strip() for name in bars} == {"drawing", "comparing", "decoding covers"}
    result = json.loads(out.read_text())
    assert set(result["spaces"]) == set(EXTRACTORS)
    assert (result["resolution"], result["samples"], result["held_out"]) == (32, 8, 5)
    assert main([*words, "--beside", str(out), "--extractors", "stlpips-vgg"]) == 0
    *_, block = capsys.readouterr().out.split("\n\n")
    heading, distance, *_ = block.splitlines()
    assert heading.split() == ["stlpips-vgg", str(tiny_model), str(out)]
    here, there = distance.rsplit(maxsplit=2)[1:]
    assert here == there == KERNEL_DISTANCE.show(result["spaces"]["stlpips-vgg"]["kid"])
    out.write_text(json.dumps({**result, "held_out": 9}))
    assert main([*words, "--beside", str(out), "--extractors", "stlpips-vgg"]) == 2
    printed = capsys.readouterr()
    assert "must be measured like this model, with held_out 5, got 9" in printed.err
    assert "drawing" not in printed.out
    out.write_text(json.dumps({**result, "held_out_digest": "0123456789abcdef"}))  # as many, but others
    assert main([*words, "--beside", str(out), "--extractors", "stlpips-vgg"]) == 2
    printed = capsys.readouterr()
    digest = result["held_out_digest"]
    assert f"with held_out_digest {digest}, got 0123456789abcdef; evaluate it with the same options and" in printed.err
    assert "drawing" not in printed.out
    out.write_text(json.dumps(result))
    assert main([*words[:-1], "9", "--beside", str(out), "--extractors", "stlpips-vgg"]) == 2
    assert "must be measured like this model, with samples 9, got 8" in capsys.readouterr().err


def test_the_digest_is_that_of_the_held_out_covers(covers):
    found = [
        compare(covers[:4], held_out, extractors=("efficientnet-lite2",), progress=False)["held_out_digest"]
        for held_out in (covers[30:34], covers[30:34].copy(), covers[31:35])
    ]
    assert found[0] == found[1] != found[2]


def test_which_covers_and_how_bold_the_drawn_ones_are_is_passed_on(tiny_model, tmp_path):
    """Of two columns of pictures, in a file that `datasets` reads, the first of which holds none."""
    groups = groups_with(held_out=5, training=9)
    pictures = [{"bytes": png_bytes(draw_cover(number, 32)), "path": None} for number in range(14)]
    features = {"image": datasets.Image(), "photo": datasets.Image(), "group": datasets.Value("string")}
    rows = {"image": [{"bytes": b"broken", "path": None}] * 14, "photo": pictures, "group": groups}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(tmp_path / "covers.parquet")
    words = ["--dataset-name", "parquet", "--data-files", str(tmp_path / "covers.parquet"), "--image-column", "photo"]
    words += ["--truncation", "0.5", "--samples", "4", "--extractors", "efficientnet-lite2"]
    out = tmp_path / "numbers.json"
    assert main(["evaluate", "--model", str(tiny_model), *words, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["truncation"], result["held_out"]) == (0.5, 5)
    source = CoverSource(dataset_name="parquet", data_files=str(tmp_path / "covers.parquet"), image_column="photo")
    expected, bolder = (
        evaluate(str(tiny_model), source, 4, truncation, ("efficientnet-lite2",)) for truncation in (0.5, 1.0)
    )
    assert result["spaces"] == json.loads(json.dumps(expected["spaces"]))
    assert result["spaces"] != json.loads(json.dumps(bolder["spaces"]))


def test_the_shipped_evaluations_can_stand_beside_others():
    """And so can earlier ones, which did not record their resolution and truncation."""
    for name in ("bundled", "teaching"):
        shipped = read_json(find_model(name) / "evaluation.json")
        known = {key: shipped[key] for key in ("samples", "truncation", "resolution", "held_out")}
        check_comparable(known, shipped, name)
        check_comparable(known, {key: shipped[key] for key in ("samples", "held_out")}, name)
        for other in ({"samples": 7}, {"truncation": 0.5}):
            field, value = next(iter(other.items()))
            with pytest.raises(ValueError, match=f"must be measured like this model, with {field} {value}, got"):
                check_comparable(known | other, shipped, name)


def test_of_very_many_held_out_covers_some_are_compared(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("album_gan.evaluation.compare.MOST", 4)
    source = CoverSource(train_data_dir=str(save_covers(tmp_path / "mine", 90)))
    result = evaluate(str(tiny_model), source, 4, extractors=("efficientnet-lite2",))
    assert result["held_out"] == 4
    covers = np.arange(20)
    assert sample_of(covers, 20) is covers
    assert list(sample_of(covers, 8)) == sorted(set(sample_of(covers, 8))) == list(sample_of(covers, 8))


def test_what_is_no_evaluation_is_refused_before_anything_is_measured(tiny_model, tmp_path, capsys):
    for text in ("no JSON", "[]", '{"spaces": 1}'):
        (tmp_path / "other.json").write_text(text)
        assert main(["evaluate", "--model", str(tiny_model), "--beside", str(tmp_path / "other.json")]) == 2
        assert "beside must be a file written by evaluate --out" in capsys.readouterr().err


def test_no_covers_is_one_line(tiny_model, tmp_path, capsys):
    assert main(["evaluate", "--model", str(tiny_model), "--train-data-dir", str(tmp_path)]) == 2
    assert "train_data_dir must hold pictures" in capsys.readouterr().err


def test_reference_features_are_computed_once(covers, tmp_path, monkeypatch):
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path))
    calls = []

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("one", torch.ones(1))

        def forward(self, images):
            calls.append(len(images))
            return images.mean((2, 3))

    first = cached_features(covers[:10], Counting())
    assert (cached_features(covers[:10].copy(), Counting()) == first).all()
    assert calls == [10]
    assert not np.array_equal(cached_features(covers[10:20], Counting()), first)
    assert calls == [10, 10]


def test_an_unwritable_cache_costs_nothing_but_time(covers, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "file"))
    extractor = torch.nn.Flatten()
    extractor.register_buffer("one", torch.ones(1))
    assert len(cached_features(covers[:3], extractor)) == 3
    assert "features are not cached" in caplog.text


def test_unknown_extractors_are_one_line(tiny_model, tmp_path, capsys):
    words = ["evaluate", "--model", str(tiny_model), "--train-data-dir", str(tmp_path), "--extractors", "vgg"]
    assert main(words) == 2
    assert "extractors must be among efficientnet-lite2, stlpips-vgg, got 'vgg'" in capsys.readouterr().err


@pytest.mark.parametrize("held_out", [0, 1, 3])
def test_too_few_held_out_covers_say_how_many_it_takes(tiny_model, tmp_path, capsys, monkeypatch, held_out):
    save_in_groups(tmp_path / "mine", held_out, training=9)
    words = ["evaluate", "--model", str(tiny_model), "--train-data-dir", str(tmp_path / "mine"), "--samples"]
    assert main([*words, "8"]) == 2
    expected = f"must hold 4 or more held-out covers to compare with, got {held_out} among {9 + held_out} covers; about"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("samples", ["3", "10001"])
def test_too_few_and_too_many_samples_are_refused_before_anything_is_read(tiny_model, tmp_path, capsys, samples):
    words = ["evaluate", "--model", str(tiny_model), "--train-data-dir", str(tmp_path), "--samples", samples]
    assert main(words) == 2
    assert f"samples must be from 4 to 10000, got {samples}; 2000 is usual" in capsys.readouterr().err
