"""Enlarging pictures. An engine is a function (RGB picture, (width, height)) -> RGB picture of that size.

`bundled` is the network that comes with the model, `lanczos` plain resizing, `diffusers:ID` an upscaling pipeline of
diffusers. Whatever the engine, `upscale` handles transparency, proportions and limits.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from .model_store import on_one_line
from .pixels import check_picture, to_pil, to_unit_range
from .precision import full_precision

MIN_SIZE, MAX_SIZE = 8, 4096
ENGINES = ("bundled", "lanczos", "diffusers:ID")
TILE = 256  # input pixels; 160 MB of memory for a network of 64 channels
BORDER = 8  # input pixels by which a picture is extended
WORTH_A_PASS = 1.5  # a remaining factor below this is left to Lanczos
RIGHTS = (
    "Drawn by a network whose training covers may be copyrighted. Enjoy it, show it, learn from it; we cannot grant "
    "the right to release it. Check first that it resembles no existing cover."
)

Engine = Callable[[Image.Image, tuple[int, int]], Image.Image]


def upscale(image: Image.Image, size: int, engine: Engine | None = None) -> Image.Image:
    """Enlarge a picture so that its longer side is `size` pixels, in the same proportions; Lanczos by default.

    It is rotated according to its EXIF data. Transparent pictures are returned as RGBA, all others as RGB. Raises
    ValueError if size is below the picture's longer side or above 4096, or the picture below 8 or above 4096 pixels.
    """
    check_upscale(image, size)
    image, engine = ImageOps.exif_transpose(image), engine or lanczos
    target = enlarged_size(image.size, size)
    if not image.has_transparency_data:
        return engine(image.convert("RGB"), target)
    # Colours premultiplied by alpha, so that invisible ones do not bleed into visible ones.
    *colours, alpha = image.convert("RGBA").convert("RGBa").split()
    enlarged = np.asarray(engine(Image.merge("RGB", colours), target))
    opacity = np.asarray(lanczos(alpha, target))[:, :, None]
    premultiplied = np.concatenate([np.minimum(enlarged, opacity), opacity], 2)
    return Image.frombytes("RGBa", target, premultiplied.tobytes()).convert("RGBA")


def enlarged_size(sides: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height of an upright picture with these `sides`, enlarged until the longer one is `size`."""
    scale = size / max(sides)
    return max(1, round(sides[0] * scale)), max(1, round(sides[1] * scale))


def check_upscale(image: Image.Image, size: int) -> None:
    """Raise the ValueError that `upscale` would raise, without enlarging anything."""
    check_picture(image)
    check_sizes(max(image.size), size)


def check_sizes(longer: int, size: int) -> None:
    """As `check_upscale`, for a picture whose longer side has `longer` pixels."""
    if not MIN_SIZE <= longer <= MAX_SIZE:
        raise ValueError(f"pictures must be from {MIN_SIZE} to {MAX_SIZE} pixels long to be enlarged, got {longer}")
    if not longer <= size <= MAX_SIZE:
        raise ValueError(f"size must be from {longer}, the picture's longer side, to {MAX_SIZE}, got {size}")


def find_engine(name: str, network: Any = None, device: str | torch.device = "cpu") -> Engine:
    """The engine called `name`; `network` is the bundled one, and `device` where one of diffusers runs.

    Raises ValueError for an unknown name, ImportError if a pipeline of diffusers needs more than is installed, OSError
    if it cannot be found.
    """
    if name == "bundled":
        if network is None:
            raise ValueError("engine bundled needs an upscaler, and this model has none; choose lanczos")
        return functools.partial(enlarge, network)
    if name == "lanczos":
        return lanczos
    kind, _, source = name.partition(":")
    if kind == "diffusers" and source:
        return load_diffusers(source, str(device))
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {name[:80]!r}")


def lanczos(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Plain resizing; any mode without alpha."""
    return image.resize(size, Image.Resampling.LANCZOS)


def enlarge(network: Any, image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarge with an upscaling network (`networks/cover_upscaler.py`): two passes at most, then Lanczos."""
    for _ in range(2):
        if max(size) < WORTH_A_PASS * max(image.size):
            break
        image = one_pass(network, image)
    return lanczos(image, size)


@torch.inference_mode()
def one_pass(network: Any, image: Image.Image, tile: int = TILE) -> Image.Image:
    """Enlarge an RGB picture by the network's own factor, tile by tile.

    Tiles overlap by the network's receptive field, so they join without seams, in the memory that one tile takes.
    The picture is padded by repeating its edges: the grey of zero padding would bleed in.
    """
    network.eval()
    reach, around = network.reach, min(BORDER, network.reach)
    result: Image.Image | None = None
    pixels = np.pad(np.asarray(image), [(around, around), (around, around), (0, 0)], "edge")
    for top in range(around, around + image.height, tile):
        for left in range(around, around + image.width, tile):
            low, high = (max(0, top - reach), max(0, left - reach)), (top + tile + reach, left + tile + reach)
            window = to_unit_range(pixels[None, low[0] : high[0], low[1] : high[1]])
            with full_precision(network.device):
                drawn = network(window.to(network.device, network.dtype))
            scale = drawn.shape[-1] // window.shape[-1]
            inner = drawn[:, :, (top - low[0]) * scale :, (left - low[1]) * scale :]
            [enlarged] = to_pil(inner[:, :, : tile * scale, : tile * scale])
            result = result or Image.new("RGB", (image.width * scale, image.height * scale))
            result.paste(enlarged, ((left - around) * scale, (top - around) * scale))
    assert result is not None  # a picture has at least one tile
    return result


@functools.lru_cache(maxsize=1)
def load_diffusers(source: str, device: str = "cpu") -> Engine:
    """An upscaling pipeline of diffusers, such as Stable Diffusion x4 or LDM super-resolution, by Hub id or folder.

    It runs once, with its own factor and the same random draws every time; Lanczos does the rest.
    """
    from diffusers import DiffusionPipeline

    try:
        pipe = DiffusionPipeline.from_pretrained(source)
    except (ImportError, OSError, ValueError) as error:
        reason = on_one_line(error)
        kind = ImportError if isinstance(error, ImportError) else OSError
        raise kind(
            f"engine diffusers:{source} cannot be loaded: {reason}; it may need pip install 'album-gan[diffusion]'"
        ) from error
    pipe.to(device).set_progress_bar_config(desc="diffusion", unit="step")
    accepted = inspect.signature(pipe.__call__).parameters
    if "image" not in accepted:
        raise ValueError(f"engine diffusers:{source} takes no image, so it cannot enlarge one; name an upscaler")
    prompt = {"prompt": "album cover"} if "prompt" in accepted else {}

    def engine(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        # These networks halve a picture several times: sides must be multiples of 64.
        padded = [math.ceil(side / 64) * 64 for side in image.size]
        whole = Image.fromarray(
            np.pad(np.asarray(image), [(0, padded[1] - image.height), (0, padded[0] - image.width), (0, 0)], "edge")
        )
        drawn = pipe(image=whole, generator=torch.Generator().manual_seed(0), **prompt).images[0].convert("RGB")
        across, down = drawn.width / whole.width, drawn.height / whole.height
        cropped = drawn.crop((0, 0, round(image.width * across), round(image.height * down)))
        return lanczos(cropped, size)

    return engine
