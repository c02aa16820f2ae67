"""From the bytes of a picture to a square RGB array."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..media.colours import to_srgb
from ..media.picture_formats import readable_formats

DECODER = 3  # increment whenever `decode` returns different pixels, to invalidate caches
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def decode(encoded: bytes, resolution: int) -> np.ndarray:
    """Bytes of any picture that Pillow reads -> uint8 (resolution, resolution, 3).

    Rotated by EXIF, converted to sRGB, transparency on white, centre-cropped to a square, resized with Lanczos, as in
    `album-gan covers build`.
    Raises ValueError for anything but a readable picture.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(encoded), formats=readable_formats())
        image.draft("RGB", (resolution, resolution))  # JPEG only: decode no larger than needed
        turn = turn_of(image)
        profile = image.info.get("icc_profile")
        image = image if turn is None else image.transpose(turn)
        converted = to_srgb(image, profile) if profile else None
        return np.asarray(squared(flattened(image if converted is None else converted), resolution))
    except UnidentifiedImageError as error:
        what = "it is of no format that can be read" if encoded else "the file is empty"
        raise ValueError(f"not a readable picture: {what}") from error
    except Exception as error:  # broken pictures make decoders raise OSError, SyntaxError, struct.error, IndexError ...
        raise ValueError(f"not a readable picture: {error}") from error


def decode_rows(rows: list[dict | None], resolution: int) -> list[np.ndarray | str]:
    """Each picture decoded, or why it is not readable. Here because workers can import this module quickly."""
    found: list[np.ndarray | str] = []
    for row in rows:
        try:
            found.append(decode(read_bytes(row), resolution))
        except ValueError as error:
            found.append(f"{(row or {}).get('path') or 'embedded picture'}: {error}")
    return found


def read_bytes(row: dict | None) -> bytes:
    """The encoded picture of a row, embedded or in its own file; ValueError if there is none."""
    if row is None:  # img2dataset writes such rows for failed downloads
        raise ValueError("no picture: the row is empty")
    try:
        return row["bytes"] or Path(row["path"]).read_bytes()
    except (OSError, TypeError) as error:
        raise ValueError(f"no picture: {error}") from error


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How to turn it upright. Broken EXIF data are ignored."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # broken tags can raise anything
        return None


def flattened(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB, with transparency on white."""
    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I", "F"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")  # `pixels.on_white` would bring torch, which builders of data sets do without
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits -> 8 bits; values neither of 16 bits nor in 0 to 1 are kept up to 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=255, neginf=0)
    peak = values.max(initial=0)
    if image.mode == "F" and peak <= 1:
        values = values * 255
    elif peak > 255 or image.mode.startswith("I;16"):
        values = values / 257
    return Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8))


def squared(image: Image.Image, resolution: int) -> Image.Image:
    """The centre square at `resolution` pixels."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == resolution:
        return image.crop(box)
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
