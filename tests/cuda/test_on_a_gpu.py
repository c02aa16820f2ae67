"""What must hold on an NVIDIA GPU: `python -m pytest -m cuda -rs`. Skipped, and said so, where there is none.

ALBUM_GAN_GPU=cpu rehearses these tests on the CPU, for development without a GPU.
"""

import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_covers import save_covers
from loopback import ROOT
from PIL import Image
from safetensors.torch import load_file
from serving import free_port, page_of, start_command

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main as album_gan
from album_gan.cli.train import main as train
from album_gan.editing.directions import Editor
from album_gan.evaluation.compare import compare
from album_gan.evaluation.extractors import EXTRACTORS
from album_gan.recipes.base import recipe_names

GPU = os.environ.get("ALBUM_GAN_GPU", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(GPU == "cuda" and not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]
SEEDS = [7, 42, 99_999_999, "velvet-otter-042"]
QUICK = ["--train_batch_size", "8", "--dataloader_num_workers", "0", "--report_to", "none", "--evaluation_images", "0"]
NARROW = {"progressive": 32, "r3gan": 32}  # channels; 64 for the others


def difference(some: list[Image.Image], others: list[Image.Image]) -> int:
    """The largest, of all pixels of all pictures, in 1/255."""
    pairs = zip(some, others, strict=True)
    return max(int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max()) for one, other in pairs)


@pytest.fixture(scope="module")
def on_cpu() -> AlbumCoverPipeline:
    return AlbumCoverPipeline.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def on_gpu() -> AlbumCoverPipeline:
    return AlbumCoverPipeline.from_pretrained(device=GPU)


@pytest.fixture(scope="module")
def covers(tmp_path_factory) -> Path:
    return save_covers(tmp_path_factory.mktemp("covers"), 120, 48)


# --- Drawing


@pytest.mark.parametrize("truncation", [1.0, 0.6])
def test_a_seed_is_the_same_cover(on_cpu, on_gpu, truncation):
    assert on_gpu.device.type == GPU
    drawn = (pipe(seeds=SEEDS, truncation=truncation).images for pipe in (on_cpu, on_gpu))
    assert difference(*drawn) <= 2


def test_a_cover_does_not_depend_on_the_batch(on_gpu):
    together = on_gpu(seeds=range(40), batch_size=40).images
    assert difference([on_gpu(seeds=[39]).images[0], on_gpu(seeds=[0]).images[0]], [together[39], together[0]]) <= 2


