"""Larger pictures. An engine is a function (RGB or RGBA picture, (width, height)) -> picture of that size."""

from PIL import Image, ImageOps

MAX_SIZE = 4096


def _lanczos(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS)  # Pillow weighs colours by their alpha


ENGINES = {"lanczos": _lanczos}


def check_upscale(image: Image.Image, size: int, engine: str = "lanczos") -> None:
    """Raise the ValueError that `upscale` would raise, at no cost."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    longer = max(image.size)
    if longer > MAX_SIZE:
        raise ValueError(f"pictures must be at most {MAX_SIZE} pixels long to be enlarged, got {longer}")
    if not longer <= size <= MAX_SIZE:
        raise ValueError(f"size must be from {longer}, the picture's longer side, to {MAX_SIZE}, got {size}")


def upscale(image: Image.Image, size: int, engine: str = "lanczos") -> Image.Image:
    """Enlarge a picture so that its longer side is `size` pixels, in the same proportions.

    Turns it upright where its EXIF says so. Transparent pictures come back as RGBA, all others as RGB.
    Raises ValueError when size is below the picture's longer side or above 4096, and for an unknown engine.
    """
    check_upscale(image, size, engine)
    image = ImageOps.exif_transpose(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return ENGINES[engine](image, (width, height))
