"""Differentiable augmentation: what keeps a discriminator from learning a small set of covers by heart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .named_random import Draw

SOFT_RADIUS = 2  # pixels that `soften` reaches


def diff_augment(images: Tensor, draw: Draw, share: float = 0.5) -> Tensor:
    """Colour, translation and cutout (Zhao et al. 2020, arXiv:2006.10738), (B, 3, H, W) -> (B, 3, H, W).

    Each meets a `share` of the images, 0 to 1. A change that meets them all hides from the discriminator what it
    changes, and the generator draws blacks too deep and margins of grey (section 2.2 of Karras et al. 2020,
    arXiv:2006.06676).
    Covers carry text, so there is no flip. The same draw augments real and fake images the same way.
    """
    for change in (_recolour, _translate, _cut_out):
        chosen = draw.uniform(f"{change.__name__} chosen", 1, 1, 1) < share
        images = torch.where(chosen, change(images, draw), images)
    return images


def _recolour(images: Tensor, draw: Draw) -> Tensor:
    """Brighter or darker, paler or more colourful, softer or harder."""
    brightness = draw.uniform("brightness", 1, 1, 1) - 0.5
    saturation = draw.uniform("saturation", 1, 1, 1) * 2
    contrast = draw.uniform("contrast", 1, 1, 1) + 0.5
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * saturation + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean


def _translate(images: Tensor, draw: Draw) -> Tensor:
    """Shift by up to an eighth of the size each way; what comes in is grey (zero)."""
    size = images.shape[-1]
    margin = size // 8
    return random_pieces(F.pad(images, [margin] * 4), size, draw, "shift")


def random_pieces(images: Tensor, size: int, draw: Draw, name: str) -> Tensor:
    """A piece of `size` pixels out of each image, at a place of its own: (B, 3, H, W) -> (B, 3, size, size)."""
    places = images.shape[-1] - size + 1
    across = draw.integers(f"{name} across", 0, places).tolist()
    down = draw.integers(f"{name} down", 0, places).tolist()
    return torch.stack([image[:, y : y + size, x : x + size] for image, x, y in zip(images, across, down, strict=True)])


def _cut_out(images: Tensor, draw: Draw) -> Tensor:
    """Make one square grey, a fifth of the size wide; it may stick out by half."""
    size = images.shape[-1]
    hole = size // 5
    left = draw.integers("hole across", -hole // 2, size - hole // 2)[:, None]
    top = draw.integers("hole down", -hole // 2, size - hole // 2)[:, None]
    place = torch.arange(size, device=images.device)
    across = (place >= left) & (place < left + hole)
    down = (place >= top) & (place < top + hole)
    return images * ~(down[:, None, :, None] & across[:, None, None, :])


def soften(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur by a standard deviation of its own, in pixels, for each image; (B, 3, H, W), (B,)."""
    place = torch.arange(-SOFT_RADIUS, SOFT_RADIUS + 1, device=images.device)
    weight = torch.exp(-(place**2) / (2 * sigma[:, None].clamp(min=1e-3) ** 2))
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(3, 0)
    count, size = images.shape[0] * 3, images.shape[-1]
    flat = F.pad(images.reshape(1, count, size, size), [SOFT_RADIUS] * 4, mode="replicate")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=count)
    return F.conv2d(flat, weight[:, None, :, None], groups=count).view_as(images).clamp(-1, 1)
