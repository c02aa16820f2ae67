"""From the bytes of a picture to a square RGB array."""

import io

import numpy as np
from PIL import Image, ImageOps


def decode(encoded: bytes, resolution: int) -> np.ndarray:
    """Bytes of any picture that Pillow reads -> uint8 (resolution, resolution, 3).

    Turned upright by EXIF, transparency laid on white, the centre cropped to a square, scaled with Lanczos.
    Raises ValueError for what is no picture, or a broken one.
    """
    try:
        image = Image.open(io.BytesIO(encoded))
        image.draft("RGB", (resolution, resolution))  # JPEG only: decode no larger than needed
        image = ImageOps.exif_transpose(image)
        return np.asarray(squared(flattened(image), resolution))
    except (OSError, SyntaxError, Image.DecompressionBombError, ValueError) as error:
        raise ValueError(f"not a readable picture: {error}") from error


def flattened(image: Image.Image) -> Image.Image:
    """RGB, transparency laid on white."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def squared(image: Image.Image, resolution: int) -> Image.Image:
    """The centre square at `resolution` pixels."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == resolution:
        return image.crop(box)
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
