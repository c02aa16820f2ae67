"""Feature maps as pictures, and one output value of a layer broken down into products."""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .trace import Step


def contact_sheet(value: Tensor) -> tuple[Image.Image, int]:
    """All channels of one picture's maps (1, C, H, W) or features (1, N) as grey tiles, and the number per row.

    Black and white are the smallest and largest value of each channel; features share one scale.
    """
    maps = value[0].float().numpy()
    if maps.ndim != 3:
        maps = maps.reshape(-1, 1, 1)
    flat = maps.reshape(len(maps), -1) if maps[0].size > 1 else maps.reshape(1, -1)
    low, high = flat.min(1), flat.max(1)
    spread = np.where(high > low, high - low, 1)
    grey = (maps - low[:, None, None]) / spread[:, None, None] * 255
    columns = math.ceil(math.sqrt(len(maps)))
    rows, (height, width) = math.ceil(len(maps) / columns), maps.shape[1:]
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[: len(maps)] = grey.round()
    tiled = sheet.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    return Image.fromarray(tiled), columns


def products(step: Step, channel: int, y: int, x: int, shown: int = 8) -> dict[str, Any]:
    """One output value of a linear step as a sum: inputs times weights, plus bias.

    For convolutions, the `shown` input channels that contribute most, each with its window of inputs and weights, and
    the sum over the others; for fully connected layers, the `shown` largest products. `value` is the network's own
    result. Raises ValueError for other steps, and for positions outside the map.
    """
    if "weight" not in step.arguments:
        raise ValueError(f"step must be a convolution or fully connected, got {step.kind.name}")
    maps = _channels(step)
    channel = _checked(channel, "channel", len(maps))
    y, x = _checked(y, "y", maps.shape[1]), _checked(x, "x", maps.shape[2])
    weight, bias = step.arguments["weight"], step.arguments.get("bias")
    given = step.arguments["input"][0]
    if step.kind.name == "fully connected":
        inputs, weights = given.reshape(-1, 1, 1), weight[channel].reshape(-1, 1, 1)
        first = 0
    elif step.kind.name == "convolution":
        inputs, weights, first = _window(given, weight, step.settings, channel, y, x)
    else:
        inputs, weights, first = _stamps(given, weight, step.settings, channel, y, x)
    sums = (inputs * weights).double().sum((1, 2))
    order = sums.abs().argsort(descending=True)[:shown].tolist()
    offset = float(bias[channel]) if bias is not None else 0.0
    return {
        "value": float(maps[channel, y, x]),
        "sum": float(sums.sum()) + offset,
        "bias": offset,
        "count": int(inputs.numel()),
        "channels": len(inputs),
        "others": float(sums.sum() - sums[order].sum()),
        "parts": [
            {
                "channel": first + index, "inputs": _rows(inputs[index]), "weights": _rows(weights[index]),
                "sum": float(sums[index]),
            }
            for index in order
        ],
    }  # fmt: skip


def _window(given: Tensor, weight: Tensor, settings: dict, channel: int, y: int, x: int) -> tuple[Tensor, Tensor, int]:
    """Inputs (C, F, F) under the kernel, weights (C, F, F), and the first input channel of the group."""
    kernel, stride, padding = settings["kernel"], settings["stride"], settings["padding"]
    first = _first_of_group(weight.shape[0], weight.shape[1], settings["groups"], channel)
    padded = torch.nn.functional.pad(given[first : first + weight.shape[1]], (padding,) * 4)
    top, left = y * stride, x * stride
    return padded[:, top : top + kernel, left : left + kernel], weight[channel], first


def _stamps(given: Tensor, weight: Tensor, settings: dict, channel: int, y: int, x: int) -> tuple[Tensor, Tensor, int]:
    """The inputs that contribute to an output pixel, and their weights there: (C, rows, columns) each."""
    kernel, stride, padding = settings["kernel"], settings["stride"], settings["padding"]

    def covering(place: int, size: int) -> list[int]:
        return [i for i in range(size) if 0 <= place + padding - i * stride < kernel]

    rows, columns = covering(y, given.shape[1]), covering(x, given.shape[2])
    inputs = given[:, rows][:, :, columns]
    weights = weight[:, channel][:, [y + padding - i * stride for i in rows]]
    return inputs, weights[:, :, [x + padding - i * stride for i in columns]], 0


def _first_of_group(outputs: int, inputs: int, groups: int, channel: int) -> int:
    return channel // (outputs // groups) * inputs


def _rows(window: Tensor) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in window]


def _channels(step: Step) -> Tensor:
    """The output of one picture as (C, H, W)."""
    assert step.value is not None  # traced with keep
    value = step.value[0]
    return value if value.ndim == 3 else value.reshape(-1, 1, 1)


def _checked(value: int, name: str, count: int) -> int:
    if not 0 <= value < count:
        raise ValueError(f"{name} must be from 0 to {count - 1}, got {value}")
    return value
