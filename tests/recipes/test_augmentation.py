"""Draws, losses, augmentation, averages: small parts against closed forms."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from album_gan.recipes import losses
from album_gan.recipes.augmentation import detailed_crops, diff_augment, windows
from album_gan.recipes.named_random import Draw, DrawPlan, Request
from album_gan.recipes.projected import random_view
from album_gan.training.ema import reestimate_batch_norm, round_to_half, update_average
from album_gan.training.watching.run_log import next_moment


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


def test_windows_are_what_slices_cut_out_and_so_are_their_gradients():
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    top, left = torch.tensor([0, -2, 5]), torch.tensor([3, 1, -4])
    padded = F.pad(images, [8] * 4)
    places = zip(padded, top.tolist(), left.tolist(), strict=True)
    expected = torch.stack([image[:, 8 + y : 13 + y, 8 + x : 13 + x] for image, y, x in places])
    found = windows(images, top, left, 5)
    assert torch.equal(found, expected)
    weight = torch.randn_like(found)
    slopes = [torch.autograd.grad((cut * weight).sum(), images)[0] for cut in (found, expected)]
    assert torch.equal(*slopes)
    assert torch.autograd.gradgradcheck(lambda x: windows(x, top, left, 5) ** 2, (images,))


def test_losses_against_closed_forms():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])
    assert losses.hinge_discriminator(real, fake).item() == pytest.approx(0.25 + 0.5)
    assert losses.hinge_generator(fake).item() == pytest.approx(1.0)
    expected = nn.functional.binary_cross_entropy_with_logits
    total = expected(real, torch.ones(2)) + expected(fake, torch.zeros(2))
    assert losses.cross_entropy_discriminator(real, fake).item() == pytest.approx(total.item())
    assert losses.cross_entropy_generator(fake).item() == pytest.approx(expected(fake, torch.ones(2)).item())


def test_augmentation_treats_real_and_fake_alike_and_rows_differently():
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    draw = Draw(0, 5, 4)
    assert torch.equal(diff_augment(images, draw), diff_augment(images, draw))
    same = diff_augment(images[:1].expand(4, -1, -1, -1), draw)
    assert (same[0] - same[1]).abs().mean() > 0.01
    alone = diff_augment(images[2:], Draw(0, 5, 4, slice(2, 4)))
    assert torch.allclose(alone, diff_augment(images, draw)[2:])


def test_augmentation_leaves_some_images_as_they_are():
    images = torch.rand(64, 3, 32, 32) * 2 - 1
    draw = Draw(0, 5, 64)
    same = (diff_augment(images, draw) == images).flatten(1).all(1)
    assert 2 <= same.sum() <= 16  # an eighth on average
    assert torch.equal(diff_augment(images, draw, share=0), images)


def test_augmentation_lets_gradients_through_and_cuts_a_hole():
    images = torch.ones(8, 3, 40, 40, requires_grad=True)
    augmented = diff_augment(images, Draw(0, 1, 8))
    augmented.sum().backward()
    assert (images.grad != 0).float().mean() > 0.7
    share_of_holes = (augmented == 0).all(1).float().mean().item()
    assert 0.02 < share_of_holes < 0.35


def test_pieces_are_looked_at_in_every_other_step_at_places_of_their_own():
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    images = torch.stack([rows, columns, rows + columns]).expand(8, -1, -1, -1)
    assert random_view(images, 32, Draw(0, 4, 8)) is images
    assert random_view(images, 64, Draw(0, 5, 8)) is images  # enlarged twice anyway
    pieces = random_view(images, 32, Draw(0, 5, 8))
    assert pieces.shape == (8, 3, 16, 16)
    top, left = pieces[:, 0, 0, 0].long(), pieces[:, 1, 0, 0].long()
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 4
    for piece, y, x in zip(pieces, top, left, strict=True):
        assert torch.equal(piece, images[0, :, y : y + 16, x : x + 16])
    alone = random_view(images[2:], 32, Draw(0, 5, 8, slice(2, 8)))
    assert torch.equal(alone, pieces[2:])


def test_crops_go_where_the_detail_is():
    images = torch.zeros(64, 3, 64, 64)
    images[:, :, :, 40:] = 1.0  # one hard edge, and two places with fine strokes, of which the second is fainter
    images[:, :, 4:14, 2:34:4] = 0.6
    images[:, :, 44:54, 2:34:4] = 0.4
    crops = detailed_crops(images, 16, Draw(0, 7, 64), "closest")
    assert crops.shape == (64, 3, 16, 16)
    strokes = (crops == 0.6).any((1, 2, 3)), (crops.sub(0.4).abs() < 1e-6).any((1, 2, 3))
    assert strokes[0].float().mean() > 0.6
    assert 0.02 < strokes[1].float().mean() < 0.4
    alone = detailed_crops(images[8:], 16, Draw(0, 7, 64, slice(8, 64)), "closest")
    assert torch.equal(alone, crops[8:])


def test_detailed_crops_take_every_fourth_step_and_let_gradients_through():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sizes = [random_view(images, 32, Draw(0, step, 4), detailed=True).shape[-1] for step in range(8)]
    assert sizes == [32, 16, 32, 8] * 2
    random_view(images, 32, Draw(0, 3, 4), detailed=True).sum().backward()
    assert (images.grad == 1).sum((1, 2, 3)).tolist() == [3 * 8 * 8] * 4


def test_moments_of_the_history_are_a_fifth_apart():
    moments = [1_000]
    while moments[-1] < 10_000_000:
        moments.append(next_moment(moments[-1]))
    ratios = [later / earlier for earlier, later in pairwise(moments)]
    assert ratios == pytest.approx([1.2] * len(ratios), rel=1e-3)


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
