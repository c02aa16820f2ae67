"""Alarms: pure functions first, then runs that are spoiled on purpose, each of which must raise its own."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover
from album_gan.evaluation.compare import copies
from album_gan.hub.run_checkpoints import latest_checkpoint
from album_gan.recipes import dcgan, wgan_gp
from album_gan.training.watching import alarms
from album_gan.training.watching import monitor as module
from album_gan.training.watching.monitor import COPIED_AMONG, Monitor
from train import main

pytestmark = pytest.mark.long

GOOD = {"kid": 0.1, "diversity": 0.8, "auc": 0.8, "gap": 1.0}
COPYING = {"nearest_training_cover": 0.3, "closer_than_any_held_out": 0.5}


def names(evaluations, **limits) -> list[str]:
    return [alarm.name for alarm in alarms.evaluation_alarms(evaluations, **limits)]


def test_range_is_told_after_a_thousand_images():
    assert alarms.range_alarm(-1, 0, 999) is None
    assert alarms.range_alarm(-1, 1, 1_000) is None
    for low, high in ((-1, 0), (0, 1), (-0.5, 0.5), (-0.1, 0.1)):
        assert alarms.range_alarm(low, high, 1_000).name == "range"


def test_every_alarm_is_three_sentences_for_people():
    evaluations = [{**GOOD, "diversity": 0.1, "auc": 1.0, **COPYING}] * 4
    found = alarms.evaluation_alarms(evaluations, largest_auc=0.99, largest_gap=0.5)
    found += [alarms.range_alarm(-1, 0, 1_000), alarms.repetition_alarm(1, 40), alarms.finite_alarm("Loss", math.nan)]
    found += [alarms.unwritten_alarm(OSError("checkpoint-5 could not be written into run (File too large)"))]
    found += [alarms.unwritten_best_alarm(OSError("best could not be written into run (File too large)"))]
    assert len(found) == 9
    for alarm in found:
        assert all(text.endswith(".") and text[0].isupper() for text in (alarm.saw, alarm.means))
        assert alarm.attempt.endswith(".")
        assert str(alarm).startswith(f"ALARM {alarm.name}: ")


def test_a_healthy_evaluation_is_silent():
    falling = [{**GOOD, "kid": 1 / n, "nearest_training_cover": 1.1} for n in range(1, 9)]
    assert names(falling, largest_auc=0.99, largest_gap=2.0) == []
    assert alarms.finite_alarm("x", 1e30) is None
    assert alarms.repetition_alarm(39, 40) is None


@pytest.mark.parametrize(
    ("evaluations", "limits", "expected"),
    [
        ([{**GOOD, "auc": 1.0, "gap": 9.0}], {"largest_auc": 0.99, "largest_gap": 5.0}, []),  # once may be chance
        ([{**GOOD, "auc": 1.0, "gap": 9.0}] * 2, {"largest_auc": 0.99, "largest_gap": 5.0}, ["discriminator ahead"]),
        ([{**GOOD, "auc": 1.0, "gap": 4.0}] * 2, {"largest_auc": 0.99, "largest_gap": 5.0}, []),
        ([{**GOOD, "auc": 0.9, "gap": 9.0}] * 2, {"largest_auc": 0.99, "largest_gap": 5.0}, []),
        ([{**GOOD, "auc": 1.0, "gap": 9.0}] * 2, {}, []),
        ([{**GOOD, "gap": -9.0}], {"largest_gap": 5.0}, ["discriminator ahead"]),
        ([{**GOOD, "gap": math.nan}], {"largest_gap": 5.0}, ["discriminator ahead"]),
        ([{**GOOD, "diversity": 0.1}] * 2, {}, ["collapse"]),
        ([{**GOOD, **COPYING}], {}, ["copies"]),
        ([{**GOOD, "kid": kid} for kid in (0.3, 0.1, 0.2, 0.2)], {}, []),
        ([{**GOOD, "kid": kid} for kid in (0.1, 0.2, 0.2, 0.1)], {}, ["no improvement"]),
        ([{**GOOD, "kid": kid} for kid in (0.1, 0.2, 0.2, 0.09)], {}, []),
    ],
)
def test_evaluations_raise_what_they_show(evaluations, limits, expected):
    assert names(evaluations, **limits) == expected


@pytest.mark.parametrize("held_out", [8, 30, 256])
def test_new_covers_are_no_copies_however_few_are_held_out(held_out):
    """Samples, held-out and training covers of one distribution: closeness is chance."""
    rng, limit = np.random.default_rng(0), alarms.copy_limit(held_out, 1.0)
    alarmed = 0
    for _ in range(300):
        fake, real, training = (rng.normal(size=(count, 6)) for count in (64, held_out, 200))
        alarmed += names([{**GOOD, **copies(fake, real, training)}], largest_copied=limit) != []
    assert alarmed <= 3


@pytest.mark.parametrize("covers", [400, 3_000, 9_578])
def test_a_model_that_only_copies_is_told_although_few_covers_are_compared(covers):
    rng = np.random.default_rng(0)
    training, real = rng.normal(size=(covers, 6)), rng.normal(size=(256, 6))
    fake = training[rng.integers(covers, size=256)] + rng.normal(scale=1e-4, size=(256, 6))
    compared = training[:COPIED_AMONG]
    limit = alarms.copy_limit(len(real), len(compared) / covers)
    assert names([{**GOOD, **copies(fake, real, compared)}], largest_copied=limit) == ["copies"]


# --- Runs

COVERS = 150
BATCH, EVERY = 16, 10  # images a step, steps from one evaluation to the next
LIMIT = 4 * EVERY  # steps within which every alarm must have come, but the range's, which waits for 1,000 images


@pytest.fixture(scope="module")
def covers(tmp_path_factory):
    """150 drawn covers at 32 px."""
    folder = tmp_path_factory.mktemp("covers")
    for index in range(COVERS):
        draw_cover(index, 32).save(folder / f"{index}.png")
    return folder


def alarms_of(folder, output, recipe: str, steps: int, *more: str, code: int = 0) -> dict[str, int]:
    """Train; the names of the alarms, and at which step each came first."""
    words = ["--recipe", recipe, "--train_data_dir", str(folder), "--output_dir", str(output), "--resolution", "32"]
    words += ["--train_batch_size", str(BATCH), "--max_train_steps", str(steps), "--dataloader_num_workers", "0"]
    words += ["--evaluation_images", str(EVERY * BATCH), "--evaluation_samples", "16", "--report_to", "none"]
    words += ["--logging_steps", "5", "--mixed_precision", "no", "--watching_share", "1"]
    assert main([*words, *more]) == code
    first = {}
    for line in (output / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if "alarm" in record:
            first.setdefault(record["alarm"]["name"], math.ceil(record["images"] / BATCH))
    page = (output / "progress.html").read_text()
    assert all(f"<b>{name}</b>" in page for name in list(first)[-1:])
    return first


def test_dark_covers_raise_range(covers, tmp_path):
    dark = tmp_path / "dark"
    dark.mkdir()
    for path in covers.iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(dark / path.name)  # [-1, 0]
    found = alarms_of(dark, tmp_path / "run", "dcgan", 64, "--dcgan.width", "32", "--evaluation_images", "0")
    assert found == {"range": math.ceil(1_000 / BATCH)}


def test_one_cover_repeated_raises_repeated_covers(tmp_path, covers):
    same = tmp_path / "same"
    same.mkdir()
    for index in range(COVERS):
        draw_cover(0, 32).save(same / f"{index}.png")
    found = alarms_of(same, tmp_path / "run", "dcgan", 1, "--dcgan.width", "32")
    assert found["repeated covers"] == 0


def spoil(monkeypatch, module, generator_factor: float, discriminator_factor: float) -> None:
    """Multiply the learning rates of a recipe's networks."""

    class Spoiled(module.Recipe):
        def optimizers(self, generator, discriminator):
            found = super().optimizers(generator, discriminator)
            for optimizer, factor in zip(found, (generator_factor, discriminator_factor), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] *= factor
            return found

    Spoiled.__module__ = module.Recipe.__module__
    monkeypatch.setattr(module, "Recipe", Spoiled)


