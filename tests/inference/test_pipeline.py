"""What a pipeline draws, and which requests it refuses."""

import json
import threading

import numpy as np
import pytest
import torch
from fresh_process import run
from pictures import pixels

from album_gan.inference.latents import latents_of
from album_gan.inference.model_store import load_network
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.inference.pixels import to_pixels
from album_gan.networks.lite_generator import LiteGenerator


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
    network = load_network(tiny_model / "generator", "paint")  # another way: the network alone
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


def test_seeds_as_numbers_of_numpy_and_torch(tiny_pipeline):
    for one in (5, np.int64(5), np.array(5), torch.tensor(5), [torch.tensor(5)], np.array([5]), torch.tensor([5])):
        assert tiny_pipeline(seeds=one).seeds == [5]


def test_digits_of_other_scripts_are_words(tiny_pipeline):
    assert tiny_pipeline(seeds=["²", "٤٢"]).seeds == [*tiny_pipeline("²").seeds, *tiny_pipeline("٤٢").seeds]


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
    for device_map in ("cpu", torch.device("cpu")):
        assert load(tiny_model, device="cpu", device_map=device_map).device.type == "cpu"
    with pytest.raises(ValueError, match="device and device_map are one option, got cpu and meta; pass one"):
        load(tiny_model, device="cpu", device_map="meta")
    for wrong in ({"torch_dtype": "float16"}, {"dtype": torch.int8}, {"device_map": "sequential"}, {"device_map": {}}):
        with pytest.raises(ValueError, match=r"(dtype|device_map) must be "):
            load(tiny_model, **wrong)
    with pytest.raises(ValueError, match="dtype and torch_dtype are one option"):
        load(tiny_model, dtype=torch.float32, torch_dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"device_map must be a device or auto, got {'generator': 0}; these"):
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
        ({"seeds": 1.0}, "seeds must be whole numbers, names or words, got 1.0; try 42"),
        ({"seeds": [1.5]}, "seeds must be whole numbers, names or words, got 1.5"),
        ({"seeds": [None]}, "seeds must be whole numbers, names or words, got None"),
        ({"seeds": 1, "stems": np.zeros((1, 256, 4, 4))}, "got seeds and stems"),
        ({"seeds": 1, "truncation": 2}, "truncation must be"),
        ({"seeds": 1, "output_type": "jpeg"}, "output_type must be"),
        ({"num_images": 0}, "num_images"),
        ({"seeds": 1, "num_images": 4}, "num_images is for covers of random seeds, got seeds too"),
        ({"seeds": 1, "generator": torch.Generator()}, "generator is for covers of random seeds, got seeds too"),
        ({"latents": np.full((1, 128), np.nan)}, "latents must be finite numbers"),
        ({"seeds": 1, "batch_size": 0}, "batch_size"),
        ({"latents": np.zeros((1, 64))}, r"latents must have the shape \(B, 128\)"),
        ({"latents": np.zeros((0, 128))}, "latents must have"),
        ({"stems": np.zeros((1, 256, 4, 4)), "label": "jazz"}, "label is for covers of seeds or latents, got stems"),
        ({"stems": np.zeros((1, 256, 4, 4)), "class_labels": 0}, "class_labels is for covers of seeds or latents"),
        ({"stems": np.zeros((256, 4, 4))}, r"stems must have the shape \(B, 256, 4, 4\)"),
    ],
)
def test_wrong_requests_are_explained(tiny_pipeline, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_pipeline(**arguments)


def test_settings_draw_the_cover_again(tiny_pipeline):
    network = LiteGenerator(32, classes=["jazz", "rock"], class_counts=[0, 1, 1], mixtures={"both": [0, 1, 1]}).eval()
    network.load_state_dict(tiny_pipeline.generator.state_dict(), strict=False)
    pipe = AlbumCoverPipeline(network)
    requests = [{"label": "rock"}, {"label": "both"}, {"class_labels": ["", "jazz", 1, "both"]}, {}]
    recorded = [["rock"] * 4, ["both"] * 4, [None, "jazz", "rock", "both"], [None] * 4]
    for request, labels in zip(requests, recorded, strict=True):
        drawn = pipe(["The Flat Tyres", 2, 3, 4], truncation=0.7, **request)
        assert [one["label"] for one in drawn.settings] == labels
        for image, one in zip(drawn.images, json.loads(json.dumps(drawn.settings)), strict=True):
            again = pipe(one.get("typed", one["seed"]), truncation=one["truncation"], label=one["label"]).images[0]
            assert np.abs(np.asarray(again, int) - np.asarray(image)).max() <= 1


def test_settings_are_plain_json(tiny_pipeline):
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
    for number in (np.float32(0.5), torch.tensor(0.5)):
        assert json.loads(json.dumps(tiny_pipeline([1], truncation=number).settings))[0]["truncation"] == 0.5


def test_interpolation_passes_through_its_seeds(tiny_pipeline):
    covers = pixels(tiny_pipeline(seeds=[3, 4, 5], truncation=0.8).images)
    frames = pixels(tiny_pipeline.interpolate([3, 4, 5], frames=9, loop=True, truncation=0.8, batch_size=4))
    assert len(frames) == 9
    assert np.abs(frames[::3] - covers).max() <= 1
    assert np.abs(frames[1] - frames[0]).mean() > 0.5
    open_ = pixels(tiny_pipeline.interpolate("3-5", frames=5, loop=False, truncation=0.8))
    assert np.abs(open_[[0, 2, 4]] - covers).max() <= 1


def test_seeds_may_come_from_an_iterator(tiny_pipeline):
    assert torch.equal(tiny_pipeline.stems_of(map(int, "345")), tiny_pipeline.stems_of([3, 4, 5]))
    assert len(list(tiny_pipeline.interpolate(map(int, "345"), frames=3))) == 3


def test_frames_of_an_interpolation_are_enlarged(tiny_pipeline):
    covers = tiny_pipeline(seeds=[3, 4]).images
    frames = tiny_pipeline.interpolate([3, 4], frames=2, loop=False, truncation=1.0, size=80)
    for frame, cover in zip(frames, covers, strict=True):
        assert np.abs(pixels([frame]) - pixels([tiny_pipeline.upscale(cover, 80)])).max() <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1]}, "2 or more seeds, got 1"),
        ({"seeds": [1, 2], "frames": 1}, "frames must be 2 or more, got 1"),
        ({"seeds": [1, 2], "frames": 1, "loop": False}, "frames must be 2 or more, got 1"),
        ({"seeds": [1, 2], "truncation": -1}, "truncation must be"),
        ({"seeds": [1, ""]}, "empty text"),
        ({"seeds": [1, 2], "batch_size": 0}, "batch_size must be"),
        ({"seeds": [1, 2], "size": 16}, "size must be from 32"),
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
