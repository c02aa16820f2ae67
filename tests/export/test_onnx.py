"""Exported ONNX files draw the pipeline's covers, by onnxruntime."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_recipes import RECIPES, build

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
from album_gan.inference.latents import latents_of
from album_gan.networks.lite_generator import LiteGenerator

onnx = pytest.importorskip("onnx", reason="exports need the extra export")
onnxruntime = pytest.importorskip("onnxruntime", reason="exports need the extra export")
from album_gan.export.html_page import build_page  # noqa: E402
from album_gan.export.onnx_model import check, export_onnx, halves_to_onnx, to_onnx  # noqa: E402

pytestmark = pytest.mark.long

SEEDS = [0, 7, 42, 12_345_678, 99_999_999]
GENRES = {"blues": [0, 1, 3], "ska": [0, 9, 1]}


@pytest.fixture(scope="module")
def file(tmp_path_factory, tiny_model) -> Path:
    """The tiny model, exported by the command."""
    file = tmp_path_factory.mktemp("exported") / "model.onnx"
    assert main(["export", "--model", str(tiny_model), "--format", "onnx", "--out", str(file)]) == 0
    return file


def run(content: bytes, **inputs: np.ndarray) -> np.ndarray:
    """Covers by onnxruntime as bytes (N, R, R, 3)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    [images] = session.run(None, inputs)
    return np.round((images.transpose(0, 2, 3, 1) + 1) * 127.5)


@pytest.mark.parametrize("truncation", [0.0, 0.6, 1.0])
def test_onnx_draws_the_pipelines_covers(file, tiny_pipeline, truncation):
    content = file.read_bytes()
    theirs = run(content, latents=latents_of(SEEDS, 128), truncation=np.array(truncation, np.float32))
    ours = tiny_pipeline(seeds=SEEDS, truncation=truncation, output_type="np").images * 255
    assert np.abs(theirs - ours).max() <= 2


def test_onnx_is_small_and_says_what_it_is(file, tiny_model, tiny_pipeline):
    model = onnx.load(file)
    about = {item.key.removeprefix("album_gan."): item.value for item in model.metadata_props}
    assert about["model"] == tiny_pipeline.fingerprint
    assert "Philox4x64-10" in about["latents"]
    half = (tiny_model / "generator" / "diffusion_pytorch_model.fp16.safetensors").stat().st_size
    assert file.stat().st_size < half * 1.2


def test_onnx_with_classes():
    classes = {"classes": ("jazz", "rock"), "class_counts": [0, 1, 1], "mixtures": GENRES}
    network = LiteGenerator(resolution=32, modulated=True, **classes).eval()
    network.label.weight.data[1:].normal_()
    network.blocks["16"].up_modulation.amounts.weight.data.normal_(std=0.1)
    pipe = AlbumCoverPipeline(network)
    content = to_onnx(pipe)
    about = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
    assert json.loads(about["album_gan.mixtures"]) == GENRES
    inputs = {"latents": latents_of([3, 4], 128), "truncation": np.array(1.0, np.float32)}
    theirs = run(content, labels=np.array(pipe.classes_of([3, 4], "ska")), **inputs)
    ours = pipe(seeds=[3, 4], label="ska", output_type="np").images * 255
    assert np.abs(theirs - ours).max() <= 2
    page = build_page(pipe, (b"", b""))  # the menu is of the model's own list
    assert '<option value="2">rock</option>' in page


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_onnx_of_every_recipe(name):
    """As every generator that a recipe trains, with classes where it takes them."""
    classes = ("jazz", "rock") if RECIPES[name].Recipe.takes_labels else ()
    _, generator, _ = build(name, classes=classes)
    pipe = AlbumCoverPipeline(generator.eval())
    assert check([to_onnx(pipe)], pipe) <= 2
    assert check(halves_to_onnx(pipe), pipe) <= 2


@pytest.mark.parametrize("name", ["cgan", "r3gan"])
def test_the_docs_draw_from_onnx_with_labels_but_no_counts(name, tmp_path, monkeypatch):
    """And with latents of another length; of a model with counts, tests/test_readme.py."""
    _, generator, _ = build(name, classes=("jazz", "rock"))
    pipe = AlbumCoverPipeline(generator.eval())
    monkeypatch.chdir(tmp_path)
    Path("covers.onnx").write_bytes(to_onnx(pipe))
    text = (Path(__file__).parents[2] / "docs" / "loading.md").read_text()
    [code] = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "covers.onnx" in code]
    exec(compile(code, "docs/loading.md", "exec"), {})
    drawn = np.asarray(Image.open("cover-7.png"), int)
    assert np.abs(drawn - np.asarray(pipe(seeds=[7]).images[0], int)).max() <= 2


def test_a_pipeline_in_half_precision_is_refused(tiny_model, tmp_path):
    pipe = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"exported from float32, got torch\.bfloat16; load it without `dtype`"):
        export_onnx(pipe, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="exported from float32"):
        halves_to_onnx(pipe)
    assert not list(tmp_path.iterdir())
