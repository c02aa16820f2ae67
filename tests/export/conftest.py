"""What the tests of the exported HTML file share."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from album_gan.cli.main import main


@pytest.fixture(scope="session")
def file(tmp_path_factory, tiny_model) -> Path:
    """The page of the tiny model and a history of two sheets, black and grey, exported by the command."""
    file = tmp_path_factory.mktemp("exported") / "covers.html"
    model = shutil.copytree(tiny_model, file.parent / "model")
    (model / "history").mkdir()
    for images in (0, 1_000):
        Image.new("RGB", (384, 384), (images // 10,) * 3).save(model / "history" / f"{images:09d}.webp")
    assert main(["export", "--model", str(model), "--format", "html", "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="session")
def halves(tiny_pipeline):
    """The tiny model's two halves as ONNX, which the page holds."""
    from album_gan.export.onnx_model import halves_to_onnx

    return halves_to_onnx(tiny_pipeline)
