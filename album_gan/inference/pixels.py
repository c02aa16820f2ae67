"""Pixels: [-1, 1] tensors inside album_gan, uint8 and PIL outside, PNG files with embedded settings.

This is the only module that knows the range. Byte 0 is -1, byte 255 is 1, and bytes survive the round trip exactly.
"""

import io
import json
import re
from collections.abc import Iterable
from itertools import chain, count

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

LONGEST_NAME = 200  # bytes of a file's name; most systems take 255, endings and numbers included
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows
SETTINGS_KEY = "album_gan"  # of the text inside a PNG
RANGE_TOLERANCE = 1e-3  # float rounding may exceed [-1, 1] by this much; more is a mistake


def to_unit_range(pixels: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Bytes (B, H, W, 3) in 0..255 -> float32 (B, 3, H, W) in [-1, 1], on the same device.

    Raises ValueError for anything but uint8 of that shape: floats here are the classic range mistake.
    """
    pixels = torch.as_tensor(pixels)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ValueError(
            f"pixels must be uint8 of shape (B, H, W, 3), got {pixels.dtype} {tuple(pixels.shape)}; "
            "convert with pixels.to_tensor, or pixels.to_pixels for [-1, 1] tensors"
        )
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def _checked(images: torch.Tensor) -> torch.Tensor:
    """float32 (B, 3, H, W) clamped to [-1, 1], or ValueError."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must have the shape (B, 3, H, W), got {tuple(images.shape)}")
    images = images.detach().float()
    if images.numel():
        low, high = images.aminmax()
        # Written so that NaN, which compares false with everything, is refused too.
        if not (low >= -1 - RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE):
            raise ValueError(
                f"images must lie in [-1, 1], got {low:.4g} to {high:.4g}; "
                "end the network with tanh, or scale bytes with pixels.to_unit_range"
            )
    return images.clamp(-1, 1)


def to_pixels(images: torch.Tensor) -> np.ndarray:
    """Images (B, 3, H, W) in [-1, 1] -> bytes (B, H, W, 3).

    Raises ValueError for another shape, and for values not finite or outside [-1, 1] by more than 0.001.
    """
    pixels = ((_checked(images) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def to_pil(images: torch.Tensor) -> list[Image.Image]:
    """Images (B, 3, H, W) in [-1, 1] -> B RGB pictures; errors as `to_pixels`."""
    return [Image.fromarray(pixels) for pixels in to_pixels(images)]


def to_zero_one(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, H, W) in [-1, 1] -> the same in [0, 1], diffusers' range; errors as `to_pixels`."""
    return (_checked(images) + 1) / 2


def from_zero_one(images: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, H, W) in [0, 1], diffusers' range -> the same in [-1, 1]; errors as `to_pixels`."""
    return _checked(2 * images - 1)


def on_white(image: Image.Image) -> Image.Image:
    """A picture as RGB, with white where it is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def as_shown(picture: Image.Image) -> Image.Image:
    """A picture as RGB, upright if its EXIF says how, on white: as covers are decoded for training.

    Raises ValueError for anything that is not a picture.
    """
    check_picture(picture)
    return on_white(ImageOps.exif_transpose(picture))


def check_picture(picture: Image.Image) -> None:
    """Raise ValueError unless it is a PIL picture that has pixels, of 8 bits a channel."""
    if not isinstance(picture, Image.Image):
        raise ValueError(f"picture must be a PIL image, got {type(picture).__name__}; see PIL.Image.open and fromarray")
    if not min(picture.size):
        raise ValueError(f"picture must have pixels, got {picture.width}x{picture.height}")
    if picture.mode.startswith(("I", "F")):  # whose range Pillow would cut off, not scale
        raise ValueError(f"picture must have 8 bits per channel, got mode {picture.mode}; scale it, and pass it as RGB")


def to_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures of one size -> float32 (B, 3, H, W) in [-1, 1]; ValueError for none or for mixed sizes."""
    sizes = {picture.size for picture in pictures}
    if len(sizes) != 1:
        raise ValueError(f"pictures must be one or more of one size, got {sorted(sizes) or 'none'}; resize them first")
    return to_unit_range(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))


def grid(pictures: list[Image.Image], columns: int, gap: int = 0) -> Image.Image:
    """One RGB sheet, filled row by row, in cells of the first picture's size, `gap` black pixels apart."""
    if not pictures or columns < 1 or gap < 0:
        raise ValueError(
            "grid needs one or more pictures, columns >= 1 and gap >= 0, "
            f"got {len(pictures)} pictures, columns {columns}, gap {gap}"
        )
    width, height = pictures[0].size
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * (width + gap), i // columns * (height + gap)))
    return sheet


def png_bytes(image: Image.Image, settings: dict | None = None, **options: object) -> bytes:
    """The content of a PNG file, with `settings` as JSON under the text key `album_gan`; `options` are Pillow's."""
    text = PngInfo()
    if settings is not None:
        text.add_text(SETTINGS_KEY, json.dumps(settings))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=text, **options)
    return buffer.getvalue()


def file_name(name: str) -> str:
    """A cover's name as a file name, without extension, valid on every system."""
    plain = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "-", name).strip(" .-")[:80]
    short = plain.encode()[:LONGEST_NAME].decode(errors="ignore").strip(" .") or "cover"
    return f"{short}-" if RESERVED.fullmatch(short) else short


def file_names(names: Iterable[str]) -> list[str]:
    """`file_name` of each, numbered if an earlier one is the same, "Bus", "Bus 2", or differs in case alone."""
    found: list[str] = []
    taken: set[str] = set()
    for plain in map(file_name, names):
        numbered = (f"{plain} {number}" for number in count(2))
        found.append(next(name for name in chain([plain], numbered) if name.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found
