"""The state of a run in words: which point of the bundled model's training its covers resemble."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...inference.model_store import find_model, history_sheets
from .run_log import HISTORY_TILE

FAR = 0.35  # log distance to the nearest snapshot above which these are different kinds of pictures
# What the bundled run drew, by eye, up to this number of images.
STAGES = (
    (0, "noise"),
    (6_500, "blobs of a few colours, without shapes"),
    (16_000, "covers in different colours, with the first letter-like marks"),
    (60_000, "cover layouts, with figures as blobs"),
    (250_000, "recognisable heads, landscapes and title lines"),
    (10**12, "what the bundled model draws"),
)
COMPARED = "In contrast, colour and detail"  # nothing else is compared: other data sets show other things


def where_it_stands(covers: Sequence[Image.Image]) -> str:
    """One sentence about the fixed seeds' covers: when the bundled run's were most like them, and what it drew then."""
    own = _descriptor(covers)
    images, distance = min(
        ((images, (own - moment).abs().mean().item()) for images, moment in _bundled_moments()),
        key=lambda one: one[1],
    )
    if distance > FAR:
        return f"{COMPARED} unlike anything the bundled run drew; nearest at {images:,} images."
    drawn = next(text for last, text in STAGES if images <= last)
    return f"{COMPARED} like the bundled run at {images:,} images, when it drew {drawn}."


@cache
def _bundled_moments() -> list[tuple[int, Tensor]]:
    moments = []
    for file in history_sheets(find_model("bundled")):
        with Image.open(file) as picture:
            sheet = np.asarray(picture.convert("RGB"))
        side = HISTORY_TILE
        rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
        tiles = sheet.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        moments.append((int(file.stem), _descriptor([Image.fromarray(tile) for tile in tiles])))
    return moments


def _descriptor(covers: Sequence[Image.Image]) -> Tensor:
    """Log of the contrast within and between covers, of colourfulness, and of detail at three scales: (6,)."""
    resized = [cover.convert("RGB").resize((HISTORY_TILE, HISTORY_TILE), Image.Resampling.LANCZOS) for cover in covers]
    pixels = torch.from_numpy(np.stack([np.asarray(cover) for cover in resized])).permute(0, 3, 1, 2) / 255
    scales = [pixels]
    while scales[-1].shape[-1] > 6:
        scales.append(F.avg_pool2d(scales[-1], 2))
    details = [(fine - F.interpolate(coarse, scale_factor=2)).abs().mean() for fine, coarse in pairwise(scales)]
    colour = (pixels.amax(1) - pixels.amin(1)).mean()
    within = pixels.std((2, 3), correction=0).mean()
    between = pixels.mean((2, 3)).std(0, correction=0).mean()
    return (torch.stack([within, between, colour, *details]) + 1e-3).log()
