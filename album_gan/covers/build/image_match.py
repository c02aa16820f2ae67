"""Matching two covers: align them, and measure how much they differ, and where. `duplicates` interprets the result.

Copies differ a little everywhere (compression, size, cropping). Two covers of a series are nearly equal, but differ
much in one place, the lettering. So the distribution of the difference matters.
"""

from typing import NamedTuple

import numpy as np

from .perceptual_hash import SIDE, colour, grey

MAX_SHIFT = 5.0  # maximum misalignment in pixels of 64; a crop of 2 % needs 1.3
BLOCK = 4  # pixels of 64: size of the blocks compared
MARGIN = 4  # pixels of 64 at the border that may have been cropped


class Match(NamedTuple):
    """How well two pictures match, for each of N pairs: arrays (N,)."""

    correlation: np.ndarray  # of the aligned grey pictures; -1 to 1
    concentration: np.ndarray  # the worst block's difference over that of the others; copies stay below 5
    colour: np.ndarray  # mean colour difference without brightness, 0 to 255


def compare(first: np.ndarray, second: np.ndarray) -> Match:
    """Compare two arrays of thumbnails (N, THUMBNAIL_BYTES) pair by pair."""
    a, b = grey(first).astype(np.float32), grey(second).astype(np.float32)
    shifts = 2 * _align(_softened(_halved(a)), _softened(_halved(b)))
    inner = slice(MARGIN, SIDE - MARGIN)
    a = _softened(_shifted(a, shifts))[:, inner, inner]
    b = _softened(b)[:, inner, inner]
    a, b = a - a.mean((1, 2), keepdims=True), b - b.mean((1, 2), keepdims=True)
    covariance, variance = (a * b).mean((1, 2)), (a * a).mean((1, 2))
    # Assume one grey level of noise in each, so that plain covers are not compared by their noise.
    correlation = (covariance + 1) / np.sqrt((variance + 1) * ((b * b).mean((1, 2)) + 1))

    gain = np.clip(covariance / np.maximum(variance, 1), 0.7, 1.4)
    difference = b - gain[:, None, None] * a
    cells = (SIDE - 2 * MARGIN) // BLOCK
    blocks = np.square(difference).reshape(-1, cells, BLOCK, cells, BLOCK).mean((2, 4)).reshape(len(a), -1)
    blocks = np.sqrt(blocks)
    concentration = blocks.max(1) / (np.percentile(blocks, 75, axis=1) + 1)
    return Match(correlation, concentration, _colour_difference(first, second))


def _colour_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = colour(first).astype(np.float32), colour(second).astype(np.float32)
    brightness = b.mean((1, 2, 3)) / np.maximum(a.mean((1, 2, 3)), 1)
    a = a * np.clip(brightness, 0.8, 1.25)[:, None, None, None]
    return np.abs((a - a.mean(3, keepdims=True)) - (b - b.mean(3, keepdims=True))).mean((1, 2, 3))


def _halved(pixels: np.ndarray) -> np.ndarray:
    n, side, _ = pixels.shape
    return pixels.reshape(n, side // 2, 2, side // 2, 2).mean((2, 4))


def _softened(pixels: np.ndarray) -> np.ndarray:
    """Blur with the kernel 1-2-1 in both directions."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16


def _shifted(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Shift and stretch: `shifts` (N, 4) are the shift in pixels, and the additional shift at the edge; x, then y."""
    along_x = _interpolation(shifts[:, 0], shifts[:, 1], pixels.shape[1])
    along_y = _interpolation(shifts[:, 2], shifts[:, 3], pixels.shape[1])
    return along_y @ pixels @ along_x.transpose(0, 2, 1)


def _interpolation(shift: np.ndarray, stretch: np.ndarray, side: int) -> np.ndarray:
    """Matrices (N, side, side) for linear interpolation within a row of pixels."""
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    places = np.clip(np.arange(side) + shift[:, None] + stretch[:, None] * steps, 0, side - 1.001)
    left = places.astype(np.int64)
    share = (places - left).astype(np.float32)
    matrices = np.zeros((len(shift), side, side), np.float32)
    pair, row = np.arange(len(shift))[:, None], np.arange(side)[None]
    matrices[pair, row, left] = 1 - share
    matrices[pair, row, left + 1] = share
    return matrices


def _align(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shift and stretch in x and y, (N, 4), that align `a` with `b`.

    Four steps of Gauss-Newton on brightness, contrast and the four shifts (Lucas and Kanade 1981).
    """
    n, side, _ = a.shape
    steps = np.linspace(-1, 1, side, dtype=np.float32)
    shifts = np.zeros((n, 4), np.float32)
    inner = slice(2, -2)
    target = b[:, inner, inner].reshape(n, -1, 1)
    damping = np.diag([1e-3, 1e-3, 1, 1, 1, 1]) * 300
    for _ in range(4):
        moved = _shifted(a, shifts)
        down, right = np.gradient(moved, axis=(1, 2))
        images = (moved, np.ones_like(moved), right, right * steps, down, down * steps[:, None])
        basis = np.stack(images, 1)[:, :, inner, inner].reshape(n, 6, -1)
        normal = (basis @ basis.transpose(0, 2, 1)).astype(np.float64) + damping
        solved = np.linalg.solve(normal, (basis @ target).astype(np.float64))[..., 0]
        contrast = np.where(np.abs(solved[:, :1]) < 0.3, 0.3, solved[:, :1])
        step = np.clip(solved[:, 2:] / contrast, -1, 1)
        shifts = np.clip(shifts + step, -MAX_SHIFT / 2, MAX_SHIFT / 2).astype(np.float32)
    return shifts
