"""How well scores separate two groups."""

import numpy as np


def area_under_curve(real: np.ndarray, fake: np.ndarray) -> float:
    """Fraction of pairs in which the real one scores higher, ties counted half; (N,), (M,). 0.5 is chance.

    This is the area under the ROC curve.
    """
    ordered = np.sort(fake)
    below, up_to = (np.searchsorted(ordered, real, side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(fake))
