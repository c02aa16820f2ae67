"""progress.html and report.html as one opens them: a countdown that counts, nothing that axe finds, no wide page."""

import pytest
from browsing import axe, axe_problems, browser  # noqa: F401  fixtures

from album_gan.covers.build.build import BuildConfig, build
from album_gan.covers.synthetic import draw_cover
from album_gan.training.watching.monitor import NEAREST
from album_gan.training.watching.run_log import SHEET_SEEDS, RunLog, small
from album_gan.training.watching.run_page import Status, write_page

np = pytest.importorskip("numpy")
LINE = {"discriminator/hinge": 0.7, "generator/hinge": 1.1, "generator/mixture": -0.1, "images_per_second": 30.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder, fifty steps in, with one evaluation."""
    folder = tmp_path_factory.mktemp("run")
    log = RunLog(folder, 0)
    covers = [draw_cover(seed, 32) for seed in SHEET_SEEDS]
    log.preview(covers, first=True)
    log.save_thumbnails(0, covers)
    log.nearest(covers[:NEAREST], np.stack([small(np.asarray(cover)) for cover in covers]))
    for step in (1, 2, 5, 10, 50):
        log.log(16 * step, {"step": step, **LINE})
    log.log(800, {"kid": 0.09, "kid_floor": 0.0006, "recall": 0.3})
    write_page(folder, "projected at 32 px", log.records, Status(800, 40.0, "Like the bundled run at 0 images."))
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a small build."""
    folder = tmp_path_factory.mktemp("pile") / "pile"
    folder.mkdir()
    for index in range(6):
        draw_cover(index, 150).resize((150 + 60 * (index == 3), 150)).save(folder / f"{index}.jpg")
    out = folder.parent / "out"
    build(BuildConfig(sources=(str(folder),), out=out))
    return out / "report.html"


@pytest.mark.slow
def test_the_countdown_counts(run, browser):  # noqa: F811
    page = browser.new_page()
    page.goto((run / "progress.html").as_uri())
    soon = page.locator("#soon")
    assert soon.text_content() in ("in 40 s", "in 39 s")
    page.wait_for_function("['in 38 s', 'in 37 s'].includes(document.querySelector('#soon').textContent)")
    assert page.locator("svg").count() == 5  # two of losses, the ruler, kernel distance, recall
    page.close()


@pytest.mark.slow
def test_it_refreshes_itself_until_it_is_told_not_to(run, browser):  # noqa: F811
    page, loads = browser.new_page(), []
    page.on("load", lambda loaded: loads.append(loaded.url))
    before = (run / "progress.html").read_text()
    (run / "progress.html").write_text(before.replace('data-seconds="15"', 'data-seconds="1"'))
    page.goto((run / "progress.html").as_uri())
    page.wait_for_timeout(3_500)
    assert len(loads) >= 2
    page.get_by_label("refresh automatically").uncheck()
    page.wait_for_timeout(300)
    loads.clear()
    page.wait_for_timeout(2_500)
    assert not loads
    page.close()
    (run / "progress.html").write_text(before)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_in_the_way_of_reading(run, report, browser, axe, width):  # noqa: F811
    page = browser.new_page(viewport={"width": width, "height": 900})
    for file in (run / "progress.html", report):
        page.goto(file.as_uri())
        page.evaluate(axe)
        assert axe_problems(page, file.name) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
