"""The log of a run survives kills: what is torn is named and left out, and the run goes on."""

import json
from itertools import pairwise

import pytest

from album_gan.training.watching.run_log import RunLog, next_moment


@pytest.mark.parametrize(
    "torn", [b'{"images": 30, "los', b"\x00\x00\x00", b"\xff\xfe", b"[]", b"7", b'{"images": "x"}', b"[" * 100_000]
)
def test_a_torn_line_is_named_and_left_out(tmp_path, caplog, torn):
    log = RunLog(tmp_path, 0)
    for images in (10, 20):
        log.log(images, {"loss": 0.5})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(torn)
    resumed = RunLog(tmp_path, 20)
    assert f"line 3 of {tmp_path / 'log.jsonl'} is damaged and skipped" in caplog.text
    resumed.log(30, {"loss": 0.25})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [10, 20, 30]
    assert lines == resumed.records


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path):
    log = RunLog(tmp_path, 0)
    for images in (10, 20, 30):
        log.log(images, {})
    assert [record["images"] for record in RunLog(tmp_path, 20).records] == [10, 20]


def test_moments_of_the_history_are_a_fifth_apart():
    moments = [1_000]
    while moments[-1] < 10_000_000:
        moments.append(next_moment(moments[-1]))
    ratios = [later / earlier for earlier, later in pairwise(moments)]
    assert ratios == pytest.approx([1.2] * len(ratios), rel=1e-3)
