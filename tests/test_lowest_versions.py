"""The lowest versions that pyproject.toml allows do work: constraints-min.txt, installed for real."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from serving import free_port, page_of
from test_install import clone

from album_gan.covers.synthetic import draw_cover

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([\w-]+)==(\S+)$", re.MULTILINE)
DRAW = """
import sys
from pathlib import Path
from album_gan import AlbumCoverPipeline
from album_gan.media.image_files import read_picture
from album_gan.media.video import write_animation
folder = Path(sys.argv[1])
pipe = AlbumCoverPipeline.from_pretrained()
[cover] = pipe(seeds="velvet-otter-042").images
assert pipe.upscale(cover, 256).size == (256, 256)
for ending in ("png", "jpg", "webp", "bmp", "tiff", "ppm", "tga"):
    cover.save(folder / f"x.{ending}")
    assert read_picture(folder / f"x.{ending}").size == cover.size
for ending in ("mp4", "gif", "webp"):
    write_animation(pipe.interpolate([1, 2], frames=4), folder / f"film.{ending}", 10)
pipe.save_pretrained(folder / "model")
assert AlbumCoverPipeline.from_pretrained(folder / "model").fingerprint == pipe.fingerprint
print(pipe.fingerprint)
"""


def pins(file: str) -> dict[str, str]:
    return {name.replace("_", "-"): version for name, version in PIN.findall((ROOT / file).read_text())}


def floors() -> dict[str, str]:
    """What pyproject.toml asks for to draw, to show and to train."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *extras["video"], *extras["demo"], *extras["train"]]
    found = dict(re.match(r"([\w-]+)(?:[<>=]=([\d.]+))?", text).groups() for text in required)
    return {name: version for name, version in found.items() if name not in ("torch", "album-gan")}


def numbers(version: str) -> list[int]:
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (4 - len(parts))


def test_the_floors_of_pyproject_are_those_that_are_tested():
    lowest, declared = pins("constraints-min.txt"), floors()
    assert lowest.keys() == declared.keys()
    assert {name: numbers(version) for name, version in lowest.items()} == {
        name: numbers(version) for name, version in declared.items()
    }


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python with this package and the lowest versions of everything."""
    folder = tmp_path_factory.mktemp("lowest")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    source = clone(folder / "source")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = [f"torch=={pins('constraints.txt')['torch']}", f"{source}[demo,train]"]
    words = [*pip, "-c", ROOT / "constraints-min.txt", *packages]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    shutil.rmtree(source)
    return python


@pytest.mark.slow
def test_what_is_installed_is_the_lowest(python):
    listed = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    installed = {name.replace("_", "-"): version for name, version in PIN.findall(listed)}
    lowest = pins("constraints-min.txt")
    assert {name: installed.get(name) for name in lowest} == lowest


@pytest.mark.slow
def test_the_pipeline_draws(python, tmp_path, tiny_model):
    done = subprocess.run([python, "-c", DRAW, tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_five_steps_of_training(python, tmp_path):
    (tmp_path / "covers").mkdir()
    for index in range(24):
        draw_cover(index, 32).save(tmp_path / "covers" / f"{index}.png")
    words = (
        "train --recipe dcgan --dcgan.width 16 --resolution 32 --train_data_dir covers --train_batch_size 4 "
        "--max_train_steps 5 --output_dir run"
    )
    command = [python.parent / "album-gan", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "generator" / "config.json").exists()


@pytest.mark.slow
def test_the_page_draws_a_cover(python, tmp_path):
    port = free_port()
    with page_of([str(python.parent / "album-gan"), "demo", "--port", str(port)], dict(os.environ), tmp_path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cover/3.png", timeout=60) as cover:
            assert cover.read().startswith(b"\x89PNG")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as page:
            assert b"Album GAN" in page.read()
