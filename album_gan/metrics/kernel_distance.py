"""Kernel distance between two sets of features (KID, if they are Inception's)."""

import math
from typing import TypeVar

import numpy as np
from torch import Tensor

Features = TypeVar("Features", np.ndarray, Tensor)


def kernel_distance(real: Features, fake: Features) -> Features:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, a scalar; 0 is the same distribution.

    real (N, D), fake (M, D), 2 or more of each, or ValueError. Pass float64: features are not converted, and in float32
    rounding errors dominate. Differentiable for tensors.
    Binkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, section 4.
    """
    count, other = len(real), len(fake)
    if min(count, other) < 2:
        raise ValueError(f"kernel_distance needs 2 or more of each, got {count} real and {other} fake; draw more")
    return _unbiased(_kernel(real, real), _kernel(fake, fake), _kernel(real, fake))


def subset_distances(real: np.ndarray, fake: np.ndarray, size: int, draws: int = 50, seed: int = 0) -> np.ndarray:
    """Kernel distances between `draws` random subsets of real (N, D) and as many of fake (M, D); (draws,).

    Subsets have `size` rows. Raises ValueError for a size below 2 or above N or M. Pass float64, as to
    `kernel_distance`.
    """
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


def distances_within(features: np.ndarray, size: int | None = None, draws: int = 400, seed: int = 0) -> np.ndarray:
    """Kernel distances between two random disjoint subsets of `features` (N, D), drawn `draws` times; (draws,).

    Subsets have `size` rows, or half of them all. The mean is 0 but for chance, and the standard deviation is how much
    such a distance varies by chance. Raises ValueError for fewer than 4 rows. Pass float64, as to `kernel_distance`.
    """
    size = min(size or len(features), len(features) // 2)
    if size < 2:
        raise ValueError(f"features must have 4 or more rows to halve, got {len(features)}; add covers")
    rng = np.random.Generator(np.random.Philox(key=seed))
    kernel, found = _kernel(features, features), []
    for _ in range(draws):
        one, other = np.split(rng.permutation(len(features))[: 2 * size], 2)
        found.append(_unbiased(*(kernel[np.ix_(*pair)] for pair in ((one, one), (other, other), (one, other)))))
    return np.array(found)


def relative_spread(count: int, other: int) -> float:
    """Standard deviation of `kernel_distance` between `count` and `other` draws of one distribution.

    In units that depend on the distribution alone: the quotient of two relates the spreads at two pairs of sizes. The
    estimate is then a sum of three uncorrelated means of one centred kernel: over pairs of the ones, pairs of the
    others, and pairs of both (appendix B.1 of Gretton et al. 2012, "A Kernel Two-Sample Test").
    """
    return math.sqrt(2 / (count * (count - 1)) + 2 / (other * (other - 1)) + 4 / (count * other))


def witness(points: Tensor, real: Tensor, fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """Witness function, above 0 where fakes are overrepresented: points (B, D), real and fake (N, D) -> (B,).

    `weights` (N,), each 0 or 1, say which rows count, for equally many reals and fakes; if all are 0, the result is 0.
    Pass float64, as to `kernel_distance`. Twice the mean over generated points has the gradient of `kernel_distance`
    (section 2.3 of Gretton et al. 2012, "A Kernel Two-Sample Test").
    """
    if weights is None:
        return _kernel(points, fake).mean(1) - _kernel(points, real).mean(1)
    return (_kernel(points, fake) - _kernel(points, real)) @ weights / weights.sum().clamp(min=1)


def _unbiased(real: Features, fake: Features, between: Features) -> Features:
    """The estimate from kernels of reals (N, N) and fakes (M, M), without their diagonals, and between both (N, M)."""
    means = [(within.sum() - within.trace()) / (len(within) * (len(within) - 1)) for within in (real, fake)]
    return means[0] + means[1] - 2 * between.mean()


def _kernel(a: Features, b: Features) -> Features:
    return (a @ b.T / a.shape[1] + 1) ** 3
