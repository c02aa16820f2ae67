"""The ruler says what docs/numbers.md says, and each measured number has a name and a scale."""

import json
import re
from pathlib import Path

import pytest

from album_gan.metrics.measures import BUNDLED, KERNEL_DISTANCE, MEASURES, ruler, ruler_line

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("space", ["efficientnet-lite2", "stlpips-vgg"])
def test_the_ruler_is_that_of_the_table(space):
    table = (ROOT / "docs" / "numbers.md").read_text().partition(f"**{space}**")[2]
    cells = re.search(
        r"kernel distance x 1,000, 100 against 100 \| ([\d.e-]+) ± \S+ \| ([\d.e-]+) ± \S+ \| (\S+)", table
    )
    known = ruler(space)
    for name, cell in zip(("bundled", "DCGAN's authors' sheet", "real covers"), cells.groups(), strict=True):
        assert 1_000 * known[name] == pytest.approx(float(cell), rel=0.01)
    assert list(known.values()) == sorted(known.values())
    assert list(known)[-1] == "noise"


def test_one_scale_everywhere():
    assert KERNEL_DISTANCE.show(0.0076616) == "7.66"
    assert KERNEL_DISTANCE.show(0.336) == "336"
    real, bundled = (ruler()[name] for name in ("real covers", "bundled"))
    assert f"real covers {KERNEL_DISTANCE.show(real)}, bundled {KERNEL_DISTANCE.show(bundled)}" in ruler_line()
    readme = (ROOT / "README.md").read_text().replace("\n", " ")
    known = f"real covers {1_000 * real:.0f}, the bundled model {1_000 * bundled:.1f}"
    assert f"{known}, the sample sheet of DCGAN's authors 61.9, noise 336" in readme
    chart = (ROOT / "space" / "static" / "learn" / "history.js").read_text()
    assert (
        f'name: "{KERNEL_DISTANCE.name}", points: course.kid.map(([x, y]) => [x, {KERNEL_DISTANCE.scale} * y])' in chart
    )


def test_every_number_of_an_evaluation_has_a_name():
    for numbers in json.loads(BUNDLED.read_text())["spaces"].values():
        assert {re.sub("(_of_draws)?(_spread)?$|_of_training$", "", key) for key in numbers} <= MEASURES.keys()
