"""The page as a Hugging Face Space runs it: its own requirements in a fresh venv, app.py, the package beside it."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving import free_port, page_of

from album_gan.hub.space import assemble_space

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


def test_a_lent_graphics_card_is_asked_for_and_elsewhere_nothing_changes():
    """`spaces` is there on ZeroGPU only: a stand-in of its one decorator shows that drawing is marked."""
    script = (
        "import sys, types; seconds = []\n"
        "spaces = types.ModuleType('spaces')\n"
        "spaces.GPU = lambda duration: lambda function: seconds.append(duration) or function\n"
        "if sys.argv[1] == 'there': sys.modules['spaces'] = spaces\n"
        "from album_gan import AlbumCoverPipeline\n"
        "from album_gan.space.validation import Cover\n"
        "from album_gan.space.service import CoverService\n"
        "service = CoverService(AlbumCoverPipeline.from_pretrained())\n"
        "print(seconds, len(service.pngs([Cover(1)])[0]) > 5000)"
    )
    for where, printed in (("there", "[60] True"), ("elsewhere", "[] True")):
        done = subprocess.run([sys.executable, "-c", script, where], capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == printed, done.stderr


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
