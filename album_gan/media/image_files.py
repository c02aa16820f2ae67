"""Picture files: read safely, written atomically, with the settings that drew them embedded."""

import io
import json
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

from ..inference.atomic import write_atomic
from ..inference.pixels import SETTINGS_KEY, on_white, png_bytes
from .colours import to_srgb
from .picture_formats import readable_formats

DOTS_PER_INCH = 300
STORE_SIZE, STORE_BYTES = 3_000, 10_000_000  # what stores require: a square JPEG with fewer bytes
MAX_SIDE = 16_384  # pixels of a picture that is read


def save_print(image: Image.Image, path: str | Path, settings: dict | None = None) -> None:
    """Write a picture for printing as PNG or JPEG, by its ending: sRGB profile, 300 dpi, `settings` embedded.

    A JPEG shows transparent pictures on white. Raises ValueError for another ending, OSError if the file cannot be
    written.
    """
    is_png = check_print(path) == ".png"
    write_atomic(path, print_png(image, settings) if is_png else _jpeg(image, settings, 95))


def check_store(sides: tuple[int, int], called: str = "the picture") -> None:
    """Raise ValueError for a picture that cannot be enlarged to a store's size: not square, or larger."""
    size = f"{called} is {sides[0]}x{sides[1]}"
    if sides[0] != sides[1]:
        raise ValueError(f"covers for stores must be square, {size}; crop it")
    if sides[0] > STORE_SIZE:
        raise ValueError(f"covers for stores must be at most {STORE_SIZE} pixels, {size}; make it smaller first")


def save_for_store(image: Image.Image, path: str | Path, settings: dict | None = None) -> None:
    """Write the JPEG that stores require: 3000x3000 RGB in sRGB, 300 dpi, below 10 MB, `settings` embedded.

    Raises ValueError for another size or ending, OSError as `save_print`.
    """
    if image.size != (STORE_SIZE, STORE_SIZE):
        raise ValueError(f"covers for stores must be {STORE_SIZE}x{STORE_SIZE}, got {image.width}x{image.height}")
    if check_print(path) == ".png":
        raise ValueError(f"covers for stores must be JPEG, got {Path(path).name}; use .jpg")
    for quality in (95, 92, 88, 80, 60):
        encoded = _jpeg(image, settings, quality)
        if len(encoded) < STORE_BYTES:
            break
    write_atomic(path, encoded)


def print_png(image: Image.Image, settings: dict | None = None) -> bytes:
    """The content of the PNG that `save_print` writes."""
    return png_bytes(image, settings, **_print())


def check_print(path: str | Path) -> str:
    """The ending, ".png", ".jpg" or ".jpeg", of a file name; ValueError for another."""
    ending = Path(path).suffix.lower()
    if ending not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"pictures must end in .png or .jpg, got {Path(path).name!r}")
    return ending


def read_settings(source: str | Path | Image.Image) -> dict | None:
    """The settings embedded in a PNG or JPEG of ours; None for pictures without them or with other text there.

    They are JSON: in a PNG under the key `album_gan`, in a JPEG's comment inside an object with that key.
    """
    if isinstance(source, (str, Path)):
        with Image.open(source) as image:
            return read_settings(image)
    text, comment = source.info.get(SETTINGS_KEY), source.info.get("comment")
    try:
        settings = json.loads(text) if text else json.loads(comment or "null")[SETTINGS_KEY]
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def read_picture(path: str | Path, max_side: int = MAX_SIDE, called: str = "") -> Image.Image:
    """A picture from a file, upright, RGB or RGBA in sRGB, its settings (`read_settings`) still inside.

    Errors call it `called`, by default its file name.
    Raises ValueError with one clear line for anything that is not a still picture of 8 bits per channel in RGB, grey
    or a palette: animations, 16 bits, CMYK, broken files, more than `max_side` pixels a side or than Pillow's limit in
    all, which is read from the header, before anything is decoded. OSError for a file that is missing or that the
    system cannot read.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the pictures in it")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; check its name")
    try:
        with Image.open(path, formats=readable_formats()) as picture:
            reason = _unfit(picture, max_side)
            if not reason:
                picture.load()
                return _in_srgb(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # Pillow warns from half of it on
        reason = f"has more than {limit:,} pixels, too many to be read; make it smaller first"
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ... each at its own defect
        if isinstance(error, OSError) and error.errno:  # but the system's own have a number
            raise OSError(error.errno, error.strerror, called or str(path)) from error
        reason = f"is not a readable picture, or is truncated ({type(error).__name__})"
    raise ValueError(f"{called or path.name} {reason}")


def _unfit(picture: Image.Image, max_side: int) -> str:
    if max(picture.size) > max_side:
        return f"has {picture.width}x{picture.height} pixels, more than {max_side} a side; make it smaller first"
    # A phone's photo with its depth map, and a picture of Photoshop with its layers, are not animations.
    frames = 1 if picture.format in ("MPO", "PSD") else getattr(picture, "n_frames", 1)
    if frames > 1:
        return f"is an animation of {frames} pictures; save one of them"
    if picture.mode not in ("RGB", "RGBA", "L", "LA", "P", "PA", "1"):
        deep = picture.mode.startswith(("I", "F"))
        kind = "has more than 8 bits per channel" if deep else "is not in RGB or grey"
        return f"{kind} (mode {picture.mode}); save it as an RGB picture of 8 bits"
    return ""


def _in_srgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    converted = to_srgb(picture, profile) if profile else None
    rgb = (converted or picture).convert("RGBA" if picture.has_transparency_data else "RGB")
    rgb.info = {name: value for name, value in picture.info.items() if name in (SETTINGS_KEY, "comment")}
    return rgb


def _print() -> dict:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"dpi": (DOTS_PER_INCH, DOTS_PER_INCH), "icc_profile": profile}


def _jpeg(image: Image.Image, settings: dict | None, quality: int) -> bytes:
    buffer = io.BytesIO()
    comment = "" if settings is None else json.dumps({SETTINGS_KEY: settings})
    on_white(image).save(buffer, format="JPEG", quality=quality, subsampling=0, comment=comment, **_print())
    return buffer.getvalue()
