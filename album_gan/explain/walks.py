"""Arithmetic and walks in the latent space of a generator."""

from typing import Any

import torch
from torch import Tensor


def arithmetic(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a - b + c of latents (1, D), rescaled to the typical length of latents, the square root of D."""
    return on_sphere(a - b + c)


def on_sphere(z: Tensor) -> Tensor:
    """Rescale latents (B, D) to the typical length: in many dimensions, a Gaussian concentrates on a shell."""
    return z / z.norm(dim=1, keepdim=True).clamp_min(1e-9) * z.shape[1] ** 0.5


def line(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Latents (steps, D) on the straight line between two (1, D), which passes inside their shell.

    Halfway it is about 0.7 times as far from the origin as latents are, and no latent lies there.
    """
    share = shares(steps)
    return share[:, :1] * first + share[:, 1:] * last


def sphere(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Latents (steps, D) on the arc between two (1, D): spherical interpolation, White 2016, arXiv:1609.04468."""
    cosine = torch.nn.functional.cosine_similarity(first, last).clamp(-1, 1)
    angle = torch.acos(cosine).clamp_min(1e-4)
    share = torch.linspace(0, 1, steps)[:, None]
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)


def shares(steps: int) -> Tensor:
    """Weights of the two ends at each step, (steps, 2), from (1, 0) to (0, 1)."""
    last = torch.linspace(0, 1, steps)[:, None]
    return torch.cat([1 - last, last], 1)


def draw(generator: Any, points: Tensor, weights: Tensor, classes: Tensor | None = None) -> Tensor:
    """Images (S, 3, R, R) of points (S, D) between E covers of these classes (E,).

    A class is not a point in latent space, so the stems of the E covers are mixed with `weights` (S, E) that sum to 1.
    """
    if classes is None:
        return generator(points)
    stems = torch.stack([generator.embed(points, one.expand(len(points))) for one in classes], 1)
    return generator.paint((weights[:, :, None, None, None] * stems).sum(1))
