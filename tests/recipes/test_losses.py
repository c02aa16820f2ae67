"""Losses and penalties against closed form: the slope of a linear critic is its weight, everywhere."""

import pytest
import torch
from torch import nn

from album_gan.recipes import losses


def linear_critic():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 1)).double()


def pictures(number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, 4, 4, dtype=torch.float64)


def test_gradient_penalty_of_a_linear_critic():
    critic = linear_critic()
    penalty = losses.gradient_penalty(critic, pictures(), pictures(), torch.rand(2, 1, 1, 1, dtype=torch.float64))
    norm = critic[1].weight.norm()
    assert penalty.item() == pytest.approx((norm.item() - 1) ** 2)
    (gradient,) = torch.autograd.grad(penalty, critic[1].weight)
    assert torch.allclose(gradient, 2 * (norm - 1) * critic[1].weight / norm)


def test_scores_and_penalty_of_a_linear_critic():
    critic = linear_critic()
    images = pictures()
    scores, penalty = losses.scores_and_penalty(critic, images)
    assert torch.equal(scores, critic(images))
    assert penalty.item() == pytest.approx(critic[1].weight.square().sum().item())
    (gradient,) = torch.autograd.grad(penalty, critic[1].weight)
    assert torch.allclose(gradient, 2 * critic[1].weight)


def test_penalties_are_per_image_and_at_the_mixture():
    """The slope of sum(x^2) / 2 is x itself."""

    def critic(images):
        return images.square().sum((1, 2, 3)) / 2

    real, fake = pictures(), pictures()
    mix = torch.tensor([0.25, 1.0]).reshape(2, 1, 1, 1)
    norms = (mix * real + (1 - mix) * fake).flatten(1).norm(dim=1)
    assert losses.gradient_penalty(critic, real, fake, mix).item() == pytest.approx((norms - 1).square().mean().item())
    expected = real.square().sum() / 2
    assert losses.scores_and_penalty(critic, real)[1].item() == pytest.approx(expected.item())


def test_penalties_have_right_gradients_and_gradients_of_gradients():
    torch.manual_seed(0)
    first, second = torch.randn(4, 12, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    real, fake = torch.randn(2, 2, 3, 2, 2, dtype=torch.float64)
    mix = torch.rand(2, 1, 1, 1, dtype=torch.float64)

    def critic_of(first, second):
        return lambda images: torch.tanh(images.flatten(1) @ first.T) @ second.T

    def eq_3(first, second):
        return losses.gradient_penalty(critic_of(first, second), real, fake, mix)

    def r1(first, second):
        return losses.scores_and_penalty(critic_of(first, second), real)[1]

    weights = (first.requires_grad_(), second.requires_grad_())
    for penalty in (eq_3, r1):
        assert torch.autograd.gradcheck(penalty, weights)
        assert torch.autograd.gradgradcheck(penalty, weights)


def test_penalties_are_in_full_precision_under_autocast():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 1))
    real, fake, mix = pictures().float(), pictures().float(), torch.rand(2, 1, 1, 1)

    def both():
        return losses.gradient_penalty(critic, real, fake, mix), losses.scores_and_penalty(critic, real)[1]

    plain = both()
    with torch.autocast("cpu", torch.bfloat16):
        assert both() == plain


def test_losses_against_closed_forms():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])
    assert losses.hinge_discriminator(real, fake).item() == pytest.approx(0.25 + 0.5)
    assert losses.hinge_generator(fake).item() == pytest.approx(1.0)
    expected = nn.functional.binary_cross_entropy_with_logits
    total = expected(real, torch.ones(2)) + expected(fake, torch.zeros(2))
    assert losses.cross_entropy_discriminator(real, fake).item() == pytest.approx(total.item())
    assert losses.cross_entropy_generator(fake).item() == pytest.approx(expected(fake, torch.ones(2)).item())
