"""Pictures as numbers and as files, for tests."""

import io

import numpy as np
from PIL import Image


def pixels(pictures) -> np.ndarray:
    """Pictures of one size -> integers (N, H, W, C), whose differences do not wrap around."""
    return np.stack([np.asarray(picture) for picture in pictures]).astype(int)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """The content of a file of this picture, of a kind and with options that Pillow knows."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
