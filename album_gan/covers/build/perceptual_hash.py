"""Perceptual features of a cover: a small grey picture, a smaller coloured one, and two 64-bit hashes.

Hashes use sums of integers far below 2**53, which are exact in any order, so they are the same on every machine.
"""

import numpy as np
from PIL import Image

SIDE = 64  # of the grey thumbnail, pixels
COLOUR_SIDE = 8  # of the coloured one
THUMBNAIL_BYTES = SIDE * SIDE + COLOUR_SIDE * COLOUR_SIDE * 3


def _averaging(cells: int) -> np.ndarray:
    """(cells, 64): how much of each pixel is in each of `cells` equal strips, as integers."""
    edges = np.arange(cells + 1) * SIDE
    pixels = np.arange(SIDE + 1) * cells
    upper = np.minimum(edges[1:, None], pixels[None, 1:])
    lower = np.maximum(edges[:-1, None], pixels[None, :-1])
    return np.maximum(upper - lower, 0).astype(np.float64)


_LOWEST = sorted((u * u + v * v, u, v) for u in range(12) for v in range(12) if u or v)[:64]
_WAVES = np.array([(u, v) for _, u, v in _LOWEST]).T  # the 64 lowest frequencies of the DCT, without the constant
_ANGLES = np.pi * (np.arange(32) + 0.5) / 32
_COSINES = np.round(1024 * np.cos(np.arange(12)[:, None] * _ANGLES))
_NINE, _EIGHT = _averaging(9), _averaging(8)


def thumbnail(image: Image.Image) -> np.ndarray:
    """RGB -> uint8 (THUMBNAIL_BYTES,): 64x64 of grey, then 8x8x3 of colour."""
    factor, rest = divmod(image.width, SIDE)  # integer factors have a faster path with the same result
    whole = rest == 0 and factor and image.height == image.width
    small = image.reduce(factor) if whole else image.resize((SIDE, SIDE), Image.Resampling.BOX)
    colour = small.reduce(SIDE // COLOUR_SIDE)
    return np.concatenate([np.asarray(small.convert("L")).ravel(), np.asarray(colour).ravel()])


def grey(thumbnails: np.ndarray) -> np.ndarray:
    """(..., THUMBNAIL_BYTES) -> (..., 64, 64)"""
    return thumbnails[..., : SIDE * SIDE].reshape(*thumbnails.shape[:-1], SIDE, SIDE)


def colour(thumbnails: np.ndarray) -> np.ndarray:
    """(..., THUMBNAIL_BYTES) -> (..., 8, 8, 3)"""
    return thumbnails[..., SIDE * SIDE :].reshape(*thumbnails.shape[:-1], COLOUR_SIDE, COLOUR_SIDE, 3)


def difference_hash(pixels: np.ndarray) -> int:
    """64 bits for a grey picture (64, 64): whether each of 8x8 cells is darker than its right neighbour."""
    cells = _EIGHT @ pixels.astype(np.float64) @ _NINE.T
    return _as_number(cells[:, 1:] > cells[:, :-1])


def cosine_hash(pixels: np.ndarray) -> int:
    """64 bits for a grey picture (64, 64): whether each of the 64 lowest DCT coefficients is above their median."""
    pixels = pixels.astype(np.float64)
    rows = pixels[::2] + pixels[1::2]
    waves = (_COSINES @ (rows[:, ::2] + rows[:, 1::2]) @ _COSINES.T)[*_WAVES]
    return _as_number(2 * waves > np.sort(waves)[31:33].sum())


def _as_number(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
