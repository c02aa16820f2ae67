"""A config.json with wild numbers is refused at once, in one clear line that names the field and the file."""

import json
import shutil
import time

import pytest

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
from album_gan.networks.cover_upscaler import CoverUpscaler

WILD = [10_000_000, -3, 0, None, 1e30, 1.5, float("nan"), "7", [], {}, True, 10**400, [10_000_000]]
MODELS = {
    "LiteGenerator": {"resolution": 32, "latent_dim": 128},
    "DCGANGenerator": {"resolution": 32, "latent_dim": 100, "width": 64},
    "R3Generator": {"resolution": 32, "latent_dim": 64, "width": 64, "blocks": 1},
    "InfoGenerator": {
        "resolution": 32, "latent_dim": 168, "categorical_codes": 4, "categories": 10, "continuous_codes": 4,
        "width": 32,
    },
    "ProgressiveGenerator": {"resolution": 32, "latent_dim": 64, "width": 64},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tiny_model, tmp_path_factory):
    """A model with an upscaler."""
    generator = AlbumCoverPipeline.from_pretrained(tiny_model).generator
    folder = tmp_path_factory.mktemp("whole")
    AlbumCoverPipeline(generator, CoverUpscaler(channels=8, blocks=1)).save_pretrained(folder)
    return folder


@pytest.fixture
def model(whole, tmp_path):
    """A model with an upscaler, whole but for what a test writes into it."""
    return shutil.copytree(whole, tmp_path / "model")


def write(model, network, **fields):
    file = model / network / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | fields))
    return file


def refused(model, capsys) -> str:
    """The one line that the command ends with."""
    start = time.monotonic()
    assert main(["generate", "--model", str(model), "--seeds", "1", "--out", str(model / "out")]) == 2
    assert time.monotonic() - start < 5
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert len(line) < 700
    assert "unexpected" not in line
    return line


@pytest.mark.parametrize("value", WILD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", MODELS)
def test_numbers_of_a_generator(model, name, value, capsys):
    for field in MODELS[name]:
        if value == 0 and field.endswith("_codes"):
            continue  # InfoGAN may have no codes of a kind
        file = write(model, "generator", _class_name=name, **{**MODELS[name], field: value})
        line = refused(model, capsys)
        assert field in line
        assert str(file) in line


@pytest.mark.parametrize("value", WILD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("field", ["channels", "blocks"])
def test_numbers_of_an_upscaler(model, field, value, capsys):
    file = write(model, "upscaler", **{field: value})
    assert f"{field} must be a whole number from 1 to " in (line := refused(model, capsys))
    assert f"in {file}" in line


@pytest.mark.parametrize("value", [None, 7, "jazz", ["a", "a"], [1, 2], [[]], [{}], [""], ["x" * 10_000], {"a": 1}])
def test_classes(model, value, capsys):
    write(model, "generator", classes=value)
    assert "classes must be a list of at most 100000 different names" in refused(model, capsys)


@pytest.mark.parametrize(
    "value", [None, 7, "x", [1], [1, 2], [0, 0, 0], [1, -1, 1], [1, 1e30, 1], [True] * 3, [[1]] * 3]
)
def test_counts_of_classes(model, value, capsys):
    write(model, "generator", classes=["jazz", "rock"], class_counts=value)
    assert "class_counts must be empty or a list of 3 whole numbers, not all 0" in refused(model, capsys)


@pytest.mark.parametrize("value", [7, "x", [], {"ska": 1}, {"ska": [1]}, {"": [0, 1, 1]}, {"ska": [0, 0, 0]}])
def test_mixtures_of_classes(model, value, capsys):
    write(model, "generator", classes=["jazz", "rock"], mixtures=value)
    assert "mixtures must be names, each with a list of 3 whole numbers, not all 0" in refused(model, capsys)


@pytest.mark.parametrize("value", [0, -1, "x", [], 1e30, True])
def test_where_refinements_begin(model, value, capsys):
    write(model, "generator", refined_from=value)
    assert "refined_from must be a whole number from 1 to" in refused(model, capsys)


@pytest.mark.parametrize("value", [None, "1", 1.0, -1, [], 2])
def test_formats(model, value, capsys):
    write(model, "generator", format_version=value)
    assert "format_version must be" in refused(model, capsys)


@pytest.mark.parametrize("value", [None, 7, [], ["LiteGenerator"], "os.system", "x" * 100_000])
def test_names_of_networks(model, value, capsys):
    write(model, "generator", _class_name=value)
    assert "_class_name must be one of" in refused(model, capsys)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "null", "7", '"x"', "{", "", "\x00", '{"resolution": ' + "9" * 5_000 + "}"]
)
@pytest.mark.parametrize("name", ["model_index.json", "generator/config.json"])
def test_json_that_is_no_description(model, name, text, capsys):
    (model / name).write_text(text)
    assert str(model / name) in refused(model, capsys)


def test_weights_that_are_none(model, capsys):
    for content in (b"", b"\xff" * 8, b"\x08\0\0\0\0\0\0\0{}      ", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"):
        for file in (model / "generator").glob("*.safetensors"):
            file.write_bytes(content)
        assert "save or download the model again" in refused(model, capsys)
