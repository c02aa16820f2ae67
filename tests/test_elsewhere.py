"""Five ways to one cover, in environments that the test builds: diffusers alone, then the wheel; ONNX and HTML beside.

Slow: it installs torch twice as many times as anybody wants to wait for, that is, once.
"""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from loopback import CLI, ROOT, loopback
from PIL import Image
from serving import free_port, page_of
from test_install import clone

from album_gan import AlbumCoverPipeline

pytestmark = pytest.mark.slow
ONLY_DIFFUSERS = ("diffusers", "torch", "safetensors", "numpy", "pillow")  # what its own documentation installs
REPO = "me/album-covers"


def install(python: Path, *words: str) -> None:
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *words], capture_output=True, text=True
    )
    if done.returncode and re.search("Connection|resolution|getaddrinfo|No matching distribution", done.stderr):
        pytest.skip(f"nothing can be installed here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The python of a fresh environment that has diffusers, and not this package."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install(folder / "bin" / "python", *ONLY_DIFFUSERS)
    run(
        folder / "bin" / "python", "from importlib.util import find_spec; assert not find_spec('album_gan')", folder, {}
    )
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """The folder with sdist and wheel; the wheel is built out of the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    source = clone(tmp_path_factory.mktemp("source"))
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, source], check=True, capture_output=True)
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return folder


@pytest.fixture(scope="module")
def cover() -> np.ndarray:
    """Seed 7 of the bundled model, (128, 128, 3)."""
    return np.asarray(AlbumCoverPipeline.from_pretrained()(seeds=[7]).images[0], int)


def run(python: Path, code: str, folder: Path, environment: dict[str, str]) -> None:
    environment = {**environment, "PYTHONPATH": ""}
    done = subprocess.run([python, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_diffusers_alone_and_plain_torch(python, cover, tmp_path):
    """The card's own words, run where there is no album_gan."""
    with loopback(tmp_path) as hub:
        code, text = hub.run(CLI, "push", "bundled", "--repo-id", REPO, "--data-rights", "none granted")
        assert code == 0, text
        card = hub.ask(f"/{REPO}/resolve/main/README.md").decode()
        _, diffusers, bare, by_hand = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        for way in (diffusers, by_hand):
            run(python, way, tmp_path, hub.environment(token=None))
            drawn = np.asarray(Image.open(tmp_path / "cover-7.png"), int)
            assert np.abs(drawn - cover).max() <= 2
            (tmp_path / "cover-7.png").unlink()
        run(python, bare + "\nassert images.shape == (4, 3, 128, 128)", tmp_path, hub.environment(token=None))
        larger = diffusers + "\nassert pipe.upscale(pipe(seeds=[7]).images[0], 512).size == (512, 512)"
        run(python, larger, tmp_path, hub.environment(token=None))


def test_onnx_and_html(cover, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from album_gan.cli.main import main
    from album_gan.inference.latents import latents_of

    for name in ("model.onnx", "covers.html"):
        assert main(["export", "--format", name.rpartition(".")[2], "--out", str(tmp_path / name)]) == 0
    inputs = {"latents": latents_of([7], 128), "truncation": np.array(1.0, np.float32)}
    inputs["labels"] = np.array(AlbumCoverPipeline.from_pretrained().classes_of([7]))
    [drawn] = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, inputs)
    assert np.abs(np.round((drawn[0].transpose(1, 2, 0) + 1) * 127.5) - cover).max() <= 2

    assert (tmp_path / "covers.html").stat().st_size < 30_000_000
    from browsing import chromium  # skips without playwright

    with chromium() as browser:
        page = browser.new_context(offline=True).new_page()
        page.goto((tmp_path / "covers.html").as_uri())
        page.locator("#wall button[data-drawn]").first.wait_for(timeout=120_000)
        data = page.evaluate("async () => Array.from((await albumGan.draw(7, 1)).data)")
    assert np.abs(np.array(data).reshape(128, 128, 4)[:, :, :3] - cover).max() <= 2


def test_the_wheel_draws_and_serves(python, dist, cover, tmp_path):
    """Installed over what is there already; with the bundled model, offline."""
    [wheel] = dist.glob("*.whl")
    install(python, f"{wheel}[demo]")
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    command = python.parent / "album-gan"
    subprocess.run([command, "generate", "--seeds", "7", "--out", "covers"], cwd=tmp_path, env=environment, check=True)
    drawn = np.asarray(Image.open(tmp_path / "covers" / "00000007.png"), int)
    assert np.abs(drawn - cover).max() <= 2

    port = free_port()
    words = [command, "demo", "--port", str(port)]
    with page_of(words, environment, tmp_path) as printed:
        assert f":{port}" in printed[-1], "".join(printed)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"Album GAN" in page.read()
