"""What an earlier version saved, this one loads and draws to the bit, and the other way round; runs are resumed.

The earlier version comes out of git. Each works in separate processes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback import ROOT

from album_gan.covers.synthetic import draw_cover
from album_gan.inference.model_store import load_network

EARLIER = "d97bb87"  # before modules were moved into rooms
PATHS = ("album_gan", "space", "train.py", "pyproject.toml")

SAVE = """
import sys, torch
from pathlib import Path
from album_gan import AlbumCoverPipeline
from album_gan.networks.cover_upscaler import CoverUpscaler
from album_gan.networks.lite_generator import LiteGenerator
try:
    from album_gan.hub.push import assemble
except ImportError:
    from album_gan.hub import assemble
torch.manual_seed(7)
network = LiteGenerator(resolution=32, classes=("jazz", "rock"))
with torch.no_grad():
    network.label.weight.normal_()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network(torch.randn(16, 128), torch.zeros(16, dtype=torch.long))
    network.stem_mean.copy_(network.eval().embed(torch.randn(64, 128)).mean(0))
upscaler = CoverUpscaler(channels=8, blocks=1)
torch.nn.init.normal_(upscaler.leave.weight, std=0.01)
AlbumCoverPipeline(network, upscaler).save_pretrained("saved")
Path("pushed").mkdir()
assemble("saved", Path("pushed"), "me/covers", "drawn by the tests")
"""
DRAW = """
import json, sys
import numpy as np
from album_gan import AlbumCoverPipeline
for name, source in zip(sys.argv[2::2], sys.argv[3::2]):
    pipe = AlbumCoverPipeline.from_pretrained(source)
    label = pipe.labels[1] if pipe.labels else None
    covers = [pipe(seeds="0-3,velvet-otter-042").images, pipe(seeds=[7], truncation=0.6, label=label).images]
    covers.append([pipe.upscale(covers[0][0], 200)])
    covers.append(list(pipe.interpolate([1, 2], frames=4)))
    settings = json.dumps(pipe.settings(7, 0.6, label))
    np.savez(f"{sys.argv[1]}-{name}.npz", fingerprint=pipe.fingerprint, settings=settings,
             **{str(number): np.stack([np.asarray(image) for image in images]) for number, images in enumerate(covers)})
"""  # fmt: skip
DIFFUSERS = """
import sys
sys.modules["album_gan"] = None
import numpy as np
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
np.savez(sys.argv[2], fingerprint=pipe.fingerprint, **{
    "0": np.stack([np.asarray(image) for image in pipe(seeds="0-3,velvet-otter-042").images])})
