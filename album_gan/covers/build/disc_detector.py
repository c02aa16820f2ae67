"""Detecting photographs of round discs and labels by their outline."""

import numpy as np

from .perceptual_hash import SIDE

_STEPS = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1
radii = np.hypot(*np.meshgrid(_STEPS, _STEPS))
OUTLINES = [
    (radii > outline + 0.06, (radii < outline - 0.03) & (radii > outline - 0.12))
    for outline in (0.76, 0.82, 0.88, 0.94, 0.99)
]
CORNERS = radii > 1.06
SMOOTH = 10.0  # grey levels: spread of the background of a disc
EDGE = 20.0  # grey levels between the background and the rim


def looks_like_disc(grey: np.ndarray) -> bool:
    """Whether a grey picture (64, 64) is one circle that nearly fills the square, on a smooth background."""
    corners = grey[[0, 0, -1, -1], [0, -1, 0, -1]]  # a cheap test that most covers fail
    if corners.max() - corners.min() > 4 * SMOOTH or grey[CORNERS].std() > SMOOTH:
        return False
    for outside, rim in OUTLINES:
        ground = grey[outside].astype(np.float32)
        if ground.std() <= SMOOTH and (np.abs(grey[rim] - np.median(ground)) > EDGE).mean() > 0.96:
            return True
    return False
