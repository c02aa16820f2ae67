"""The public API has types that checkers and editors can see."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
from pathlib import Path
from typing import assert_type

from PIL import Image

import album_gan
from album_gan import AlbumCoverPipeline
from album_gan.inference.finding import Found
from album_gan.inference.inside import Layer
from album_gan.inference.output import AlbumCoverOutput

pipe = AlbumCoverPipeline.from_pretrained("folder", device="cpu")
assert_type(pipe, AlbumCoverPipeline)
assert_type(album_gan.AlbumCoverPipeline.from_pretrained(), AlbumCoverPipeline)
covers = pipe("The Flat Tyres", truncation=0.7)
assert_type(covers, AlbumCoverOutput)
assert_type(covers.names, list[str])
assert_type(covers.grid(), Image.Image)
assert_type(covers.save("folder"), list[Path])
assert_type(pipe.find(covers.grid()), Found)
assert_type(pipe.layers("velvet-otter-042"), list[Layer])
assert_type(pipe.critic(covers.images), list[float])
assert_type(pipe.upscale(covers.grid(), 512), Image.Image)
assert_type(pipe.fingerprint, str)
pipe("1", truncatoin=1)  # WRONG
covers.safe("folder")  # WRONG
"""


@pytest.mark.slow
def test_a_checker_sees_the_public_api(tmp_path):
    (tmp_path / "user.py").write_text(CODE)
    words = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "user.py"]
    environment = {"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    process = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    wrong = [number for number, line in enumerate(CODE.splitlines(), 1) if line.endswith("# WRONG")]
    errors = [int(line.split(":")[1]) for line in process.stdout.splitlines() if ": error:" in line]
    assert errors == wrong, process.stdout


def test_the_wheel_says_that_it_has_types():
    assert (ROOT / "album_gan" / "py.typed").exists()
    assert 'album_gan = ["py.typed"]' in (ROOT / "pyproject.toml").read_text()