"""
TRAIN = "import sys; from train import main; sys.exit(main(sys.argv[1:]))"


def python(root: Path, folder: Path, code: str, *arguments: object) -> str:
    """Run code with the album_gan of `root`, in `folder`."""
    check = "import album_gan, os; assert os.path.dirname(os.path.dirname(album_gan.__file__)) == os.environ['ROOT']\n"
    if 'sys.modules["album_gan"] = None' in code:
        check = ""
    environment = {
        **os.environ, "PYTHONPATH": str(root), "ROOT": str(root), "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"), "ALBUM_GAN_CACHE": str(folder / "cache"),
    }  # fmt: skip
    words = [sys.executable, "-c", check + code, *map(str, arguments)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def versions(tmp_path_factory) -> dict[str, Path]:
    """The root of each version, by name."""
    git = shutil.which("git")
    found = git and subprocess.run([git, "cat-file", "-e", f"{EARLIER}^{{commit}}"], cwd=ROOT, capture_output=True)
    if not found or found.returncode:
        pytest.skip(f"the history does not reach back to {EARLIER}: a shallow clone, or no git")
    earlier = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run([git, "archive", EARLIER, *PATHS], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=earlier, input=archive, check=True)
    return {"earlier": earlier, "this": ROOT}


@pytest.fixture(scope="module")
def drawn(versions, tmp_path_factory) -> Path:
    """A folder in which each version has saved and pushed a model, and drawn from what both of them wrote."""
    folder = tmp_path_factory.mktemp("drawn")
    box = versions["earlier"] / "album_gan" / "pretrained"
    sources = ["bundled-of-earlier", box, "teaching-of-earlier", box / "teaching"]
    for name, root in versions.items():
        (folder / name).mkdir()
        python(root, folder / name, SAVE)
        for kind in ("saved", "pushed"):
            sources += [f"{kind}-by-{name}", folder / name / kind]
    for name, root in versions.items():
        python(root, folder, DRAW, name, *sources)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        *("bundled-of-earlier", "teaching-of-earlier"),
        *(f"{how}-by-{who}" for how in ("saved", "pushed") for who in ("earlier", "this")),
    ],
)
def test_both_versions_draw_the_same_to_the_bit(drawn, source):
    earlier, this = (np.load(drawn / f"{name}-{source}.npz") for name in ("earlier", "this"))
    assert sorted(earlier) == sorted(this)
    for name in this:
        assert np.array_equal(earlier[name], this[name]), name
    assert this["0"].std() > 1


@pytest.mark.slow
def test_both_versions_publish_the_same_files_but_for_code(drawn):
    def files(name: str) -> dict[str, bytes]:
        folder = drawn / name / "pushed"
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return {path: content for path, content in found.items() if not path.endswith((".py", "README.md"))}

    def same(path: str) -> bool:
        """To the byte; a config may have gained fields, which the earlier version ignores."""
        if not path.endswith("config.json"):
            return earlier[path] == this[path]
        return json.loads(earlier[path]).items() <= json.loads(this[path]).items()

    earlier, this = files("earlier"), files("this")
    assert earlier.keys() == this.keys()
    assert [path for path in this if not same(path)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["earlier", "this"])
def test_the_code_published_with_a_model_draws_the_same(drawn, name, tmp_path):
    python(ROOT, tmp_path, DIFFUSERS, drawn / name / "pushed", tmp_path / "theirs.npz")
    theirs, ours = np.load(tmp_path / "theirs.npz"), np.load(drawn / f"this-pushed-by-{name}.npz")
    assert theirs["fingerprint"] == ours["fingerprint"]
    assert np.array_equal(theirs["0"], ours["0"])


@pytest.mark.slow
def test_a_run_of_the_earlier_version_is_resumed(versions, tmp_path):
    """As if it had never stopped."""
    (tmp_path / "covers").mkdir()
    for index in range(24):
        draw_cover(index, 32).save(tmp_path / "covers" / f"{index}.png")
    common = [
        "--recipe", "dcgan", "--dcgan.width", 16, "--resolution", 32, "--train_data_dir", "covers",
        "--train_batch_size", 4, "--dataloader_num_workers", 0, "--report_to", "none", 
        "--evaluation_images", 0, "--checkpointing_steps", 3,
        "--logging_steps", 2, "--sample_images", 8,
    ]  # fmt: skip
    python(versions["earlier"], tmp_path, TRAIN, *common, "--output_dir", "whole", "--max_train_steps", 6)
    python(versions["earlier"], tmp_path, TRAIN, *common, "--output_dir", "run", "--max_train_steps", 3)
    resume = ("--resume_from_checkpoint", "latest")
    python(ROOT, tmp_path, TRAIN, *common, "--output_dir", "run", "--max_train_steps", 6, *resume)
    python(ROOT, tmp_path, TRAIN, *common, "--output_dir", "whole-of-this", "--max_train_steps", 6)
    models = [tmp_path / name / "generator" for name in ("whole", "run", "whole-of-this")]
    whole, resumed, _ = (load_network(model, "paint") for model in models)
    for name, value in resumed.named_parameters():
        assert torch.equal(value, whole.get_parameter(name)), name
    # BatchNorm statistics are estimated anew for each saved model, in this version from more latents.
    files = [model / "diffusion_pytorch_model.safetensors" for model in models]
    assert files[1].read_bytes() == files[2].read_bytes()
    logged = [json.loads(line)["images"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert logged == sorted(logged)
    assert logged[-1] == 24
