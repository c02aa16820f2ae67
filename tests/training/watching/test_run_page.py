"""progress.html says where a run stands, and nothing that is not so; the preset for the stage as a visitor sees it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from short_runs import wait_until

from album_gan.metrics.measures import KERNEL_DISTANCE, ruler
from album_gan.training.watching.run_page import Status, bundled_kernel_distances, write_page
from album_gan.training.watching.standing import where_it_stands

ROOT = Path(__file__).parent.parent.parent.parent
LOSS = {"images_per_second": 20.0, "waiting_for_data": 0.0, "generator/hinge": 1.2}
MEASURED = {"kid": 0.0765, "kid_floor": 0.0006, "recall": 0.25}
NOTHING_YET = Status()


def page_of(folder, records, status=NOTHING_YET, seconds: int = 15) -> str:
    write_page(folder, "projected at 32 px", records, status, seconds)
    return (folder / "progress.html").read_text()


def test_losses_are_curves_from_the_first_step(tmp_path):
    page = page_of(tmp_path, [{"images": 16, "step": 1, "discriminator/hinge": 0.9, **LOSS}], Status(16, 40.2))
    assert 'aria-label="hinge over images seen"' in page
    assert "16 images seen, 20.0 per second now" in page
    assert "The first sheet will appear soon. Next sheet" in page
    assert ">in 40 s</span>" in page


def test_the_page_comes_back_when_the_next_sheet_is_due(tmp_path):
    assert 'http-equiv="refresh" content="15"' in page_of(tmp_path, [], Status(0, 300.0))
    assert 'http-equiv="refresh" content="6"' in page_of(tmp_path, [], Status(0, 4.0))
    assert 'http-equiv="refresh"' not in page_of(tmp_path, [], Status(0, None), 0)


def test_no_calm_beside_a_discriminator_that_has_won(tmp_path):
    def lines(value):
        return [{"images": n, "step": n, "discriminator/hinge": value, **LOSS} for n in (1, 2, 3)]

    assert "No alarms so far" in page_of(tmp_path, lines(0.2))
    won = page_of(tmp_path, lines(0.002))
    assert "No alarm" not in won
    assert "discriminator/hinge is near zero" in won


def test_a_critic_near_zero_is_as_it_should_be(tmp_path):
    lines = [{"images": n, "step": n, **LOSS, "discriminator/wasserstein": -0.002} for n in (1, 2, 3)]
    page = page_of(tmp_path, lines)
    assert "No alarms so far" in page
    assert "approaches zero as the covers get better" in page


def test_the_best_is_kept_only_if_it_is_there(tmp_path):
    records = [{"images": images, **MEASURED, "kid": kid} for images, kid in ((100, 0.09), (200, 0.08))]
    assert "at 200 images.</p>" in page_of(tmp_path, records)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "state.json").write_text('{"images": 100}')  # the second one could not be written
    assert "at 200 images.</p>" in page_of(tmp_path, records)
    (tmp_path / "best" / "state.json").write_text('{"images": 200}')
    assert "at 200 images, kept in best/.</p>" in page_of(tmp_path, records)


def test_each_kind_of_alarm_is_shown_once(tmp_path):
    def raised(name: str, images: int) -> dict:
        return {"images": images, "alarm": {"name": name, "saw": f"seen at {images}", "means": "m", "attempt": "a"}}

    alarms = [raised("collapse", 100), raised("discriminator ahead", 100), raised("collapse", 200)]
    page = page_of(tmp_path, [{"images": 300, "step": 1, "discriminator/hinge": 0.9, **LOSS}, *alarms], seconds=0)
    assert "<b>collapse</b>, at 200 images; 2 times so far. <br>seen at 200" in page
    assert "<b>discriminator ahead</b>, at 100 images. <br>seen at 100" in page
    assert "20.0 per second at the end" in page


def test_a_distance_stands_beside_known_ones_and_the_bundled_run(tmp_path):
    images, kid = bundled_kernel_distances()[3]
    page = page_of(tmp_path, [{"images": 500_000, **MEASURED, "kid": kid}])
    assert f"Now {1_000 * kid:.3g}, like the bundled run at {images:,} images" in page
    bundled = f"bundled: {KERNEL_DISTANCE.show(ruler()['bundled'])}"
    for known in ("real covers: 0", bundled, "DCGAN&#x27;s authors&#x27; sheet: 61.9", "noise: 336"):
        assert known in page
    assert "the bundled run</tspan>" in page
    first, _ = bundled_kernel_distances()[0]
    assert f"as the bundled run before {first:,} images" in page_of(tmp_path, [{"images": 9, **MEASURED}])


@pytest.mark.parametrize(("moment", "words"), [(0, "noise"), (-1, "what the bundled model draws")])
def test_the_bundled_history_stands_where_it_is(moment, words):
    file = sorted((ROOT / "album_gan" / "pretrained" / "history").glob("*.webp"))[moment]
    with Image.open(file) as sheet:
        tiles = [sheet.crop((x, y, x + 48, y + 48)) for x in range(0, 384, 48) for y in range(0, 384, 48)]
    like = f"In contrast, colour and detail like the bundled run at {int(file.stem):,} images"
    assert where_it_stands(tiles) == f"{like}, when it drew {words}."


def test_other_pictures_are_not_said_to_be_covers():
    noise = [Image.effect_noise((48, 48), 100).convert("RGB") for _ in range(8)]
    assert where_it_stands(noise).startswith("In contrast, colour and detail unlike anything the bundled run drew")


@pytest.mark.slow
def test_the_preset_for_the_stage_shows_a_sheet_soon_after_its_first_step(tmp_path):
    """No data, no waiting: noise before the first step, a first sheet within ten seconds of it, and curves."""
    run = tmp_path / "talk"
    words = [sys.executable, "train.py", "--config", "configs/live-talk.json", "--output_dir", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        first, sheet = wait_until(lambda: steps_of(run) > 0, 240), wait_until(lambda: sheet_of(run) > 0, 240)
        page, sheet_at = (run / "progress.html").read_text(), sheet_of(run)
    finally:
        process.terminate()
        output = process.communicate(timeout=400)[0].decode()  # it saves a checkpoint and a model first
    assert sheet - first < 10 * slowness(run), f"{sheet - first:.0f} s"
    assert "Next sheet" in page
    assert 'aria-label="cross_entropy' in page
    shown = int(re.search(r"([\d,]+) images seen", page)[1].replace(",", ""))
    assert shown >= sheet_at
    assert f"watch {(run / 'progress.html').as_uri()} in a browser" in output
    assert "images seen. " in output
    assert (run / "model_index.json").exists()  # SIGTERM left a model


def steps_of(run: Path) -> int:
    log = run / "log.jsonl"
    return sum('"step"' in line for line in log.read_text().splitlines()) if log.exists() else 0


def sheet_of(run: Path) -> int:
    """Images at the sheet that the page shows."""
    found = re.search(r"its covers after ([\d,]+) images", (run / "progress.html").read_text())
    return int(found[1].replace(",", "")) if found else 0


def slowness(run: Path) -> float:
    """How much slower than a laptop at rest this machine is now: by its images a second, 10 or more there."""
    speeds = [json.loads(line)["images_per_second"] for line in (run / "log.jsonl").read_text().splitlines()]
    return max(1.0, 10 / max(speeds))
