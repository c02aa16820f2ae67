import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from album_gan.inference.latents import latents_of
from album_gan.inference.model_store import FP16_WEIGHTS, PIPELINE_FILES, WEIGHTS
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.inference.pixels import to_pixels
from album_gan.networks.dcgan import DCGANGenerator
from album_gan.networks.lite_generator import LiteGenerator


def pixels(pictures) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures]).astype(int)


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, album_gan; assert album_gan.__version__; assert 'AlbumCoverPipeline' in dir(album_gan)\n"
        "assert not {'torch', 'diffusers', 'numpy'} & set(sys.modules)\n"
        "from album_gan import AlbumCoverPipeline\n"
        "assert 'torch' in sys.modules\n"
        "AlbumCoverPipeline.from_pretrained()(seeds=[1])\n"
        "assert not {'diffusers', 'transformers', 'torch._dynamo', 'av'} & set(sys.modules)  # seconds\n"
        "assert not {'datasets', 'gradio', 'album_gan.recipes', 'album_gan.training'} & set(sys.modules)"
    )
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_covers_of_seeds(tiny_pipeline):
    covers = tiny_pipeline(seeds=[1, "velvet-otter-042", 1])
    assert covers.seeds == [1, 9_815_048, 1]
    assert [(cover.size, cover.mode) for cover in covers.images] == [((32, 32), "RGB")] * 3
    drawn = pixels(covers.images)
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert np.abs(drawn[0] - drawn[1]).mean() > 3
    assert drawn[0].std() > 3
    for same in (1, "1"):
        assert np.abs(pixels(tiny_pipeline(seeds=same).images)[0] - drawn[0]).max() <= 1
    assert tiny_pipeline(seeds="3,7-9").seeds == [3, 7, 8, 9]


def test_a_cover_is_the_network_at_its_latent(tiny_model, tiny_pipeline):
    network = LiteGenerator.from_pretrained(tiny_model / "generator")  # another way: the network alone
    with torch.no_grad():
        expected = to_pixels(network.eval()(torch.from_numpy(latents_of([5], 128))))
    assert np.abs(pixels(tiny_pipeline(seeds=5).images) - expected.astype(int)).max() <= 1


def test_a_cover_does_not_depend_on_its_company(tiny_pipeline):
    seeds = list(range(16))
    alone = np.concatenate([pixels(tiny_pipeline(seeds=seed).images) for seed in seeds])
    together = pixels(tiny_pipeline(seeds=seeds, batch_size=16).images)
    reversed_ = pixels(tiny_pipeline(seeds=seeds[::-1], batch_size=16).images)[::-1]
    in_fives = pixels(tiny_pipeline(seeds=seeds, batch_size=5).images)
    for other in (together, reversed_, in_fives):
        assert np.abs(other - alone).max() <= 1


def test_a_cover_does_not_depend_on_threads_modes_or_autocast(tiny_pipeline):
    expected = pixels(tiny_pipeline(seeds="0-3").images)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert np.abs(pixels(tiny_pipeline(seeds="0-3").images) - expected).max() <= 1
    finally:
        torch.set_num_threads(before)
    tiny_pipeline.generator.train()
    with torch.autocast("cpu", torch.bfloat16):
        assert np.abs(pixels(tiny_pipeline(seeds="0-3").images) - expected).max() <= 1
    assert not tiny_pipeline.generator.training


