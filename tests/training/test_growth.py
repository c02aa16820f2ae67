"""Starting at a higher resolution than the model that a run starts from."""

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from short_runs import command
from tiny_recipes import build

from album_gan.light_diffusers import WEIGHTS
from album_gan.training import growth
from album_gan.training.config import TrainingConfig
from album_gan.training.packaging import load_initial_weights
from album_gan.training.state import TrainingState
from train import main


def saved(folder, resolution=32, classes=()):
    """An untrained `projected` model in a folder, with the statistics and contrast of a trained one; its generator."""
    _, generator, discriminator = build("projected", resolution, classes)
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        generator.to_rgb.weight *= 0.4 / generator(torch.randn(16, 128)).std()
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        network.save_pretrained(folder / name)
    return generator.eval()


def test_a_larger_generator_draws_the_models_covers_enlarged(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "BATCH_SIZE", 8)
    smaller = saved(tmp_path, classes=("jazz", "rock"))
    _, larger, discriminator = build("projected", 64, ("rock", "folk"))
    z, labels = torch.randn(8, 128, generator=torch.Generator().manual_seed(3)), torch.arange(8) % 2

    differences = []
    for steps in (1, 40):
        monkeypatch.setattr(growth, "STEPS", steps)
        with torch.autocast("cpu", torch.bfloat16):  # as in a run in bf16
            load_initial_weights(str(tmp_path), larger, discriminator)
        with torch.no_grad():
            covers = growth.enlarged(smaller(z, 2 * labels), 64)  # rock, or any
            differences.append((larger.eval()(z, labels) - covers).abs().mean().item())
    assert differences[1] < differences[0] / 2
    assert all(weight.grad is None for weight in larger.parameters())  # nothing for the run's first step to add to
    coarse = growth.coarse_weights(smaller.state_dict())
    own = larger.state_dict()
    assert {key for key in coarse if not torch.equal(coarse[key], own[key])} == {"label.weight"}  # other classes
    assert {key.split(".")[1] for key in own.keys() - coarse.keys()} == {"64", "weight", "bias"}


def test_growing_is_the_same_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "STEPS", 2)
    saved(tmp_path)
    grown = []
    for _ in range(2):
        _, *networks = build("projected", 64)
        load_initial_weights(str(tmp_path), *networks)
        grown.append(networks[0].state_dict())
    assert all(torch.equal(grown[0][key], grown[1][key]) for key in grown[0])


def test_a_run_begins_with_the_grown_model_and_resumes_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "STEPS", 2)
    saved(tmp_path)
    config = TrainingConfig(recipe="projected", resolution=64, init_from=str(tmp_path), device="cpu")
    recipe = build("projected", 64)[0]
    state = TrainingState.start(config, recipe, Accelerator(cpu=True, mixed_precision="bf16"))
    coarse = growth.coarse_weights(load_file(tmp_path / "generator" / WEIGHTS))
    for network in (state.generator, state.average):
        own = network.state_dict()
        assert all(torch.equal(coarse[key], own[key]) for key in coarse)

    (tmp_path / "generator").rename(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="generator"):
        TrainingState.start(config, recipe, Accelerator(cpu=True))
    assert TrainingState.start(config, recipe, Accelerator(cpu=True), resumes=True).step == 0


def test_who_cannot_grow_is_told_the_resolutions(my_covers, tmp_path, capsys):
    large = tmp_path / "large"
    saved(large, 64)
    down = command(my_covers, tmp_path / "down", "projected", "--max_train_steps", 1, "--init_from", large)
    assert main(down) == 2
    assert (
        "(resolution 64 there and 32 here); use the same recipe and settings, such as --resolution 64"
        in capsys.readouterr().err
    )
    assert main(command(my_covers, tmp_path / "classic", "dcgan", "--max_train_steps", 1)) == 0
    up = ["--init_from", tmp_path / "classic", "--resolution", 64]
    assert main(command(my_covers, tmp_path / "up", "dcgan", "--max_train_steps", 1, *up)) == 2
    assert "resolution 32 there and 64 here" in capsys.readouterr().err
