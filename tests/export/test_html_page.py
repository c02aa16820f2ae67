"""The exported HTML file: its size, what it holds, and what is refused."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
from album_gan.networks.dcgan import DCGANGenerator

pytest.importorskip("onnx", reason="exports need the extra export")
pytest.importorskip("onnxruntime", reason="exports need the extra export")
from album_gan.export import html_page
from album_gan.export.html_page import build_page, runtime_script, smallest_size

pytestmark = pytest.mark.long


def test_the_page_is_one_small_file(file):
    page = file.read_text()
    assert len(page) < 30_000_000
    assert "{{" not in page.partition("<script")[0]
    assert "network whose training covers may be copyrighted" in page.partition("<script")[0]
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page.partition("<script")[0]) == []


def test_the_runtime_is_the_one_of_its_licence():
    folder = Path(__file__).parents[2] / "album_gan" / "export" / "onnxruntime-web"
    version = re.search(r"ONNX Runtime Web v([\d.]+)", (folder / "ort.wasm.bundle.min.mjs").read_text())[1]
    assert (folder / "LICENSE").read_text().startswith(f"onnxruntime-web {version},")
    assert "InferenceSession: " in runtime_script()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format html --out covers.onnx", "out must be a file that ends in .html, got covers.onnx"),
        ("--format zip --out covers.zip", "invalid choice: 'zip'"),
        ("--format onnx --out x.onnx --model nowhere", "model must be bundled, teaching, a folder or a Hub id"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words.split()]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


LARGE = """
import sys
from album_gan.cli.main import main
assert main(["export", "--model", sys.argv[1], "--format", "html", "--out", "x.html"]) == 2
assert not {"onnxscript", "onnx"} & set(sys.modules), "the model was exported before it was refused"
"""


def test_a_model_too_large_for_the_page_is_refused_before_it_is_exported(tmp_path):
    """A DCGAN of the default width."""
    AlbumCoverPipeline(DCGANGenerator()).save_pretrained(tmp_path / "model")
    words = [sys.executable, "-c", LARGE, str(tmp_path / "model")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the page must be at most 30,000,000 bytes, so that it can be emailed, got " in done.stderr
    assert "or use --format onnx" in done.stderr
    assert not (tmp_path / "x.html").exists()


def test_the_lower_bound_of_a_page_is_one(file, tiny_pipeline):
    assert 0.5 * file.stat().st_size < smallest_size(tiny_pipeline)
    assert smallest_size(tiny_pipeline) < file.stat().st_size


@pytest.mark.parametrize(
    ("room", "left_out"),
    [(300_000, ""), (150_000, "the model's history"), (50_000, "the model's upscaler and history")],
)
def test_what_is_left_out_for_want_of_room_is_said(
    tiny_model, tiny_pipeline, halves, tmp_path, monkeypatch, capsys, room, left_out
):
    noise = np.random.default_rng(0).bytes(100_000)
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "history").mkdir()
    (tmp_path / "model" / "history" / "0.webp").write_bytes(noise)
    monkeypatch.setattr(html_page, "halves_to_onnx", lambda pipe: halves)
    monkeypatch.setattr(html_page, "upscaler_to_onnx", lambda pipe: noise)
    monkeypatch.setattr(html_page, "MAX_BYTES", len(build_page(tiny_pipeline, halves)) + room)
    words = ["export", "--model", str(tmp_path / "model"), "--format", "html", "--out", str(tmp_path / "covers.html")]
    assert main(words) == 0
    page, said = (tmp_path / "covers.html").read_text(), capsys.readouterr().out
    assert ("without" in said) == bool(left_out)
    assert left_out in said
    assert ("const HISTORY = [];" in page) == ("history" in left_out)
    assert ('"upscales": false' in page) == ("upscaler" in left_out)
