"""A generator's intermediate results, layer by layer, and a discriminator's scores of pictures."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from .pixels import as_shown, to_tensor

# Seeds of the covers in a picture's batch: a batch of one would look like a collapse. So would a picture next to its
# copy, so they are not the first seeds, which people try.
COMPANION_SEEDS = range(1_000, 1_007)


@dataclass(frozen=True)
class Layer:
    """One module's output in a generator: `name` as in `named_modules`, and its `output` (C, H, W) or (features,)."""

    name: str
    kind: str
    parameters: int
    output: Tensor


def layers_while(draw: Callable[[], Any], generator: nn.Module) -> list[Layer]:
    """The modules of a generator in the order in which they finish during `draw()`, which draws one picture with it.

    A block comes after the layers in it. Other threads may use the generator at the same time.
    """
    thread = threading.get_ident()
    layers: list[Layer] = []

    def note(name: str, module: nn.Module) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and threading.get_ident() == thread:
                parameters = sum(parameter.numel() for parameter in module.parameters())
                layers.append(Layer(name, type(module).__name__, parameters, output[0].clone()))

        return module.register_forward_hook(hook)

    hooks = [note(name, module) for name, module in generator.named_modules() if name]
    try:
        draw()
    finally:
        for hook in hooks:
            hook.remove()
    return layers


@torch.inference_mode()
def scores_of(images: Sequence[Image.Image], discriminator: nn.Module, companions: Tensor) -> list[float]:
    """One score for each picture, cropped to a square; see `AlbumCoverPipeline.critic` for what it means.

    Each is scored separately, in a batch with the same `companions` (B, 3, R, R), so that scores are independent.
    """
    side, device = companions.shape[-1], next(discriminator.parameters()).device
    scores = []
    for image in images:
        batch = torch.cat([square_tensor(image, side), companions.float().cpu()]).to(device)
        scores.append(float(discriminator(batch)[0].float().mean()))
    return scores


def square_tensor(image: Image.Image, side: int) -> Tensor:
    """The middle square of a picture, resized to `side` pixels: (1, 3, side, side) in [-1, 1].

    Raises ValueError for anything that is not a picture.
    """
    image = as_shown(image)
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return to_tensor([square.resize((side, side), Image.Resampling.LANCZOS)])
