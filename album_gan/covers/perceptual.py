"""What the eye remembers of a cover: a small grey picture, a smaller coloured one, and two 64-bit hashes.

The hashes are sums of whole numbers far below 2**53, exact in any order: they are the same on every machine.
"""

import numpy as np
from PIL import Image

SIDE = 64  # of the grey thumbnail, pixels
COLOUR_SIDE = 8  # of the coloured one
THUMBNAIL_BYTES = SIDE * SIDE + COLOUR_SIDE * COLOUR_SIDE * 3


def _averaging(cells: int) -> np.ndarray:
    """(cells, 64): how much of each pixel lies in each of `cells` equal strips, in whole numbers."""
    edges = np.arange(cells + 1) * SIDE
    pixels = np.arange(SIDE + 1) * cells
    upper = np.minimum(edges[1:, None], pixels[None, 1:])
    lower = np.maximum(edges[:-1, None], pixels[None, :-1])
    return np.maximum(upper - lower, 0).astype(np.float64)


def _cosines() -> np.ndarray:
    """(64, 1024): the 64 lowest waves of the cosine transform of 32x32 pixels, without the constant one."""
    waves = sorted((u * u + v * v, u, v) for u in range(12) for v in range(12) if u or v)[:64]
    angles = np.pi * (np.arange(32) + 0.5) / 32
    basis = [np.outer(np.cos(u * angles), np.cos(v * angles)) for _, u, v in waves]
    return np.round(np.stack(basis).reshape(64, -1) * 1024)


_NINE, _EIGHT, _COSINES = _averaging(9), _averaging(8), _cosines()


def thumbnail(image: Image.Image) -> np.ndarray:
    """RGB -> uint8 (THUMBNAIL_BYTES,): 64x64 of grey, then 8x8x3 of colour."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    colour = small.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
    return np.concatenate([np.asarray(small.convert("L")).ravel(), np.asarray(colour).ravel()])


def grey(thumbnails: np.ndarray) -> np.ndarray:
    """(..., THUMBNAIL_BYTES) -> (..., 64, 64)"""
    return thumbnails[..., : SIDE * SIDE].reshape(*thumbnails.shape[:-1], SIDE, SIDE)


def colour(thumbnails: np.ndarray) -> np.ndarray:
    """(..., THUMBNAIL_BYTES) -> (..., 8, 8, 3)"""
    return thumbnails[..., SIDE * SIDE :].reshape(*thumbnails.shape[:-1], COLOUR_SIDE, COLOUR_SIDE, 3)


def difference_hash(pixels: np.ndarray) -> int:
    """64 bits of a grey (64, 64): whether each of 8x8 cells is darker than its neighbour on the right."""
    cells = _EIGHT @ pixels.astype(np.float64) @ _NINE.T
    return _as_number(cells[:, 1:] > cells[:, :-1])


def cosine_hash(pixels: np.ndarray) -> int:
    """64 bits of a grey (64, 64): whether each of the 64 lowest waves is stronger than the median one."""
    halved = pixels.reshape(32, 2, 32, 2).sum((1, 3), dtype=np.float64)
    waves = _COSINES @ halved.ravel()
    return _as_number(2 * waves > np.sort(waves)[31:33].sum())


def _as_number(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
