"""What a pipeline writes, and what may be loaded."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from fresh_process import run
from pictures import pixels
from safetensors.torch import load_file

from album_gan.inference.model_store import FP16_WEIGHTS, PIPELINE_FILES, WEIGHTS
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from album_gan.networks.lite_generator import LiteGenerator


def test_the_fingerprint_names_the_fp16_file(tiny_model, tiny_pipeline):
    digest = hashlib.sha256((tiny_model / "generator" / FP16_WEIGHTS).read_bytes()).hexdigest()
    assert tiny_pipeline.fingerprint == digest[:8]
    assert AlbumCoverPipeline.from_pretrained(tiny_model, dtype=torch.bfloat16).fingerprint == digest[:8]
    changed = AlbumCoverPipeline.from_pretrained(tiny_model)
    changed.generator.to_rgb.bias.data += 0.25
    assert changed.fingerprint != digest[:8]


def test_a_compiled_generator_is_saved_as_itself(tiny_model, tiny_pipeline, tmp_path):
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu")
    pipeline.save_pretrained(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    pipeline.generator = torch.compile(pipeline.generator)  # compiles when it is first called
    pipeline.upscaler = torch.compile(pipeline.upscaler)
    pipeline.save_pretrained(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert AlbumCoverPipeline(pipeline.generator).fingerprint == tiny_pipeline.fingerprint


def test_rounded_weights_have_no_fingerprint(tiny_model):
    """As diffusers loads them with torch_dtype=torch.bfloat16."""
    rounded = AlbumCoverPipeline(AlbumCoverPipeline.from_pretrained(tiny_model).generator.to(torch.bfloat16))
    for dtype in (torch.bfloat16, torch.float32):  # widened again, they are still others
        rounded.to(dtype)
        assert rounded.settings(7)["model"] is None
        with pytest.raises(ValueError, match="fingerprint is of weights in float32 or float16, got bfloat16"):
            _ = rounded.fingerprint


def test_a_replaced_generator_moves_with_the_pipeline(tiny_model):
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu")
    pipeline.generator = deepcopy(pipeline.generator)
    pipeline.to(torch.bfloat16)
    assert pipeline.components["generator"] is pipeline.generator
    assert pipeline.generator.dtype == pipeline.dtype == torch.bfloat16


def test_saving_rounds_what_is_written_and_not_what_is_used(tiny_model, tmp_path):
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model)
    network = pipeline.generator
    network.to_rgb.bias.fill_(1 / 3)
    pipeline.save_pretrained(tmp_path)
    assert network.to_rgb.bias[0].item() == pytest.approx(1 / 3, abs=1e-8)
    wide, narrow = (load_file(tmp_path / "generator" / name) for name in (WEIGHTS, FP16_WEIGHTS))
    assert wide.keys() == narrow.keys() == network.state_dict().keys()
    for name, value in narrow.items():
        assert value.dtype == (torch.float16 if value.is_floating_point() else torch.int64)
        torch.testing.assert_close(wide[name], value.to(wide[name].dtype), rtol=0, atol=0)
    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    networks = [
        f"{name}/{file}" for name in ("generator", "upscaler") for file in ("config.json", FP16_WEIGHTS, WEIGHTS)
    ]
    code = [*PIPELINE_FILES, "generator/lite_generator.py", "upscaler/cover_upscaler.py"]
    assert files == sorted(
        [*networks, *code, "model_index.json"]
    )  # the upscaler is the bundled one, as the model has none
    pipeline.save_pretrained(tmp_path)  # again, over the first


def test_a_model_saved_over_another_does_not_take_its_upscaler(tiny_model, tmp_path):
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu")
    bundled = next(pipeline.upscaler.parameters()).clone()
    next(pipeline.upscaler.parameters()).zero_()
    pipeline.save_pretrained(tmp_path)
    assert not next(AlbumCoverPipeline.from_pretrained(tmp_path, device="cpu").upscaler.parameters()).any()
    AlbumCoverPipeline(pipeline.generator).save_pretrained(tmp_path)
    loaded = AlbumCoverPipeline.from_pretrained(tmp_path, device="cpu")
    assert torch.equal(next(loaded.upscaler.parameters()), bundled)


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_float16_cannot_hold_are_not_saved(tiny_model, tmp_path, value):
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model)
    pipeline.generator.to_rgb.bias.fill_(value)
    with pytest.raises(ValueError, match=r"to_rgb\.bias"):
        pipeline.save_pretrained(tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_either_weights_file_draws_the_same_cover_in_a_fresh_process(tiny_model, tiny_pipeline, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "small")
    (tmp_path / "small" / "generator" / WEIGHTS).unlink()
    expected = hashlib.sha256(pixels(tiny_pipeline(seeds="0-3").images).tobytes()).hexdigest()
    both = AlbumCoverPipeline.from_pretrained(tiny_model, variant="fp16")
    np.testing.assert_array_equal(pixels(both(seeds="0-3").images), pixels(tiny_pipeline(seeds="0-3").images))
    code = (
        "import hashlib, sys, numpy as np, torch\n"
        "from album_gan import AlbumCoverPipeline\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"pipe = AlbumCoverPipeline.from_pretrained({str(tmp_path / 'small')!r})\n"
        "assert pipe.generator.dtype == torch.float32\n"
        "drawn = np.stack([np.asarray(image) for image in pipe(seeds='0-3').images]).astype(int)\n"
        "print(pipe.fingerprint, hashlib.sha256(drawn.tobytes()).hexdigest())"
    )
    result = run(code)
    assert result.stdout.split() == [tiny_pipeline.fingerprint, expected], result.stderr


@pytest.mark.parametrize("network_class", [LiteGenerator, DCGANGenerator])
def test_every_generator_makes_a_pipeline(network_class, tmp_path):
    pipeline = AlbumCoverPipeline(network_class(resolution=32))
    pipeline.save_pretrained(tmp_path)
    loaded = AlbumCoverPipeline.from_pretrained(tmp_path)
    assert type(loaded.generator) is network_class
    assert loaded.fingerprint == pipeline.fingerprint
    assert len(list(loaded.interpolate("1,2", frames=3, loop=False))) == 3
    assert np.abs(pixels(loaded(seeds=1).images) - pixels(pipeline(seeds=1).images)).max() <= 2


def test_a_pickled_pipeline_draws_the_same_and_holds_no_token(tiny_model):
    pipe = AlbumCoverPipeline.from_pretrained(tiny_model, token="hf_secret", device="cpu")
    data = pickle.dumps(pipe)
    assert b"hf_secret" not in data
    again = pickle.loads(data)
    assert again([7]).images[0].tobytes() == pipe([7]).images[0].tobytes()
    with pytest.raises(OSError, match="has no discriminator"):
        again.critic(pipe([7]).images)


def test_loading_leaves_the_random_state_alone(tiny_model):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    pipeline = AlbumCoverPipeline.from_pretrained(tiny_model)
    torch.testing.assert_close(torch.rand(4), expected)
    assert not any(parameter.requires_grad for parameter in pipeline.generator.parameters())
    assert {tensor.device.type for tensor in pipeline.generator.state_dict().values()} == {"cpu"}


def test_dtype(tiny_model, tiny_pipeline):
    half = AlbumCoverPipeline.from_pretrained(tiny_model, dtype=torch.bfloat16, device="cpu")
    assert half.generator.dtype == torch.bfloat16
    difference = np.abs(pixels(half(seeds="0-3").images) - pixels(tiny_pipeline(seeds="0-3").images))
    assert 0 < difference.mean() < 8


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_folders_that_are_no_model(tmp_path, copy):
    load = AlbumCoverPipeline.from_pretrained
    with pytest.raises(OSError, match=r"must be bundled, teaching, a folder or a Hub id .*, got '/no/such/place'"):
        load("/no/such/place")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"empty is not an album_gan model: model_index\.json is missing"):
        load(tmp_path / "empty")
    with pytest.raises(ValueError, match="variant must be fp16 or None, the two that models have, got 'bf16'"):
        load(copy, variant="bf16")
    (copy / "generator" / "config.json").unlink()
    with pytest.raises(OSError, match=r"config\.json is missing"):
        load(copy)


def test_unknown_classes_and_newer_formats_are_refused(copy):
    config = copy / "generator" / "config.json"
    for name in ("os.system", "ModelMixin", None, ["LiteGenerator"]):
        edit(config, _class_name=name)
        with pytest.raises(ValueError, match=r"_class_name must be one of .*LiteGenerator"):
            AlbumCoverPipeline.from_pretrained(copy)
    edit(config, _class_name="LiteGenerator", format_version=2)
    with pytest.raises(ValueError, match=r"format_version must be at most 1, got 2 .*; upgrade"):
        AlbumCoverPipeline.from_pretrained(copy)
    edit(config, format_version=1, resolution=100)
    with pytest.raises(ValueError, match="resolution must be"):
        AlbumCoverPipeline.from_pretrained(copy)
    config.write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        AlbumCoverPipeline.from_pretrained(copy)


def test_damaged_and_foreign_weights_are_one_line(copy):
    weights = copy / "generator" / WEIGHTS
    whole = weights.read_bytes()
    for content in (b"", whole[:1000], b"x" * 1000, (copy / "model_index.json").read_bytes()):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="are damaged") as error:
            AlbumCoverPipeline.from_pretrained(copy)
        assert "\n" not in str(error.value)
    weights.write_bytes(whole)
    edit(copy / "generator" / "config.json", resolution=64)
    with pytest.raises(ValueError, match="do not fit") as error:
        AlbumCoverPipeline.from_pretrained(copy)
    assert "\n" not in str(error.value)


def test_an_unreachable_hub_says_how_to_go_on_without_it():
    code = (
        "from album_gan import AlbumCoverPipeline\n"
        "try: AlbumCoverPipeline.from_pretrained('someone/covers')\n"
        "except OSError as error: print(error)"
    )
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        result = run(code, **environment)
        assert (
            "'someone/covers' is neither a folder here nor in the cache, and the Hub cannot be reached" in result.stdout
        ), result.stderr
        assert "use bundled or a local folder" in result.stdout


SAVE_OVER = """
import os, resource, sys
from album_gan.inference import atomic
from album_gan.inference.pipeline import AlbumCoverPipeline
folder, how, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
pipe = AlbumCoverPipeline.from_pretrained(folder, device="cpu")
pipe.generator.to_rgb.bias.data += 0.25
left, replace = [limit], os.replace
def killed(old, new):
    if atomic.Path(new).is_relative_to(folder) and ".tmp" not in str(new):
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
    replace(old, new)
