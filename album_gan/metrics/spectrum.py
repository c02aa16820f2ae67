"""Power spectra of pictures, which reveal blur, grid artefacts and emboss."""

import numpy as np


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power at each whole frequency from 1 to R/2, in decibels; images (B, R, R, 3) in 0..255 -> (R/2,)."""
    size = images.shape[1]
    window = np.hanning(size)[:, None] * np.hanning(size)[None]
    power = np.zeros((size, size))
    for image in images:  # one by one: in float64 all would take eight times the memory of their bytes
        picture = image.astype(np.float64).mean(-1) / 127.5 - 1
        power += np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2
    frequency = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(frequency[:, None], frequency[None]).round().astype(int)
    rings = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    return 10 * np.log10(rings[1 : size // 2 + 1] / len(images) + 1e-12)


def octave_differences(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Mean difference fake - real of two radial spectra (R/2,) in decibels, per octave, the top one last."""
    octaves = {}
    high = len(real)
    while high >= 2:
        low = high // 2
        octaves[f"{low}-{high}"] = float((fake[low:high] - real[low:high]).mean())
        high = low
    return dict(reversed(octaves.items()))
