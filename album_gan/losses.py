"""GAN losses: pure functions of logits. Each returns a scalar to be minimised."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy, real as 1 and fake as 0: Eq. (1) of Goodfellow et al. 2014, arXiv:1406.2661."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def cross_entropy_generator(fake: Tensor) -> Tensor:
    """The non-saturating form, section 3 of Goodfellow et al. 2014: maximise log D(G(z))."""
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge: Eq. (16) of Miyato et al. 2018, arXiv:1802.05957."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Eq. (17) of Miyato et al. 2018."""
    return -torch.mean(fake)
