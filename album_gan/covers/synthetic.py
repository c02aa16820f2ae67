"""Synthetic covers: a data set for tests, and for users without data."""

import io
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

COUNT = 4_096
SIZE = 128  # pixels, whatever the resolution of training


def draw_cover(index: int, size: int = SIZE) -> Image.Image:
    """Cover number `index`: a flat background, one bold figure, and a title bar. Deterministic."""
    rng = np.random.Generator(np.random.Philox(key=index))
    hue = rng.uniform()
    ground = _colour(hue, rng.uniform(0.2, 0.7), rng.uniform(0.15, 0.95))
    figure = _colour(hue + rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.0), rng.uniform(0.3, 1.0))
    light = sum(ground) > 3 * 128
    ink = (20, 20, 24) if light else (244, 240, 230)

    image = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(image)
    centre_x, centre_y = rng.uniform(0.35, 0.65) * size, rng.uniform(0.42, 0.62) * size
    radius = rng.uniform(0.18, 0.33) * size
    kind = rng.integers(4)
    if kind == 0:
        draw.ellipse((centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius), fill=figure)
    elif kind == 1:
        draw.rectangle((centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius), fill=figure)
    elif kind == 2:
        corners = [(-math.pi / 2) + turn * 2 * math.pi / 3 for turn in range(3)]
        draw.polygon([(centre_x + radius * math.cos(a), centre_y + radius * math.sin(a)) for a in corners], fill=figure)
    else:
        width = size / 14
        for stripe in range(3):
            y = centre_y + (stripe - 1) * 2 * width
            draw.rectangle((0.12 * size, y - width / 2, 0.88 * size, y + width / 2), fill=figure)
    if rng.uniform() < 0.85:
        top = (0.06 if rng.uniform() < 0.7 else 0.84) * size
        length = rng.uniform(0.3, 0.8) * size
        draw.rectangle((0.1 * size, top, 0.1 * size + length, top + 0.08 * size), fill=ink)
    return image


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    pixel = Image.new("HSV", (1, 1), tuple(round(x * 255) for x in (hue % 1.0, saturation, value)))
    red, green, blue = pixel.convert("RGB").tobytes()
    return red, green, blue


def rows(count: int = COUNT) -> Iterator[dict]:
    """Rows of a covers data set: `image` with PNG bytes, and `group`."""
    for index in range(count):
        buffer = io.BytesIO()
        draw_cover(index).save(buffer, "PNG", compress_level=1)
        yield {"image": {"bytes": buffer.getvalue(), "path": None}, "group": f"synthetic-{index}"}
