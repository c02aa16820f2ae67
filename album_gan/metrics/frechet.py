"""Frechet distance of two sets of features (FID where the features are Inception's)."""

import numpy as np


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared distance of two normal distributions with the sets' means and covariances; (N, D), (M, D).

    Heusel et al. 2017, arXiv:1706.08500, Eq. (6). Biased: too large for few samples, by as much as D / N matters.
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    # The eigenvalues of the product of two covariances are real and not negative, but for rounding.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0))
    return float(np.square(real.mean(0) - fake.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * roots.sum())