@pytest.mark.slow
def test_a_generator_that_does_not_learn(covers, tmp_path, monkeypatch):
    spoil(monkeypatch, dcgan, 0.0, 1.0)
    found = alarms_of(covers, tmp_path, "dcgan", LIMIT, "--dcgan.width", "32")
    assert found["no improvement"] <= LIMIT


@pytest.mark.slow
def test_a_discriminator_that_learns_fifty_times_as_fast(covers, tmp_path, monkeypatch):
    spoil(monkeypatch, dcgan, 1.0, 50.0)
    found = alarms_of(covers, tmp_path, "dcgan", LIMIT, "--dcgan.width", "32")
    assert found["discriminator ahead"] <= 2 * EVERY


@pytest.mark.slow
def test_a_critic_that_diverges(covers, tmp_path, monkeypatch):
    spoil(monkeypatch, wgan_gp, 1.0, 5_000.0)
    more = ["--wgan_gp.width", "32", "--wgan_gp.critic_steps", "1"]
    found = alarms_of(covers, tmp_path, "wgan_gp", EVERY, *more)
    assert found["discriminator ahead"] <= EVERY


@pytest.mark.slow
def test_a_healthy_run_raises_none(covers, tmp_path):
    assert alarms_of(covers, tmp_path, "dcgan", 2 * LIMIT, "--dcgan.width", "32") == {}