def test_nor_on_what_its_caller_has_switched_on(on_cpu, on_gpu):
    """TF32 would change covers by more than 2/255; a trainer in the same process allows it."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        with torch.autocast(GPU, torch.bfloat16):
            drawn = on_gpu(seeds=SEEDS).images
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    assert difference(drawn, on_cpu(seeds=SEEDS).images) <= 2


def test_half_precision_draws_nearly_the_same(on_cpu):
    half = AlbumCoverPipeline.from_pretrained(device=GPU, torch_dtype=torch.bfloat16)
    assert half.generator.dtype == torch.bfloat16
    pairs = zip(half(seeds=[7, 42]).images, on_cpu(seeds=[7, 42]).images, strict=True)
    assert max(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in pairs) < 6


def test_the_teaching_model(tmp_path):
    drawn = (
        AlbumCoverPipeline.from_pretrained("teaching", device=device)(seeds=[1, 2]).images for device in ("cpu", GPU)
    )
    assert difference(*drawn) <= 2


def test_interpolated_frames(on_cpu, on_gpu):
    frames = (list(pipe.interpolate([1, 2], frames=5)) for pipe in (on_cpu, on_gpu))
    assert difference(*frames) <= 2


def test_the_upscaler(on_cpu, on_gpu):
    cover = on_cpu(seeds=[7]).images[0]
    larger = (pipe.upscale(cover, 512) for pipe in (on_cpu, on_gpu))
    assert difference(*([picture] for picture in larger)) <= 2


def test_editing(on_cpu, on_gpu):
    amounts = {"darker": 1.5, "component 1": -1.0}
    edited = []
    for pipe in (on_cpu, on_gpu):
        editor = Editor(pipe)
        stems = editor.edit(pipe.stems_of([42]), amounts)
        edited.append([*pipe(stems=stems).images, *editor.mix(stems, pipe.stems_of([7]))])
    assert difference(*edited) <= 4  # gradients and principal components add what rounding they have


@pytest.mark.parametrize("name", EXTRACTORS)
def test_evaluation(on_cpu, name):
    pictures = np.stack([np.asarray(cover) for cover in on_cpu(seeds=range(24)).images])
    numbers = [
        compare(pictures[:12], pictures[12:], extractors=(name,), progress=False, device=device)["spaces"][name]
        for device in ("cpu", GPU)
    ]
    for key, value in numbers[0].items():
        assert numbers[1][key] == pytest.approx(value, rel=0.02, abs=1e-4), key


# --- The page


def test_the_page(on_cpu, tmp_path):
    pytest.importorskip("gradio", reason="the page needs album-gan[demo]")
    port = free_port()
    command = start_command("bundled", port, device=GPU)
    with page_of(command, {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}):
        name = on_cpu(seeds=[42]).images[0]
        for path in ("cover/42.png", "edit/42.png"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                assert difference([Image.open(io.BytesIO(answer.read()))], [name]) <= 2
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/edit/42.webp?size=512", timeout=60) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == (512, 512)
        for path in ("learn/layers.json?seed=42", "learn/cover.webp?seed=42"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=60) as answer:
                assert answer.status == 200


def test_the_command_line(on_cpu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert album_gan(["generate", "--seeds", "42", "--device", GPU, "--out", "covers"]) == 0
    assert difference([Image.open("covers/00000042.png").convert("RGB")], on_cpu(seeds=[42]).images) <= 2


# --- Training


def words(covers: Path, output: Path, recipe: str, *more: object) -> list[str]:
    small = [] if recipe in ("projected", "upscaler") else [f"--{recipe}.width", str(NARROW.get(recipe, 64))]
    own = ["--recipe", recipe, *small, "--resolution", "32", "--train_data_dir", str(covers), "--device", GPU]
    return [*own, "--output_dir", str(output), *QUICK, *map(str, more)]


def train_in_its_own_process(arguments: list[str]) -> None:
    """Switches of torch are the process's, and some only count before it has used the GPU."""
    done = subprocess.run([sys.executable, ROOT / "train.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_trains(recipe, covers, tmp_path):
    assert train(words(covers, tmp_path / "run", recipe, "--max_train_steps", 4, "--logging_steps", 2)) == 0
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any("images_per_second" in line for line in log)
    if recipe != "upscaler":
        assert AlbumCoverPipeline.from_pretrained(tmp_path / "run", device=GPU)(seeds=[1]).images[0].size == (32, 32)


@pytest.mark.parametrize("exact", [True, False], ids=["deterministic", "as usual"])
@pytest.mark.parametrize("recipe", ["projected", "dcgan"])
def test_a_resumed_run_is_close_to_an_uninterrupted_one(recipe, exact, covers, tmp_path):
    """Same draws and batches; sums in another order are all that may differ. Bit for bit with --deterministic."""
    folders = [tmp_path / "whole", tmp_path / "parts"]
    options = ("--max_train_steps", 6, "--checkpointing_steps", 3, *(["--deterministic"] if exact else []))
    for folder in folders:
        train_in_its_own_process(words(covers, folder, recipe, *options))
    (folders[1] / "checkpoint-6").rename(tmp_path / "later")
    train_in_its_own_process([*words(covers, folders[1], recipe, *options), "--resume_from_checkpoint", "latest"])
    whole, parts = (load_file(folder / "checkpoint-6" / "state.safetensors") for folder in folders)
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        if exact:
            assert torch.equal(parts[name], tensor), name
        elif name.startswith("generator.") and tensor.is_floating_point():
            torch.testing.assert_close(parts[name], tensor, rtol=0.05, atol=2e-3, msg=name)


def test_a_run_of_the_cpu_continues_on_the_gpu(covers, tmp_path):
    run = tmp_path / "run"
    on_cpu = words(covers, run, "projected", "--max_train_steps", 2, "--checkpointing_steps", 2)
    train_in_its_own_process([*on_cpu, "--device", "cpu"])
    more = words(covers, run, "projected", "--max_train_steps", 4, "--resume_from_checkpoint", "latest")
    assert train(more) == 0
    assert json.loads((run / "training.json").read_text())["steps"] == 4


def test_a_dry_run_counts_the_memory_of_the_gpu(covers, tmp_path, capsys):
    assert train([*words(covers, tmp_path / "run", "projected"), "--dry_run"]) == 0
    text = capsys.readouterr().out
    assert ("GB of GPU memory with batches of 8" in text) == (GPU == "cuda")
    assert "images per second" in text


@pytest.mark.skipif(GPU == "cuda" and torch.cuda.device_count() < 2, reason="there are no two NVIDIA GPUs here")
def test_two_gpus(covers, tmp_path):
    kind = "--multi_gpu" if GPU == "cuda" else "--cpu"
    launch = [
        Path(sys.executable).with_name("accelerate"),
        "launch",
        kind,
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port()), "train.py"]
    run = words(covers, tmp_path / "run", "projected", "--max_train_steps", 3)
    assert subprocess.run([*launch, *run], cwd=ROOT, timeout=250).returncode == 0
    assert json.loads((tmp_path / "run" / "training.json").read_text())["batch_size"] == (16 if GPU == "cuda" else 8)
