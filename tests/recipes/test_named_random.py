"""Draws by name: frozen, the same in parts as whole, and ahead of time."""

import pytest
import torch

from album_gan.recipes.named_random import Draw, DrawPlan, Request


def test_draws_depend_on_their_name_alone():
    first = Draw(1, 2, 8)
    first.uniform("something else", 3)
    assert torch.equal(first.normal("z", 4), Draw(1, 2, 8).normal("z", 4))
    assert not torch.equal(Draw(1, 3, 8).normal("z", 4), Draw(1, 2, 8).normal("z", 4))
    assert not torch.equal(Draw(1, 2, 8, turn="b").normal("z", 4), Draw(1, 2, 8).normal("z", 4))


def test_draws_of_processes_are_rows_of_the_whole():
    whole = Draw(1, 2, 8).normal("z", 4)
    parts = [Draw(1, 2, 8, slice(start, start + 2)).normal("z", 4) for start in range(0, 8, 2)]
    assert torch.equal(torch.cat(parts), whole)


def test_draws_are_frozen():
    """Exact resume on another machine needs torch to keep its promise; this tells when it does not."""
    assert Draw(0, 0, 2).normal("z", 2).flatten().tolist() == pytest.approx(GOLDEN, abs=1e-6)


GOLDEN = [1.2589831352233887, -2.031677722930908, 0.32667872309684753, 2.295114040374756]


def test_draws_made_ahead_are_the_same():
    plan, draw = DrawPlan(), Draw(1, 2, 8, slice(2, 6), turn="discriminator 0")
    requests = [
        Request("integers", "shift", (), -3, 9), Request("uniform", "chosen", (1, 1, 1)), Request("normal", "z", (5,)),
    ]  # fmt: skip
    for request in requests:
        plan.note("discriminator 0", request)
    plan.note("another turn", Request("normal", "other", (2,)))
    ahead = plan.draw_ahead(draw)
    assert set(ahead) == set(requests)
    assert torch.equal(ahead[requests[0]], draw.integers("shift", -3, 9))
    assert torch.equal(ahead[requests[1]], draw.uniform("chosen", 1, 1, 1))
    assert torch.equal(ahead[requests[2]], draw.normal("z", 5))
