"""Every step of every recipe's networks, against its own forward hooks and the numbers in the papers."""

from functools import partial
from math import prod

import pytest
import torch
from tiny_recipes import RECIPES, SMALL

from album_gan.explain.networks import bundled_pair, recipe_pair, resolutions, trace_both
from album_gan.explain.trace import ALL, trace
from album_gan.inference import pipeline

CASES = [(name, resolution) for name in RECIPES for resolution in resolutions(name)]


def pair_of(name, resolution):
    settings = {key: value for key, value in SMALL.get(name, {}).items() if "rate" not in key and key != "gamma"}
    return recipe_pair(name, resolution, **settings)


def remember(seen, key, module, inputs, output):
    seen.setdefault(key, output)


@pytest.mark.parametrize(("name", "resolution"), CASES)
def test_shapes_agree_with_forward_hooks(name, resolution):
    pair = pair_of(name, resolution)
    drawing = trace(pair.generator, *pair.inputs([3]), keep=False)
    assert drawing.output.shape == (1, 3, resolution, resolution)
    for network, given in ((pair.generator, *pair.inputs([3])), (pair.discriminator, drawing.output)):
        seen, kinds = {}, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.BatchNorm2d, torch.nn.Linear)
        hooks = [
            module.register_forward_hook(partial(remember, seen, key))
            for key, module in network.named_modules()
            if isinstance(module, kinds)
        ]
        with torch.no_grad():
            output = network(given)
        for hook in hooks:
            hook.remove()
        traced = trace(network, given, keep=False)
        assert torch.equal(traced.output, output)
        assert prod(traced.steps[-1].output) == output[0].numel()
        shapes = {}
        for step in traced.steps:
            shapes.setdefault(step.name, step.output)
        met = [key for key in seen if key in shapes]
        assert all(shapes[key] == tuple(seen[key].shape[1:]) for key in met)
        assert len(met) >= len(seen) - len([key for key in seen if "excitations" in key or "closeness" in key])
        # Nothing is left out, nothing is counted twice.
        total = sum(parameter.numel() for parameter in network.parameters())
        assert sum(step.parameters for step in traced.steps) + traced.unused == total


@pytest.mark.parametrize("name", RECIPES)
def test_every_step_begins_where_an_earlier_one_ended(name):
    pair = pair_of(name, resolutions(name)[0])
    steps = trace(pair.generator, *pair.inputs([3]), keep=False).steps
    for step in steps:
        assert all(-1 <= source < step.number for source in step.sources)
        if step.kind.name == "reshape":
            assert prod(step.inputs[0]) == prod(step.output)
        if "kernel" in step.settings or step.kind.name == "upsampling":
            assert step.arithmetic.endswith(f"= {step.output[-1]}")
    assert [size for size in (4, 8, 16) if any(step.output[-1] == size for step in steps)] or name == "vanilla"


def test_every_step_of_the_bundled_generator_is_used():
    """The label's too, which is added to the latent."""
    steps = trace(bundled_pair("bundled").generator, *bundled_pair("bundled").inputs([3]), keep=False).steps
    used = {source for step in steps for source in step.sources}
    assert used == set(range(-1, len(steps) - 1))


@pytest.mark.parametrize("name", ["bundled", "teaching"])
def test_a_bundled_pair_is_on_the_cpu_whatever_the_machine_has(name, monkeypatch):
    """As on a machine with a GPU, where a pipeline goes there by default."""
    monkeypatch.setattr(pipeline, "best_device", lambda: torch.device("meta"))
    bundled_pair.cache_clear()
    pair = bundled_pair(name)
    for network in (pair.generator, pair.discriminator):
        assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


def test_dcgan_is_the_one_of_the_papers_figure():
    """Figure 1 of Radford et al. 2015: 100 z, 1024 x 4 x 4, 512 x 8 x 8, 256 x 16 x 16, 128 x 32 x 32, 64 x 64."""
    drawing, judging = trace_both("dcgan")
    shapes = [step.output for step in drawing.steps if step.kind.main or step.kind.name == "reshape"]
    assert shapes == [(16_384,), (1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]
    stamps = [step for step in drawing.steps if step.kind.name == "transposed convolution"]
    assert all((step.settings["kernel"], step.settings["stride"]) == (5, 2) for step in stamps)
    assert stamps[0].parameters == 1024 * 512 * 5 * 5
    assert stamps[0].arithmetic == "(4 - 1) x 2 - 2 x 2 + 5 + 1 = 8"
    shapes = [step.output for step in judging.steps if step.kind.main]
    assert shapes == [(128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4), (1,)]
    assert judging.steps[0].arithmetic == "floor((64 - 5 + 2 x 2) / 2) + 1 = 32"


def test_a_grown_half_leaves_parameters_unused():
    pair = recipe_pair("progressive", 32, width=32, latent_dim=32)
    steps = trace(pair.generator, *pair.inputs([1]), keep=False)
    assert steps.unused == 3 * (32 + 1) * 3  # to_rgb of 4, 8 and 16 px


def test_muting_silences_what_it_names_and_nothing_else(tiny_pipeline):
    generator, z = tiny_pipeline.generator, tiny_pipeline.latents_of([3])
    plain = trace(generator, z)
    step = next(step for step in plain.steps if step.output == (192, 16, 16))
    muted = trace(generator, z, mute={step.number: [5, 7]})
    value = muted.steps[step.number].value
    assert (value[:, [5, 7]] == 0).all()
    rest = [channel for channel in range(192) if channel not in (5, 7)]
    assert torch.equal(value[:, rest], step.value[:, rest])
    assert not torch.equal(muted.output, plain.output)
    assert torch.equal(trace(generator, z).output, plain.output)  # nothing stays silent
    assert (trace(generator, z, mute={step.number: [ALL]}).steps[step.number].value == 0).all()
    with pytest.raises(ValueError, match="from 0 to 191, got 192"):
        trace(generator, z, mute={step.number: [192]})
    with pytest.raises(ValueError, match="mute must name steps"):
        trace(generator, z, mute={999: [ALL]})
