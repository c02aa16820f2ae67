"""Checkpoints: complete, whole or not there, and told apart from broken ones."""

import json
import logging
from itertools import product

import pytest
import torch
from torch import nn

from album_gan.hub.run_checkpoints import checkpoints, latest_checkpoint, read_state
from album_gan.training.checkpoint import load_checkpoint, rotate_checkpoints, save_checkpoint, snapshot

STATE = {"images": 0, "seconds": 0.0, "config": {}}
WRONG = ["[]", "null", '"x"', "7", "{}", "[" * 100_000, "\x00" * 99, '{"format_version": 1}']
WRONG += [f'{{"format_version": 1, "sha256": {value}}}' for value in ("null", "7", '"ab"')]
FIELDS = ["format_version", "sha256", "step", "images", "seconds", "config"]
WRONG_VALUES = [None, [], -1, True, "x", 1e400, {"a": 1}]
WRONG_FIELDS = [pair for pair in product(FIELDS, WRONG_VALUES) if pair != ("config", {"a": 1})]


def trained(steps: int):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 3))
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, betas=(0.0, 0.99))
    train(network, optimizer, steps)
    return network, optimizer


def train(network, optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(2, 3, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()


def test_a_loaded_state_goes_on_as_the_saved_one(tmp_path):
    network, optimizer = trained(5)
    save_checkpoint(tmp_path / "checkpoint-5", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": 5})
    other, other_optimizer = trained(0)
    load_checkpoint(tmp_path / "checkpoint-5", {"net": other}, {"opt": other_optimizer})
    train(network, optimizer, 3)
    train(other, other_optimizer, 3)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[key]), key
    moment = other_optimizer.state[other[0].weight]["exp_avg_sq"]
    assert moment.is_contiguous(memory_format=torch.channels_last)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoint-5", "state.json", "state.safetensors"]


def test_corrupt_ones_are_passed_over(tmp_path, caplog):
    network, optimizer = trained(1)
    for step in (9, 10, 11):
        save_checkpoint(
            tmp_path / f"checkpoint-{step}", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": step}
        )
    weights = tmp_path / "checkpoint-11" / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7] + b"garbage")
    (tmp_path / "checkpoint-10" / "state.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert caplog.text.count("skipped") == 2
    with pytest.raises(ValueError, match=r"corrupt: state\.safetensors does not have the SHA-256"):
        read_state(tmp_path / "checkpoint-11")


def test_rotation_keeps_the_newest_by_number(tmp_path):
    network, optimizer = trained(1)
    for step in (9, 10, 100):
        save_checkpoint(
            tmp_path / f"checkpoint-{step}", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": step}
        )
    rotate_checkpoints(tmp_path, 2)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-100"]
    rotate_checkpoints(tmp_path, None)
    assert len(checkpoints(tmp_path)) == 2
    assert latest_checkpoint(tmp_path / "empty") is None


def test_a_checkpoint_of_other_shapes_says_so(tmp_path):
    network, optimizer = trained(1)
    save_checkpoint(tmp_path / "checkpoint-1", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": 1})
    wider = nn.Sequential(nn.Conv2d(3, 9, 3), nn.BatchNorm2d(9), nn.Conv2d(9, 1, 3))
    with pytest.raises(ValueError, match=r"does not fit: 0.weight must be \(9, 3, 3, 3\), got \(8, 3, 3, 3\)"):
        load_checkpoint(tmp_path / "checkpoint-1", {"net": wider}, {})


def test_a_failed_write_leaves_the_old_one(tmp_path):
    network, optimizer = trained(1)
    folder = tmp_path / "checkpoint-1"
    save_checkpoint(folder, snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(folder, snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": object()})
    assert read_state(folder)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:24])
def test_json_that_is_no_state_is_passed_over(tmp_path, caplog, text):
    network, optimizer = trained(1)
    for step in (1, 2):
        save_checkpoint(
            tmp_path / f"checkpoint-{step}", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": step}
        )
    (tmp_path / "checkpoint-2" / "state.json").write_text(text)
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
    with pytest.raises(ValueError, match="checkpoint-2 is"):
        read_state(tmp_path / "checkpoint-2")


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
def test_each_field_of_a_state_is_checked(tmp_path, field, value):
    network, optimizer = trained(1)
    for step in (1, 2):
        save_checkpoint(
            tmp_path / f"checkpoint-{step}", snapshot({"net": network}, {"opt": optimizer}), {**STATE, "step": step}
        )
    file = tmp_path / "checkpoint-2" / "state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps(state | {field: value}))
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-1"
