"""Covers are drawn in fp32, whatever a trainer in the same process has allowed."""

import subprocess
import sys
import threading

import pytest
import torch
from loopback import ROOT

from album_gan.inference.precision import full_precision

DRAW = """
import torch
from album_gan import AlbumCoverPipeline
{setting}
cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
state = lambda: (cudnn.conv.fp32_precision, matmul.fp32_precision, torch.is_autocast_enabled("cpu"))
pipe = AlbumCoverPipeline.from_pretrained({model!r})
paint, inside = pipe.generator.paint, []
pipe.generator.paint = lambda *stems: inside.append(state()) or paint(*stems)
before = state()
with torch.autocast("cpu", torch.bfloat16):
    pipe(seeds=[1])
assert "tf32" not in inside[0], inside
assert inside[0][2] is False
assert [value == "tf32" for value in state()] == [value == "tf32" for value in before], (before, state())
"""


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "torch.set_float32_matmul_precision('high'); torch.backends.cudnn.allow_tf32 = True",
        pytest.param("torch.backends.cuda.matmul.fp32_precision = 'tf32'", marks=pytest.mark.slow),
        pytest.param("torch.backends.cudnn.conv.fp32_precision = 'tf32'", marks=pytest.mark.slow),
    ],
)
def test_tf32_and_autocast_are_off_while_a_cover_is_drawn(setting, tiny_model):
    """In a separate process: the switches are the process's."""
    code = DRAW.format(setting=setting, model=str(tiny_model))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_switches_stay_off_until_the_last_thread_has_left():
    """A page draws covers and enlarges pictures at once."""
    cpu, before = torch.device("cpu"), torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    entered, leave = threading.Event(), threading.Event()

    def enlarge():
        with full_precision(cpu):
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=enlarge)
    try:
        with full_precision(cpu):
            other.start()
            assert entered.wait(60)
        assert not torch.backends.cudnn.allow_tf32
        leave.set()
        other.join()
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_switches_are_restored_after_an_error():
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(ZeroDivisionError), full_precision(torch.device("cpu")):
        1 / 0  # noqa: B018
    assert torch.backends.cudnn.allow_tf32 == before
