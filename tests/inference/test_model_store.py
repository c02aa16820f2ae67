"""No pickle is ever loaded: one that would write a file lies in every place, and nothing is written."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
from album_gan.hub.run_checkpoints import latest_checkpoint, read_state
from album_gan.networks.lite_generator import LiteGenerator
from album_gan.training.checkpoint import save_checkpoint, snapshot
from album_gan.training.packaging import load_initial_weights

STATE = {"images": 0, "seconds": 0.0, "config": {}}


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.fixture
def planted(tmp_path) -> tuple[bytes, Path]:
    """A pickle, and the file that it writes; it is live."""
    trace = tmp_path / "it-ran"
    content = pickle.dumps(Planted(trace))
    pickle.loads(content)
    assert trace.exists()
    trace.unlink()
    return content, trace


@pytest.fixture
def model(tiny_model, tmp_path) -> Path:
    AlbumCoverPipeline.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "name",
    ["generator/diffusion_pytorch_model.bin", "generator/weights.pt", "state.pkl", "upscaler/x.PTH", "upscaler/y.ckpt"],
)
def test_a_model_with_a_pickle_is_refused(model, planted, name, capsys):
    content, trace = planted
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"holds {Path(name).name}, which can run code .* safetensors and JSON"):
        AlbumCoverPipeline.from_pretrained(model)
    assert main(["generate", "--model", str(model), "--seeds", "1", "--out", str(model / "out")]) == 2
    assert "which can run code" in capsys.readouterr().err
    assert not trace.exists()


def test_a_pickle_instead_of_weights_is_refused(model, planted):
    """Under the name of the weights themselves it is not safetensors."""
    content, trace = planted
    for weights in (model / "generator").glob("*.safetensors"):
        weights.write_bytes(content)
    with pytest.raises(ValueError, match="are damaged"):
        AlbumCoverPipeline.from_pretrained(model)
    assert not trace.exists()


def test_going_on_from_a_model_with_a_pickle_is_refused(model, planted):
    content, trace = planted
    (model / "discriminator").mkdir()
    (model / "discriminator" / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match="which can run code"):
        load_initial_weights(str(model), LiteGenerator(32), LiteGenerator(32))
    assert not trace.exists()


def test_a_checkpoint_with_a_pickle_is_refused(tmp_path, planted):
    content, trace = planted
    for number in (1, 2):
        save_checkpoint(
            tmp_path / f"checkpoint-{number}", snapshot({"a": torch.nn.Linear(2, 2)}, {}), {"step": number, **STATE}
        )
    folder = tmp_path / "checkpoint-2"
    assert read_state(folder)["step"] == 2
    (folder / "optimizer.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"holds optimizer\.bin, which can run code"):
        read_state(folder)
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
    assert not trace.exists()


def test_what_we_write_has_none(model):
    kinds = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ".py"}  # code for diffusers alone, which we never run
    assert json.loads((model / "model_index.json").read_text())["_class_name"] == ["pipeline", "AlbumCoverPipeline"]