def test_two_threads_draw_at_once(tiny_pipeline):
    expected = pixels(tiny_pipeline(seeds="0-7").images)
    drawn = {}

    def draw(worker):
        drawn[worker] = pixels(tiny_pipeline(seeds="0-7").images)

    workers = [threading.Thread(target=draw, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(drawn) == 3
    assert all(np.abs(other - expected).max() <= 1 for other in drawn.values())


def test_output_types_agree(tiny_pipeline):
    pil = pixels(tiny_pipeline(seeds="0-2").images)
    array = tiny_pipeline(seeds="0-2", output_type="np", batch_size=2).images
    assert (array.shape, array.dtype) == ((3, 32, 32, 3), np.float32)
    tensor = tiny_pipeline(seeds="0-2", output_type="pt").images
    assert (tuple(tensor.shape), tensor.dtype) == ((3, 3, 32, 32), torch.float32)
    assert 0 <= array.min() < array.max() <= 1
    assert np.abs(array * 255 - pil).max() <= 1
    np.testing.assert_allclose(array, tensor.permute(0, 2, 3, 1).numpy(), atol=1e-4)
    (images,) = tiny_pipeline(seeds="0-2", return_dict=False)
    assert np.abs(pixels(images) - pil).max() <= 1


def test_drawn_seeds_are_told_and_follow_the_generator(tiny_pipeline):
    first = tiny_pipeline(num_images=3, generator=torch.Generator().manual_seed(1))
    again = tiny_pipeline(num_images=3, generator=torch.Generator().manual_seed(1))
    other = tiny_pipeline(num_images=3, generator=torch.Generator().manual_seed(2))
    assert first.seeds == again.seeds != other.seeds
    np.testing.assert_array_equal(pixels(first.images), pixels(again.images))
    assert np.abs(pixels(tiny_pipeline(seeds=first.seeds).images) - pixels(first.images)).max() <= 1
    assert tiny_pipeline().seeds != tiny_pipeline().seeds


def test_latents_and_stems_draw_the_same_cover(tiny_pipeline):
    expected = pixels(tiny_pipeline(seeds="0-2", truncation=0.6).images)
    latents = latents_of(range(3), 128)
    stems = tiny_pipeline.stems_of("0-2")
    assert stems.shape == (3, 256, 4, 4)
    for given in ({"latents": latents}, {"latents": torch.from_numpy(latents)}, {"stems": stems}):
        covers = tiny_pipeline(**given, truncation=0.6)
        assert covers.seeds is None
        assert np.abs(pixels(covers.images) - expected).max() <= 1


def test_latents_of_both_spaces_go_out_and_in(tiny_pipeline):
    drawn = tiny_pipeline(seeds=[4, 5], output_type="pt").images
    z = tiny_pipeline.latents_of([4, 5])
    assert z.shape == (2, 128)
    stems = tiny_pipeline.stems_of(latents=z)
    assert torch.equal(stems, tiny_pipeline.stems_of([4, 5]))
    for again in ({"latents": z}, {"stems": stems}):
        assert (tiny_pipeline(**again, output_type="pt").images - drawn).abs().max() < 1e-5
    with pytest.raises(ValueError, match="latents must have the shape"):
        tiny_pipeline.stems_of(latents=z[:, :5])


def test_classes_by_diffusers_name_for_them():
    network = LiteGenerator(resolution=32, classes=("jazz", "rock")).eval()
    network.label.weight.data[1:].normal_()
    pipe = AlbumCoverPipeline(network)
    each = [pipe(seeds=[seed], label=label).images[0] for seed, label in ((1, "rock"), (2, None), (3, "jazz"))]
    together = pipe(seeds=[1, 2, 3], class_labels=[1, None, "jazz"], batch_size=2).images
    assert [
        np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1 for a, b in zip(each, together, strict=True)
    ] == [True] * 3
    assert pipe(seeds=[1], class_labels="rock").images == pipe(seeds=[1], class_labels=1).images
    for wrong, message in (([0, 1], "one for each of 3"), (2, "must be below 2"), ("pop", "label must be one of jazz")):
        with pytest.raises(ValueError, match=message):
            pipe(seeds=[1, 2, 3], class_labels=wrong)
    with pytest.raises(ValueError, match="label or class_labels"):
        pipe(seeds=[1], label="jazz", class_labels=0)


@pytest.fixture(scope="module")
def conditional():
    network = LiteGenerator(resolution=32, classes=("jazz", "rock")).eval()
    torch.manual_seed(0)
    network.label.weight.data[1:].normal_()
    return AlbumCoverPipeline(network)


@pytest.mark.parametrize("kind", [np.int64, np.array, torch.tensor, np.uint8], ids=lambda kind: kind.__name__)
def test_classes_as_numbers_of_numpy_and_torch(conditional, kind):
    """Alone for all covers, and one for each in a list or an array; class 0 is the first class, not any."""
    jazz, rock = (pixels(conditional(seeds=[1], label=label).images) for label in ("jazz", "rock"))
    any_class = pixels(conditional(seeds=[1]).images)
    for number, expected in ((0, jazz), (1, rock)):
        for given in (kind(number), [kind(number)]):
            np.testing.assert_array_equal(pixels(conditional(seeds=[1], class_labels=given).images), expected)
    assert not np.array_equal(jazz, any_class)
    both = pixels(conditional(seeds=[1, 1], class_labels=[kind(0), None]).images)
    assert np.abs(both - np.concatenate([jazz, any_class])).max() <= 1
    if kind in (np.array, torch.tensor):
        assert (
            np.abs(pixels(conditional(seeds=[1, 1], class_labels=kind([1, 0])).images) - [rock[0], jazz[0]]).max() <= 1
        )


@pytest.mark.parametrize("wrong", [np.int64(2), torch.tensor(-1), 0.5, np.float32(1), [[0]]], ids=repr)
def test_classes_out_of_range_are_one_line(conditional, wrong):
    with pytest.raises(ValueError, match="class_labels must be"):
        conditional(seeds=[1], class_labels=wrong)


def test_a_label_is_a_name(conditional):
    for wrong in (0, np.int64(0), "pop"):
        with pytest.raises(ValueError, match="label must be one of jazz, rock"):
            conditional(seeds=[1], label=wrong)


def test_seeds_as_numbers_of_numpy_and_torch(tiny_pipeline):
    for one in (5, np.int64(5), np.array(5), torch.tensor(5), [torch.tensor(5)], np.array([5]), torch.tensor([5])):
        assert tiny_pipeline(seeds=one).seeds == [5]


def test_one_generator_for_each_image_as_in_diffusers(tiny_pipeline):
    def generators(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    several = tiny_pipeline(num_images=3, generator=generators(1, 2, 1))
    assert several.seeds[0] == several.seeds[2] != several.seeds[1]
    assert tiny_pipeline(generator=tuple(generators(1, 2, 1))).seeds == several.seeds
    assert tiny_pipeline(generator=generators(1)[0]).seeds == several.seeds[:1]
    with pytest.raises(ValueError, match="generator must be one, or one for each of 2 images, got 3"):
        tiny_pipeline(num_images=2, generator=generators(1, 2, 3))
    with pytest.raises(ValueError, match="num_images must be 1 or more"):
        tiny_pipeline(generator=[])


def test_diffusers_names_for_dtype_and_device(tiny_model):
    load = AlbumCoverPipeline.from_pretrained
    assert load(tiny_model, torch_dtype=torch.bfloat16).generator.dtype == torch.bfloat16
    for device_map in ("cpu", "auto", "balanced", torch.device("cpu")):
        assert len(load(tiny_model, device_map=device_map, torch_dtype=torch.float32)(seeds=1).images) == 1
    with pytest.raises(ValueError, match="dtype and torch_dtype are one option"):
        load(tiny_model, dtype=torch.float32, torch_dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="device_map must be a device or auto, got a dict"):
        load(tiny_model, device_map={"generator": 0})


def test_stems_may_carry_gradients_onwards(tiny_pipeline):
    stems = tiny_pipeline.stems_of(1).requires_grad_()
    tiny_pipeline.generator.paint(stems).sum().backward()
    assert stems.grad.abs().sum() > 0


def test_truncation_draws_towards_the_mean(tiny_pipeline):
    def spread(truncation):
        return pixels(tiny_pipeline(seeds="0-15", truncation=truncation).images).std(axis=0).mean()

    assert spread(0) <= 1
    assert spread(0) < spread(0.5) < spread(1)
    assert np.abs(pixels(tiny_pipeline(seeds=0, truncation=1.5).images) - pixels(tiny_pipeline(seeds=0).images)).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1, -1]}, "seed must be"),
        ({"seeds": "1,,2"}, "empty item"),
        ({"seeds": []}, "seeds must be one or more"),
        ({"seeds": 1, "stems": np.zeros((1, 256, 4, 4))}, "got seeds and stems"),
        ({"seeds": 1, "truncation": 2}, "truncation must be"),
        ({"seeds": 1, "output_type": "jpeg"}, "output_type must be"),
        ({"num_images": 0}, "num_images"),
        ({"seeds": 1, "batch_size": 0}, "batch_size"),
        ({"latents": np.zeros((1, 64))}, r"latents must have the shape \(B, 128\)"),
        ({"latents": np.zeros((0, 128))}, "latents must have"),
        ({"stems": np.zeros((256, 4, 4))}, r"stems must have the shape \(B, 256, 4, 4\)"),
    ],
)
def test_wrong_requests_are_explained(tiny_pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_pipeline(**arguments)


def test_settings_draw_the_cover_again(tiny_pipeline):
    settings = tiny_pipeline.settings("velvet-otter-042", 0.7)
    assert settings == {
        "format": 1,
        "model": tiny_pipeline.fingerprint,
        "seed": 9_815_048,
        "name": "velvet-otter-042",
        "truncation": 0.7,
        "label": None,
    }
    assert json.loads(json.dumps(settings)) == settings


def test_interpolation_passes_through_its_seeds(tiny_pipeline):
    covers = pixels(tiny_pipeline(seeds=[3, 4, 5], truncation=0.8).images)
    frames = pixels(tiny_pipeline.interpolate([3, 4, 5], frames=9, loop=True, truncation=0.8, batch_size=4))
    assert len(frames) == 9
    assert np.abs(frames[::3] - covers).max() <= 1
    assert np.abs(frames[1] - frames[0]).mean() > 0.5
    open_ = pixels(tiny_pipeline.interpolate("3-5", frames=5, loop=False, truncation=0.8))
    assert np.abs(open_[[0, 2, 4]] - covers).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1]}, "2 or more seeds, got 1"),
        ({"seeds": [1, 2], "frames": 1}, "frames must be 2 or more, got 1"),
        ({"seeds": [1, 2], "frames": 1, "loop": False}, "frames must be 2 or more, got 1"),
        ({"seeds": [1, 2], "truncation": -1}, "truncation must be"),
        ({"seeds": [1, ""]}, "empty text"),
        ({"seeds": [1, 2], "batch_size": 0}, "batch_size must be"),
    ],
)
def test_interpolation_refuses_before_the_first_frame(tiny_pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_pipeline.interpolate(**arguments)


def test_upscaling(tiny_pipeline):
    [cover] = tiny_pipeline(seeds=1).images
    assert tiny_pipeline.upscale(cover, 100).size == (100, 100)
    with pytest.raises(ValueError, match="size must be"):
        tiny_pipeline.upscale(cover, 31)


def test_the_fingerprint_names_the_fp16_file(tiny_model, tiny_pipeline):
    digest = hashlib.sha256((tiny_model / "generator" / FP16_WEIGHTS).read_bytes()).hexdigest()
    assert tiny_pipeline.fingerprint == digest[:8]
    assert AlbumCoverPipeline.from_pretrained(tiny_model, dtype=torch.bfloat16).fingerprint == digest[:8]
    changed = AlbumCoverPipeline.from_pretrained(tiny_model)
    changed.generator.to_rgb.bias.data += 0.25
    assert changed.fingerprint != digest[:8]


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
    with pytest.raises(OSError, match=r"empty is no album_gan model: model_index\.json is missing"):
        load(tmp_path / "empty")
    with pytest.raises(OSError, match=r"weights are missing: .*bf16"):
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


def test_pictures_given_as_numpy_seeds(tiny_pipeline):
    assert tiny_pipeline(seeds=np.array([3, 4])).seeds == [3, 4]
    assert isinstance(tiny_pipeline(seeds=np.int64(3)).images[0], Image.Image)
