"""The average of the generator's weights, which is published."""

import math
from types import SimpleNamespace

import pytest
import torch

from album_gan.recipes.base import Schedule
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
