"""Augmentation and crops: windows against slices, the same way for real and fake."""

import pytest
import torch
import torch.nn.functional as F

from album_gan.recipes.augmentation import detailed_crops, diff_augment, windows
from album_gan.recipes.named_random import Draw
from album_gan.recipes.projected import Config, Recipe, random_view


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


def test_detailed_crops_are_refused_where_nothing_is_cropped():
    with pytest.raises(ValueError, match="detailed_crops must be left out at 64 px"):
        Recipe(Config(detailed_crops=True), 64).build_networks()


def test_detailed_crops_take_every_fourth_step_and_let_gradients_through():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sizes = [random_view(images, 32, Draw(0, step, 4), detailed=True).shape[-1] for step in range(8)]
    assert sizes == [32, 16, 32, 8] * 2
    random_view(images, 32, Draw(0, 3, 4), detailed=True).sum().backward()
    assert (images.grad == 1).sum((1, 2, 3)).tolist() == [3 * 8 * 8] * 4