if how == "killed":
    os.replace = killed
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
pipe.save_pretrained(folder)
"""


def save_over(folder, how, limit):
    words = [sys.executable, "-c", SAVE_OVER, str(folder), how, str(limit)]
    return subprocess.run(words, capture_output=True, text=True)


def test_a_full_disk_leaves_the_model_that_is_saved_over(copy, tiny_pipeline):
    """The limit on the size of files lets the float16 weights pass, and not the float32 ones."""
    small, large = ((copy / "generator" / name).stat().st_size for name in (FP16_WEIGHTS, WEIGHTS))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = save_over(copy, "full", (small + large) // 2)
    assert f"could not be written to {copy}: File too large; make room there" in done.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_first_file_that_cannot_be_replaced_leaves_the_model_that_is_saved_over(copy, tiny_pipeline):
    """A folder in its place stands for a file that another process has open, on Windows."""
    pipe = AlbumCoverPipeline.from_pretrained(copy, device="cpu")
    pipe.generator.to_rgb.bias.data += 0.25
    first = min(
        path.relative_to(copy) for path in copy.rglob("*") if path.is_file() and path.name != "model_index.json"
    )
    (copy / first).unlink()
    (copy / first).mkdir()
    with pytest.raises(IsADirectoryError, match=str(first)):
        pipe.save_pretrained(copy)
    (copy / first).rmdir()
    assert AlbumCoverPipeline.from_pretrained(copy, device="cpu").fingerprint == tiny_pipeline.fingerprint


@pytest.mark.parametrize("files", [0, 1, 6])
def test_a_killed_save_never_leaves_a_model_of_two(copy, tiny_pipeline, files):
    done = save_over(copy, "killed", files)
    assert done.returncode == 9, done.stderr
    with pytest.raises(OSError, match=r"model_index\.json is missing"):
        AlbumCoverPipeline.from_pretrained(copy)
    tiny_pipeline.save_pretrained(copy)
    assert AlbumCoverPipeline.from_pretrained(copy, variant="fp16").fingerprint == tiny_pipeline.fingerprint
    assert len(list(copy.glob(".*.tmp"))) == 1  # of the killed process
    [leftover] = copy.glob(".*.tmp")
    os.utime(leftover, (0, 0))
    tiny_pipeline.save_pretrained(copy)
    assert not leftover.exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_another_dtype_keeps_the_fingerprint(tiny_model, tiny_pipeline, dtype):
    load = partial(AlbumCoverPipeline.from_pretrained, tiny_model, device="cpu")
    like = torch.zeros(1, dtype=dtype)
    for moved in (load().to(dtype), load().to(dtype=dtype), load().to("cpu", dtype), load().to(like)):
        assert moved.generator.dtype == dtype
        assert moved.settings(7)["model"] == tiny_pipeline.fingerprint


def test_an_empty_name_is_not_the_current_folder(copy, monkeypatch):
    """As from `--model "$M"` with the variable unset, in a folder that holds a model."""
    monkeypatch.chdir(copy)
    with pytest.raises(OSError, match="model must be bundled, teaching, a folder or a Hub id owner/name, got ''"):
        AlbumCoverPipeline.from_pretrained("")
    assert AlbumCoverPipeline.from_pretrained(".").fingerprint


def test_the_critic_is_found_from_another_folder(copy, monkeypatch, tmp_path):
    DCGANDiscriminator(resolution=32).save_pretrained(copy / "discriminator")
    weights = copy / "discriminator" / WEIGHTS
    weights.rename(weights.with_name(FP16_WEIGHTS))
    monkeypatch.chdir(tmp_path)
    pipe = AlbumCoverPipeline.from_pretrained(copy.name, device="cpu")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(pipe.critic(pipe([7]).images)) == 1
