"""Runs with a time limit: they end in time, and their schedules with them."""

import pytest

from album_gan.cli.train import main
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from album_gan.recipes import projected
from album_gan.training.config import TrainingConfig
from album_gan.training.duration import Duration


def simulate(duration: Duration, seconds_per_step, step: int = 0, seconds: float = 0.0) -> tuple[int, float]:
    """Take steps that last `seconds_per_step(step)` until the end -> steps, seconds."""
    while step < duration.end:
        seconds += seconds_per_step(step)
        step += 1
        if duration.due(step, 50):
            duration.read_clock(step, seconds)
    return step, seconds


PACES = {
    "even": lambda step: 0.1,
    "first steps that compile": lambda step: 40.0 if step < 2 else 0.1,
    "twice as slow from the middle on": lambda step: 0.1 if step < 3_000 else 0.2,
    "an evaluation every thousand steps": lambda step: 20.0 if step % 1_000 == 999 else 0.1,
    "few long steps": lambda step: 20.0,
}


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
def test_a_run_ends_in_time_with_a_learning_rate_of_0(pace):
    duration = Duration(5, minutes=10)
    steps, seconds = simulate(duration, pace)
    assert seconds == pytest.approx(600, rel=0.04)
    recipe = projected.Recipe(projected.Config(), 32)
    assert recipe.schedule(duration.progress(steps)).learning_rate == 0
    assert recipe.schedule(duration.progress(steps - 1)).learning_rate < max(0.02, 4 / steps)


def test_progress_follows_the_clock():
    duration = Duration(5, minutes=10)
    assert [duration.progress(step) for step in (0, 1)] == [0, pytest.approx(0, abs=1e-9)]
    duration.read_clock(2, 10.0)
    duration.read_clock(4, 20.0)  # 5 seconds each
    assert duration.end == 4 + 116
    assert duration.progress(4) == pytest.approx(1 / 30)
    assert duration.progress(62) == pytest.approx(1 / 30 + 29 / 60)


def test_a_resumed_run_has_the_minutes_that_are_left():
    duration = Duration(5, minutes=10)
    duration.resume(2_000, 200.0)
    assert duration.end == 6_000
    steps, seconds = simulate(duration, lambda step: 0.4, 2_000, 200.0)  # on a slower machine
    assert seconds == pytest.approx(600, rel=0.01)
    assert steps == pytest.approx(3_000, rel=0.01)
    for slow in (1, 2):  # first steps that took so long that no time seems left for another
        short = Duration(5, minutes=7.0 / 60)
        short.resume(slow, 5.0)
        assert simulate(short, lambda step: 0.1, slow, 5.0)[1] == pytest.approx(7, abs=0.1)
    finished = Duration(5, minutes=10)
    finished.resume(6_000, 601.0)
    assert finished.end == 6_000


def test_without_minutes_steps_are_counted():
    duration = Duration(40)
    duration.resume(10, 99.0)
    assert (duration.end, duration.most_steps, duration.due(50, 50)) == (40, 40, False)
    assert [duration.progress(step) for step in (0, 10, 40)] == [0, 10 / 40, 1]


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_that_are_none(minutes):
    with pytest.raises(ValueError, match="minutes must be above 0"):
        TrainingConfig(minutes=minutes)


def test_train_for_seconds_and_resume_for_more(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["--recipe", "dcgan", "--dcgan.width", "16", "--resolution", "32", "--dataset_name", "synthetic"]
    words += ["--output_dir", str(out), "--train_batch_size", "4", "--dataloader_num_workers", "0"]
    words += ["--report_to", "none", "--evaluation_images", "0", "--sample_images", "1000000"]
    assert main([*words, "--minutes", "0.03"]) == 0
    first = read_state(latest_checkpoint(out))
    taken = first["seconds"] / 60  # on a busy machine more than was given: a step is not interrupted
    assert taken >= 0.028
    more = [*words, "--resume_from_checkpoint", "latest", "--minutes"]
    assert main([*more, f"{taken + 0.04:.3f}"]) == 0
    second = read_state(latest_checkpoint(out))
    assert second["seconds"] / 60 >= taken + 0.03
    assert second["step"] > first["step"]
    assert "minutes was 0.03 and is now" in capsys.readouterr().out
    assert main([*more, f"{taken / 2:.3f}"]) == 0
    assert "to train longer, raise --minutes" in capsys.readouterr().out
