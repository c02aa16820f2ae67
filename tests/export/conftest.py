"""What the tests of the exported HTML file share."""

from pathlib import Path

import pytest

from album_gan.cli.main import main


@pytest.fixture(scope="session")
def file(tmp_path_factory, tiny_model) -> Path:
    """The tiny model's page, exported by the command."""
    file = tmp_path_factory.mktemp("exported") / "covers.html"
    assert main(["export", "--model", str(tiny_model), "--format", "html", "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="session")
def halves(tiny_pipeline):
    """The tiny model's two halves as ONNX, which the page holds."""
    from album_gan.export.onnx_model import halves_to_onnx

    return halves_to_onnx(tiny_pipeline)
