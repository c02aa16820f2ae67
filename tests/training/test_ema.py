"""The average of the generator's weights, which is published."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from album_gan.recipes.base import Schedule
from album_gan.training.ema import reestimate_batch_norm, round_to_half, update_average
from album_gan.training.loop import Trainer


def test_the_average_is_that_of_a_power_function():
    """Half-life at 5 % of the images so far: the weight at time t is t ** (ln 2 / 0.05 - 1), until the recipe's
    half-life is the shorter one (Karras et al. 2024, arXiv:2312.02696, Eq. 4)."""
    network, average = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    state = SimpleNamespace(generator=network, average=average, images=0, step=0)
    trainer = SimpleNamespace(state=state, batch_size=4, turns=1)
    power, steps = math.log(2) / 0.05 - 1, 2_000
    for step in range(1, steps + 1):
        network.weight.data.fill_(float(step))
        Trainer.average_weights(trainer, Schedule(average_half_life=1e9))
    assert state.images == 4 * steps
    expected = (power + 1) / (power + 2) * steps  # the mean of t under that weight
    assert average.weight.item() == pytest.approx(expected, rel=0.002)

    Trainer.average_weights(trainer, Schedule(average_half_life=4))  # one step of half a life
    assert average.weight.item() == pytest.approx((expected + steps) / 2, rel=0.002)


def test_average_moves_by_half_in_a_half_life():
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(average.weight)
    nn.init.ones_(network.weight)
    for _ in range(10):
        update_average(average, network, images=100, half_life=1_000)
    assert average.weight.item() == pytest.approx(0.5)
    update_average(average, network, images=1, half_life=0)
    assert average.weight.item() == pytest.approx(1.0)


def test_statistics_are_the_cumulative_mean_and_weights_stay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    inputs = [(torch.randn(16, 3),) for _ in range(5)]
    weights = network[0].weight.clone()
    reestimate_batch_norm(network, inputs)
    with torch.no_grad():
        hidden = [network[0](x) for (x,) in inputs]
    mean = torch.stack([h.mean(0) for h in hidden]).mean(0)
    variance = torch.stack([h.var(0) for h in hidden]).mean(0)
    assert torch.allclose(network[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(network[1].running_var, variance, atol=1e-6)
    assert torch.equal(network[0].weight, weights)
    assert not network.training
    assert network[1].momentum == 0.1


def test_rounding_survives_half():
    network = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5))
    round_to_half(network)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            assert torch.equal(tensor, tensor.half().float())
