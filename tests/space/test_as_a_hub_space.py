"""The page as a Hugging Face Space runs it: its own requirements in a fresh venv, app.py, the package beside it."""

import copy
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import ImageOps
from serving import free_port, page_of

from album_gan.hub.space import assemble_space
from album_gan.space import service
from album_gan.space.validation import Cover

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "space"


def front_matter() -> dict[str, str]:
    block = (SPACE / "README.md").read_text().split("---")[1]
    return dict(re.findall(r"^(\w+): *(.+)$", block, re.M))


def test_front_matter_is_what_a_space_needs():
    matter = front_matter()
    assert matter["sdk"] == "gradio"
    assert (SPACE / matter["app_file"]).is_file()
    wanted = re.search(r"^gradio==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)[1]
    assert matter["sdk_version"] == wanted
    assert len(matter["short_description"]) <= 60
    assert set(matter) >= {"title", "emoji", "colorFrom", "colorTo", "license", "python_version"}
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {matter["colorFrom"], matter["colorTo"]} <= colours


@pytest.mark.parametrize("lent", ["a GPU", "nothing"])
def test_covers_are_drawn_on_a_lent_gpu_or_on_the_cpu_while_none_is_lent(tiny_pipeline, monkeypatch, lent):
    """`spaces` works on ZeroGPU only: a stand-in of its one decorator lends the CPU, or refuses."""
    asked, moved = [], []

    def gpu(duration):
        def decorate(function):
            def lend(*settings):
                asked.append(duration)
                if lent == "nothing":
                    raise gr.Error("Space app has reached its GPU limit.")
                return [ImageOps.invert(image) for image in function(*settings)]  # which are not the CPU's

            return lend

        return decorate

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))
    monkeypatch.setattr(service, "ZERO_GPU", True)
    pipe = copy.copy(tiny_pipeline)
    monkeypatch.setattr(pipe, "to", lambda device: moved.append(device) or pipe)
    page = service.CoverService(pipe)
    covers = [*page.images([Cover(1)]), *page.images([Cover(2)])]
    for drawn, wanted in zip(covers, tiny_pipeline(seeds=[1, 2]).images, strict=True):
        assert drawn.tobytes() == (wanted if lent == "nothing" else ImageOps.invert(wanted)).tobytes()
    assert moved == ["cpu", *(["cuda"] * 2 if lent == "a GPU" else [])]
    assert asked == [service.LENT_FOR] * (1 if lent == "nothing" else 2)  # a refusal holds for a while


def test_zerogpu_comes_before_torch(tmp_path):
    (tmp_path / "spaces.py").write_text("import sys; assert 'torch' not in sys.modules; GPU = lambda duration: id")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    script = "import sys, album_gan.space.app; print(sorted({'spaces', 'torch'} & {*sys.modules}))"
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": paths})
    assert done.stdout.strip() == "['spaces', 'torch']", done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_it_boots_from_its_own_requirements(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    place = tmp_path / "space"
    place.mkdir()
    assemble_space(place, "me/covers", [])
    pip = [python, "-m", "pip", "install", "--quiet", "-r", place / "requirements.txt"]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-1500:]
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(tmp_path)}
    environment["ALBUM_GAN_MODEL"] = "teaching"  # the one that is in every Space
    environment.pop("PYTHONPATH", None)
    with (
        page_of([python, "app.py"], environment, place),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/cover/1.png") as answer,
    ):
        assert answer.read().startswith(b"\x89PNG")
