"""Kinds of steps in networks, and how to recognise them from calls to torch functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Kind:
    """`does` explains such a step in a sentence; `main` steps are shown in diagrams."""

    name: str
    does: str
    main: bool = False


CONVOLUTION = Kind(
    "convolution",
    "Slides small windows of weights over all maps; each output pixel is a weighted sum of its neighbourhood.",
    main=True,
)
TRANSPOSED = Kind(
    "transposed convolution",
    "Every input pixel stamps a weighted copy of the kernel on a larger map; where stamps overlap, they add up.",
    main=True,
)
FULLY_CONNECTED = Kind("fully connected", "Every output is a weighted sum of all inputs.", main=True)
BATCH_NORM = Kind(
    "batch normalisation",
    "Subtracts each channel's mean, divides by its standard deviation, then applies a learned scale and shift.",
)
ENLARGEMENT = Kind("upsampling", "Makes maps larger by repeating pixels, or interpolating between them.", True)
POOLING = Kind("average pooling", "Makes maps smaller: each block of pixels becomes its mean.", True)
RELU = Kind("ReLU", "Keeps positive values, sets negative ones to zero. Without it, stacked layers would act as one.")
LEAKY = Kind("leaky ReLU", "Keeps positive values and scales negative ones by a small factor, so no unit ever dies.")
ELU = Kind("ELU", "Keeps positive values and bends negative ones smoothly towards -1.")
SILU = Kind("SiLU", "Multiplies each value by its own sigmoid: a smooth ReLU.")
SIGMOID = Kind("sigmoid", "Squashes values into 0 to 1.")
TANH = Kind("tanh", "Squashes values into -1 to 1, the range of pixels: -1 is black, 1 is white.")
RELU6 = Kind("ReLU6", "Clamps values to between 0 and 6.")
RESHAPE = Kind("reshape", "The same numbers in another shape.")
PADDING = Kind("padding", "Adds a border of zeros.")
SKIP = Kind("skip connection", "Adds a block's input to its output, so the block only learns the difference.")
GATE = Kind("gate", "Multiplies each channel by a number computed from other maps.")
JOINED = Kind("concat", "Concatenates maps along the channels.")
PIXEL_NORM = Kind("pixel normalisation", "Scales the channels of each pixel to a mean square of 1.")
DIRECTION = Kind("normalised latent", "Scales the latent to a fixed length: only its direction counts.")
UNIFORM = Kind("normal to uniform", "Maps normal latents to uniform ones in -1 to 1, as in the paper.")
LABELLED = Kind("sum", "Adds the label's embedding to the latent.")
EMBEDDING = Kind("embedding", "Looks up the learned vector of a label.")
MAXOUT = Kind("maxout", "Each unit is the maximum of several weighted sums.")
FADE = Kind("fade-in", "Blends a coarse and a fine picture while the network grows.")
ERROR = Kind("reconstruction error", "How far the reconstruction is from the original: the picture's score.")
PATTERN = Kind("gated constant", "Multiplies each channel's learned 4 x 4 map by a number.", main=True)

# Modules that count as one step.
COMPOSITES = {
    "VirtualBatchNorm": Kind(
        "virtual batch normalisation",
        "Normalises with the statistics of a fixed reference batch, so a picture does not depend on its neighbours.",
    ),
    "MinibatchDiscrimination": Kind(
        "minibatch discrimination", "Measures how close each picture is to the others in its batch: exposes collapse."
    ),
    "Modulation": Kind(
        "modulation",
        "Scales and shifts each channel by numbers computed from the cover's code; the shift may vary by position.",
    ),
    "MinibatchDeviation": Kind("minibatch std", "Adds a channel: the standard deviation across the batch."),
}


def _always(kind: Kind) -> Callable:
    return lambda flowing, output, args, kwargs: kind


def _reshape(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    before, after = flowing[0].shape[1:], output.shape[1:]
    return RESHAPE if before.numel() == after.numel() and before != after else None


def _sum(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    if len(flowing) != 2 or not flowing[0].shape == flowing[1].shape == output.shape:
        return None
    return {4: SKIP, 2: LABELLED}.get(output.ndim)


def _product(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    if output.ndim == 4 and len(flowing) == 1 and flowing[0].shape[2:] != output.shape[2:]:
        return PATTERN
    if len(flowing) != 2 or flowing[0].shape == flowing[1].shape:
        return None
    small = min(flowing, key=lambda value: value.numel())
    if small.shape[1:].numel() == 1 or (output.ndim == 4 and small.shape[1] == 1):
        return PIXEL_NORM if small.shape[1] == 1 else None
    return GATE if output.ndim == 4 and small.shape[1] == output.shape[1] else None


def _enlarged(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    return ENLARGEMENT if output.shape[-1] > flowing[0].shape[-1] else None


def _pooled(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    return POOLING if output.shape[-1] < flowing[0].shape[-1] else None


def _maxout(flowing: list[Tensor], output: Tensor, args: tuple, kwargs: dict[str, Any]) -> Kind | None:
    return MAXOUT if flowing[0].ndim == 3 else None


KINDS: dict[str, Callable] = {
    "conv2d": _always(CONVOLUTION),
    "conv_transpose2d": _always(TRANSPOSED),
    "linear": _always(FULLY_CONNECTED),
    "batch_norm": _always(BATCH_NORM),
    "interpolate": _enlarged,
    "avg_pool2d": _pooled,
    "adaptive_avg_pool2d": _pooled,
    "relu": _always(RELU),
    "leaky_relu": _always(LEAKY),
    "elu": _always(ELU),
    "silu": _always(SILU),
    "sigmoid": _always(SIGMOID),
    "tanh": _always(TANH),
    "relu6": _always(RELU6),
    "hardtanh": _always(RELU6),
    "pad": _always(PADDING),
    "erf": _always(UNIFORM),
    "normalize": _always(DIRECTION),
    "embedding": _always(EMBEDDING),
    "amax": _maxout,
    "lerp": _always(FADE),
    "mean": lambda flowing, output, args, kwargs: ERROR if output.ndim == 1 else None,
    "cat": _always(JOINED),
    "flatten": _reshape,
    "unflatten": _reshape,
    "view": _reshape,
    "reshape": _reshape,
    "add": _sum,
    "__add__": _sum,
    "mul": _product,
    "__mul__": _product,
    "__rmul__": _product,
}
