"""Changing a cover: along principal components, towards a look (darker, warmer, ...), and by mixing two.

    editor = Editor(pipe)
    pipe(stems=editor.edit(pipe.stems_of([42]), {"darker": 2, "component 1": -1})).images

A component is a straight line in the stem space, the same for all covers. A look is not: where a GAN keeps "dark"
differs from cover to cover, and no line through the stem space makes even two thirds of covers darker (measured). So a
look is followed uphill from the cover at hand.
"""

import inspect
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from ..inference.pipeline import AlbumCoverPipeline
from ..inference.pixels import to_pil

SAMPLES = 512  # seeds from 0 on, to learn how stems spread
COMPONENTS = 6
STEPS = 4  # uphill, whatever the amount, so that an edit changes smoothly with it
STRIDE = 0.12  # of the mean distance from the mean stem: how far an amount of 1 leads


def darkness(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] -> (B,); so do the others."""
    return -images.mean((1, 2, 3))


def warmth(images: Tensor) -> Tensor:
    """Red less blue."""
    return (images[:, 0] - images[:, 2]).mean((1, 2))


def colourfulness(images: Tensor) -> Tensor:
    """Hasler and Süsstrunk 2003, "Measuring colourfulness in natural images": spread and mean of opponent colours."""
    red, green, blue = images.unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], 1)
    spread = (opponents.var((2, 3)).sum(1) + 1e-6).sqrt()
    return spread + 0.3 * (opponents.mean((2, 3)).square().sum(1) + 1e-6).sqrt()


def busyness(images: Tensor) -> Tensor:
    """Mean difference between neighbours, in grey."""
    grey = images.mean(1)
    return grey.diff(dim=1).abs().mean((1, 2)) + grey.diff(dim=2).abs().mean((1, 2))


def symmetry(images: Tensor) -> Tensor:
    """How well an image correlates with its mirror image, in grey, -1 to 1."""
    grey = images.mean(1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    return (grey * grey.flip(2)).mean((1, 2)) / (grey.square().mean((1, 2)) + 1e-3)


LOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "darker": darkness,
    "warmer": warmth,
    "more colourful": colourfulness,
    "busier": busyness,
    "more symmetric": symmetry,
}


class Editor:
    """What can be done to the covers of one model, in its stem space. `names` are looks, then components."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        stems = pipe.stems_of(range(SAMPLES)).float()
        self.away = (stems - stems.mean(0)).flatten(1)
        self.distance = self.away.norm(dim=1).mean()
        self.components = {
            f"component {number}": component.view(stems.shape[1:])
            for number, component in enumerate(principal_components(self.away, COMPONENTS), start=1)
        }
        self.names = [*LOOKS, *self.components]
        self.mixes = "style" in inspect.signature(pipe.generator.paint).parameters

    def edit(self, stems: Tensor, amounts: dict[str, float]) -> Tensor:
        """Stems (B, C, 4, 4) changed by these amounts: 1 is seen, 3 is much, below 0 the other way.

        The same stems and amounts give the same result. Raises ValueError for an unknown name.
        """
        unknown = amounts.keys() - self.names
        if unknown:
            raise ValueError(f"amounts must be of {', '.join(self.names)}; got {', '.join(sorted(unknown))}")
        stems = stems.float().clone()
        for name, component in self.components.items():
            stems += amounts.get(name, 0) * component
        looks = {name: amounts[name] for name in LOOKS if amounts.get(name)}
        for _ in range(STEPS if looks else 0):
            uphill = sum(amount * self._uphill(stems, LOOKS[name]) for name, amount in looks.items())
            stems += STRIDE / STEPS * self.distance * uphill
        return stems

    def mix(self, stems: Tensor, styles: Tensor) -> list[Image.Image]:
        """Covers composed as `stems` say and coloured as `styles` do, both (B, C, 4, 4).

        Raises ValueError for a model whose network has no such paths.
        """
        if not self.mixes:
            raise ValueError(f"{type(self.pipe.generator).__name__} cannot mix covers; take a `projected` model")
        with torch.inference_mode():
            return to_pil(self.pipe.generator.paint(stems, styles))

    @torch.enable_grad()
    def _uphill(self, stems: Tensor, look: Callable[[Tensor], Tensor]) -> Tensor:
        """The way of length 1, for each stem, that brings more of a look and stays among the stems there are.

        Stem directions count by how much stems vary along them: the gradient times the stems' covariance.
        """
        with torch.inference_mode(False):
            leaf = stems.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(look(self.pipe.generator.paint(leaf)).sum(), leaf)
        way = gradient.flatten(1) @ self.away.T @ self.away
        return (way / (way.norm(dim=1, keepdim=True) + 1e-12)).view_as(stems)


def principal_components(away: Tensor, count: int) -> Tensor:
    """The first `count` principal components of centred rows (N, D), one standard deviation long, (count, D).

    After GANSpace (Härkönen et al. 2020, arXiv:2004.02546). Worked out from the rows' inner products: N is smaller.
    """
    values, vectors = torch.linalg.eigh(away @ away.T)
    vectors = vectors[:, -count:].flip(1)
    # A vector's sign is arbitrary; the same model must give the same one everywhere.
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    lengths = values[-count:].flip(0).clamp(min=1e-12).sqrt()
    return (away.T @ vectors / lengths).T * (lengths / len(away) ** 0.5)[:, None]
