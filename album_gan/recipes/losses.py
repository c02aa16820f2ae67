"""GAN losses and penalties: pure functions of scores, critics and images. Each returns a scalar to minimise.

`real` and `fake` are scores of real and generated images, before any sigmoid, (B, ...); the penalties take the images
themselves. Only the relativistic losses compare scores one by one, so that both need the same shape.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_discriminator(real: Tensor, fake: Tensor, real_target: float = 1.0) -> Tensor:
    """Binary cross-entropy with targets 1 (real) and 0 (fake): Eq. (1) of Goodfellow et al. 2014, arXiv:1406.2661.

    A `real_target` below 1 smooths the labels of real images: section 3.4 of Salimans et al. 2016, arXiv:1606.03498.
    """
    real_term = real_target * F.softplus(-real) + (1 - real_target) * F.softplus(real)
    return real_term.mean() + F.softplus(fake).mean()


def cross_entropy_generator(fake: Tensor) -> Tensor:
    """Non-saturating loss, section 3 of Goodfellow et al. 2014: maximise log D(G(z))."""
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss: Eq. (16) of Miyato et al. 2018, arXiv:1802.05957."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Eq. (17) of Miyato et al. 2018."""
    return -torch.mean(fake)


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss: Eq. (2) of Arjovsky et al. 2017, arXiv:1701.07875, negated."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """Line 10 of Algorithm 1 of Arjovsky et al. 2017."""
    return -torch.mean(fake)


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Each real image should score above its fake: Eq. (2) of Huang et al. 2024, arXiv:2501.05441."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Each fake should score above its real image."""
    return F.softplus(real - fake).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Penalty on critic gradient norms other than 1: Eq. (3) of Gulrajani et al. 2017, arXiv:1704.00028.

    Images (B, C, H, W), interpolated between real and fake; `mix` (B, 1, 1, 1) in [0, 1] is the weight of the real
    one. Unweighted; the paper's weight is 10.
    """
    between = mix * real.detach() + (1 - mix) * fake.detach()
    slope = (_squared_slope(critic, between) + 1e-12).sqrt()  # the root has no gradient at 0
    return (slope - 1).square().mean()


def scores_and_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """The critic's logits for images (B, C, H, W), and its mean squared gradient norm there, from one forward pass.

    The penalty is R1 at real images, Eq. (9) of Mescheder et al. 2018, arXiv:1801.04406; R2, Eq. (10), at fakes.
    Unweighted; the papers' weight is gamma / 2.
    """
    scores, slope = _scores_and_slope(critic, images.detach())
    return scores, slope.mean()


def _squared_slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Squared norm of the critic's gradient at each image, (B,)."""
    return _scores_and_slope(critic, images)[1]


def _scores_and_slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and squared gradient norms (B,); with autocast off, because the norms need full precision."""
    device = images.device.type
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        images = images.to(torch.promote_types(images.dtype, torch.float32)).requires_grad_(True)
        scores = critic(images)
        (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        return scores, slope.flatten(1).square().sum(1)
