"""Kernel distance between two sets of features (KID, if they are Inception's)."""

from typing import TypeVar

import numpy as np
from torch import Tensor

Features = TypeVar("Features", np.ndarray, Tensor)


def kernel_distance(real: Features, fake: Features) -> Features:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, a scalar; 0 is the same distribution.

    real (N, D), fake (M, D), 2 or more of each, or ValueError; in float64, since rounding errors dominate otherwise.
    Differentiable for tensors.
    Binkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, section 4.
    """
    count, other = len(real), len(fake)
    if min(count, other) < 2:
        raise ValueError(f"kernel_distance needs 2 or more of each, got {count} real and {other} fake; draw more")
    within_real, within_fake = _kernel(real, real), _kernel(fake, fake)
    real_mean = (within_real.sum() - within_real.trace()) / (count * (count - 1))
    fake_mean = (within_fake.sum() - within_fake.trace()) / (other * (other - 1))
    return real_mean + fake_mean - 2 * _kernel(real, fake).mean()


def subset_distances(real: np.ndarray, fake: np.ndarray, size: int, draws: int = 50, seed: int = 0) -> np.ndarray:
    """Kernel distances of `draws` random subsets of `size` each, for mean and spread; (draws,)."""
    if size > min(len(real), len(fake)):
        raise ValueError(f"size must be at most {min(len(real), len(fake))}, the smaller set, got {size}")
    rng = np.random.Generator(np.random.Philox(key=seed))
    return np.array(
        [
            kernel_distance(
                real[rng.choice(len(real), size, replace=False)], fake[rng.choice(len(fake), size, replace=False)]
            )
            for _ in range(draws)
        ]
    )


def distances_within(covers: np.ndarray, size: int | None = None, draws: int = 400, seed: int = 0) -> np.ndarray:
    """Kernel distances of `draws` random pairs of disjoint subsets, of `size` or of half of the covers; (draws,).

    Their expectation is 0; their standard deviation is what such a distance varies by chance.
    """
    size = min(size or len(covers), len(covers) // 2)
    if size < 2:
        raise ValueError(f"covers must be 4 or more to halve, got {len(covers)}; add covers")
    rng = np.random.Generator(np.random.Philox(key=seed))
    kernel, found = _kernel(covers, covers), []
    for _ in range(draws):
        one, other = np.split(rng.permutation(len(covers))[: 2 * size], 2)
        within = sum(kernel[np.ix_(some, some)].sum() - kernel[some, some].sum() for some in (one, other))
        found.append(within / (size * (size - 1)) - 2 * kernel[np.ix_(one, other)].mean())
    return np.array(found)


def witness(points: Tensor, real: Tensor, fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """Witness function, above 0 where fakes are overrepresented: points (B, D), real and fake (N, D) -> (B,).

    `weights` (N,) are row weights, for equally many reals and fakes; if all are 0, the result is 0. Also in float64.
    Twice its mean over generated points has the gradient of `kernel_distance` (section 2.3 of Gretton et al. 2012, "A
    Kernel Two-Sample Test").
    """
    if weights is None:
        return _kernel(points, fake).mean(1) - _kernel(points, real).mean(1)
    return (_kernel(points, fake) - _kernel(points, real)) @ weights / weights.sum().clamp(min=1)


def _kernel(a: Features, b: Features) -> Features:
    return (a @ b.T / a.shape[1] + 1) ** 3
