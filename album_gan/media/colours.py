"""Colour profiles of pictures."""

import functools
import io

from PIL import Image, ImageCms


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB, mode RGB, or RGBA if it holds transparency.

    None if it already is in sRGB, its mode has no 8-bit colours, or `profile` (ICC) is broken or does not fit the mode.
    """
    if image.mode not in ("RGB", "RGBA", "CMYK", "L", "LA", "P", "PA") or is_srgb(profile):
        return None
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        alpha = image.getchannel("A")
        image = image.convert(image.mode.removesuffix("A"))
    elif image.mode == "P":
        image = image.convert("RGB")
    converted = _transformed(image, profile)
    if converted is not None and alpha is not None:
        converted.putalpha(alpha)
    return converted


@functools.lru_cache(64)
def is_srgb(profile: bytes) -> bool:
    """Whether a colour profile is sRGB; broken ones count as sRGB."""
    try:
        return "srgb" in ImageCms.getProfileDescription(io.BytesIO(profile)).lower()
    except Exception:
        return True


def _transformed(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        return ImageCms.applyTransform(image, _transform(profile, image.mode))
    except (ImageCms.PyCMSError, ValueError):
        return None


@functools.lru_cache(64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), mode, "RGB")
