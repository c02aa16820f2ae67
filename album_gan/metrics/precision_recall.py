"""Fidelity, diversity and copying, from distances between features."""

from dataclasses import dataclass

import numpy as np

BLOCK = 16_384  # features that are compared at a time; in float64 they take 200 MB


@dataclass(frozen=True)
class PRDC:
    """From 0 to 1, except density, which may exceed 1; higher is better."""

    precision: float  # fraction of fakes inside the reals' neighbourhoods
    recall: float  # fraction of reals inside the fakes' neighbourhoods
    density: float  # number of reals' neighbourhoods that contain a fake, over k
    coverage: float  # fraction of reals with a fake in their neighbourhood


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances, (N, D) and (M, D) -> (N, M)."""
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 3) -> PRDC:
    """Precision, recall, density and coverage of features real (N, D) and fake (M, D).

    Kynkaanniemi et al. 2019, arXiv:1904.06991, and Naeem et al. 2020, arXiv:2002.09797; neighbourhoods reach to the
    k-th neighbour. Raises ValueError for k or fewer of either.
    """
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"prdc needs more than k={k} of each, got {len(real)} real and {len(fake)} fake")
    real_radius = _radius(real, k)
    fake_radius = _radius(fake, k)
    between = distances(real, fake)
    inside_real = between <= real_radius[:, None]
    return PRDC(
        precision=float(inside_real.any(0).mean()),
        recall=float((between <= fake_radius[None]).any(1).mean()),
        density=float(inside_real.sum(0).mean() / k),
        coverage=float(inside_real.any(1).mean()),
    )


def nearest(queries: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of the nearest of `others` (M, D), for each query (N, D): (N,), (N,).

    Copies only a block of `others` at a time, of which there may be millions.
    """
    nearest_distance, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for start in range(0, len(others), BLOCK):
        block = others[start : start + BLOCK].astype(np.float64)
        for some in np.array_split(np.arange(len(queries)), max(1, len(queries) // 256)):
            between = distances(queries[some], block)
            best = between.argmin(1)
            distance = between[np.arange(len(some)), best]
            closer = distance < nearest_distance[some]
            nearest_distance[some[closer]], index[some[closer]] = distance[closer], start + best[closer]
    return nearest_distance, index


def near_duplicate_rate(features: np.ndarray, threshold: float) -> float:
    """Fraction of samples (N, D) with another sample closer than `threshold`."""
    between = distances(features, features)
    np.fill_diagonal(between, np.inf)
    return float((between.min(1) < threshold).mean())


def mean_distance(features: np.ndarray) -> float:
    """Mean distance between two different samples of (N, D), a measure of diversity; NaN for a single one."""
    count = len(features)
    return float(distances(features, features).sum() / (count * (count - 1)))


def _radius(features: np.ndarray, k: int) -> np.ndarray:
    return np.partition(distances(features, features), k, axis=1)[:, k]  # the 0-th is itself
