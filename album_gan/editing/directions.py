"""Editing a cover: along principal components, towards an attribute (darker, warmer, ...), or by mixing two.

    editor = Editor(pipe)
    pipe(stems=editor.edit(pipe.stems_of([42]), {"darker": 2, "component 1": -1})).images

A component is a direction in stem space, the same for all covers. An attribute is not: how a GAN encodes "dark" differs
from cover to cover, and no direction in stem space makes even two thirds of covers darker (measured). So an attribute
is increased by gradient ascent from the given cover.
"""

import inspect
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from ..inference.pipeline import AlbumCoverPipeline
from ..inference.pixels import to_pil
from ..inference.precision import full_precision

SAMPLES = 512  # seeds from 0 on, to estimate the distribution of stems
COMPONENTS = 6
STEPS = 4  # of gradient ascent, the same for every amount, so that edits change smoothly with it
STRIDE = 0.12  # distance for an amount of 1, as a fraction of the mean distance from the mean stem


def darkness(images: Tensor) -> Tensor:
    """Negated mean brightness: images (B, 3, H, W) in [-1, 1] -> (B,). Shapes are the same for the other attributes."""
    return -images.mean((1, 2, 3))


def warmth(images: Tensor) -> Tensor:
    """Red minus blue."""
    return (images[:, 0] - images[:, 2]).mean((1, 2))


def colourfulness(images: Tensor) -> Tensor:
    """Hasler and Süsstrunk 2003, "Measuring colourfulness in natural images": spread and mean of opponent colours."""
    red, green, blue = images.unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], 1)
    spread = (opponents.var((2, 3)).sum(1) + 1e-6).sqrt()
    return spread + 0.3 * (opponents.mean((2, 3)).square().sum(1) + 1e-6).sqrt()


def busyness(images: Tensor) -> Tensor:
    """Mean difference between neighbouring pixels, in grey."""
    grey = images.mean(1)
    return grey.diff(dim=1).abs().mean((1, 2)) + grey.diff(dim=2).abs().mean((1, 2))


def symmetry(images: Tensor) -> Tensor:
    """Correlation of an image with its mirror image, in grey, -1 to 1."""
    grey = images.mean(1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    return (grey * grey.flip(2)).mean((1, 2)) / (grey.square().mean((1, 2)) + 1e-3)


ATTRIBUTES: dict[str, Callable[[Tensor], Tensor]] = {
    "darker": darkness,
    "warmer": warmth,
    "more colourful": colourfulness,
    "busier": busyness,
    "more symmetric": symmetry,
}


class Editor:
    """Edits covers of one model in its stem space. `names` are attributes, then components."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        stems = pipe.stems_of(range(SAMPLES)).float()
        self.centred = (stems - stems.mean(0)).flatten(1)
        self.distance = self.centred.norm(dim=1).mean()
        self.components = {
            f"component {number}": component.view(stems.shape[1:])
            for number, component in enumerate(principal_components(self.centred, COMPONENTS), start=1)
        }
        self.names = [*ATTRIBUTES, *self.components]
        self.mixes = "style" in inspect.signature(pipe.generator.paint).parameters

    def edit(self, stems: Tensor, amounts: dict[str, float]) -> Tensor:
        """Stems (B, C, h, w) edited by these amounts: 1 is visible, 3 is strong, negative is the opposite.

        Deterministic. Raises ValueError for an unknown name.
        """
        unknown = amounts.keys() - self.names
        if unknown:
            raise ValueError(f"amounts must be of {', '.join(self.names)}; got {', '.join(sorted(unknown))}")
        stems = stems.float().clone()
        for name, component in self.components.items():
            stems += amounts.get(name, 0) * component
        changed = {name: amounts[name] for name in ATTRIBUTES if amounts.get(name)}
        for _ in range(STEPS if changed else 0):
            uphill = sum(amount * self._uphill(stems, ATTRIBUTES[name]) for name, amount in changed.items())
            stems += STRIDE / STEPS * self.distance * uphill
        return stems

    def mix(self, stems: Tensor, styles: Tensor) -> list[Image.Image]:
        """Covers with the composition of `stems` and the colours and textures of `styles`, both (B, C, h, w).

        Raises ValueError for a model whose network does not separate the two.
        """
        if not self.mixes:
            raise ValueError(f"{type(self.pipe.generator).__name__} cannot mix covers; use a `projected` model")
        with torch.inference_mode(), full_precision(stems.device):
            return to_pil(self._paint(stems, styles))

    def _paint(self, *stems: Tensor) -> Tensor:
        """The float32 images (B, 3, R, R) of float32 stems, by weights of any precision."""
        dtype = self.pipe.generator.dtype
        return self.pipe.generator.paint(*(some.to(dtype) for some in stems)).float()

    @torch.enable_grad()
    def _uphill(self, stems: Tensor, attribute: Callable[[Tensor], Tensor]) -> Tensor:
        """For each stem, the unit direction that increases an attribute within the distribution of stems.

        It is the gradient, preconditioned with the covariance of stems.
        """
        with torch.inference_mode(False), full_precision(stems.device):
            leaf = stems.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(attribute(self._paint(leaf)).sum(), leaf)
        direction = gradient.flatten(1) @ self.centred.T @ self.centred
        return (direction / (direction.norm(dim=1, keepdim=True) + 1e-12)).view_as(stems)


def principal_components(centred: Tensor, count: int) -> Tensor:
    """The first `count` principal components of centred rows (N, D), scaled to one standard deviation, (count, D).

    As in GANSpace (Härkönen et al. 2020, arXiv:2004.02546). Computed from the rows' inner products, since N < D.
    """
    # On the CPU: not supported on Apple's GPUs.
    values, vectors = (part.to(centred.device) for part in torch.linalg.eigh((centred @ centred.T).cpu()))
    vectors = vectors[:, -count:].flip(1)
    # Fix the arbitrary sign of each vector, so that a model gives the same result everywhere.
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    lengths = values[-count:].flip(0).clamp(min=1e-12).sqrt()
    return (centred.T @ vectors / lengths).T * (lengths / len(centred) ** 0.5)[:, None]