def test_a_number_that_is_none_ends_the_run_and_keeps_what_is_good(covers, tmp_path, monkeypatch, capsys):
    class Broken(dcgan.Recipe):
        def generator_terms(self, step):
            terms = super().generator_terms(step)
            return {name: term * (math.nan if step.draw.step == 12 else 1) for name, term in terms.items()}

    Broken.__module__ = dcgan.Recipe.__module__
    monkeypatch.setattr(dcgan, "Recipe", Broken)
    more = ["--dcgan.width", "32", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2"]
    found = alarms_of(covers, tmp_path, "dcgan", LIMIT, *more, code=2)
    assert found["nan"] == 13
    assert "is nan. A value overflowed" in capsys.readouterr().err.splitlines()[-1]
    kept = latest_checkpoint(tmp_path)
    assert kept.name == "checkpoint-12"
    assert all(tensor.isfinite().all() for tensor in load_file(kept / "state.safetensors").values())


@pytest.mark.parametrize("images", [0, 1_000])
def test_the_nearest_training_covers_are_shown_in_a_resumed_run_too(covers, tmp_path, images):
    monitor = Monitor(tmp_path, images, dcgan.Recipe(dcgan.Config(), 32), "a run", lambda *_: None, 16, 0, 16)
    split = load_covers(CoverSource(train_data_dir=str(covers), resolution=32))
    monitor.set_covers(images, split.train, split.held_out)
    monitor.describe(images, [Image.fromarray(pixels) for pixels in split.train.pixels_of(range(8))])
    assert (tmp_path / "samples" / "nearest.png").exists()


def test_copies_are_looked_for_among_as_many_covers_as_said(covers, tmp_path, monkeypatch):
    """Every second of 134: every one would be more than the limit."""
    monkeypatch.setattr(module, "DISTINCT_AMONG", 100)
    monitor = Monitor(tmp_path, 0, dcgan.Recipe(dcgan.Config(), 32), "a run", lambda *_: None, 16, 0, 16)
    split = load_covers(CoverSource(train_data_dir=str(covers), resolution=32))
    assert 100 < len(split.train) < 200
    monitor.set_covers(0, split.train, split.held_out)
    assert 50 < len(monitor.known) <= 100


def test_watching_waits_for_its_share_of_the_time(covers, tmp_path):
    """Evaluations that are due after every step: at most the free seconds and the share go into them."""
    monitor = Monitor(tmp_path, 0, dcgan.Recipe(dcgan.Config(), 32), "a run", lambda *_: None, 16, 0, 16, 0.01)
    monitor.started -= 100  # seconds ago
    assert monitor.fits(1_000)
    monitor.seconds_watched = 5.9
    assert monitor.fits(1_000)
    monitor.costs["sheet"] = 0.2
    assert not monitor.fits(1_000)
    monitor.started -= 100
    assert monitor.fits(1_000)
