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
    images = _recolour(images, draw, share)
    images = _translate(images, draw, share)
    return _cut_out(images, draw, share)


def _chosen(draw: Draw, change: str, share: float) -> Tensor:
    """Which images a change meets, (B,)."""
    return draw.uniform(f"{change} chosen", 1, 1, 1).flatten() < share


def _recolour(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Brighter or darker, paler or more colourful, softer or harder.

    Image x gets brightness b, then saturation s towards the grey g of each pixel, then contrast c towards the mean m of
    the image: c (s (x + b - (g + b)) + g + b - m) + m. All of it is linear in x, so it is done in one pass.
    """
    chosen = _chosen(draw, "_recolour", share).view(-1, 1, 1, 1)
    brightness = (draw.uniform("brightness", 1, 1, 1) - 0.5).where(chosen, 0.0)
    saturation = (draw.uniform("saturation", 1, 1, 1) * 2).where(chosen, 1.0)
    contrast = (draw.uniform("contrast", 1, 1, 1) + 0.5).where(chosen, 1.0)
    grey = images.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True) + brightness
    same_for_all_channels = contrast * (1 - saturation) * grey + (contrast * brightness + (1 - contrast) * mean)
    return torch.addcmul(same_for_all_channels, images, contrast * saturation)


def _translate(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Shift by up to an eighth of the size each way; what comes in is grey (zero)."""
    size = images.shape[-1]
    margin = size // 8
    chosen = _chosen(draw, "_translate", share)
    across, down = (draw.integers(f"shift {way}", 0, 2 * margin + 1) - margin for way in ("across", "down"))
    return windows(images, down.where(chosen, 0), across.where(chosen, 0), size)


def random_pieces(images: Tensor, size: int, draw: Draw, name: str) -> Tensor:
    """A piece of `size` pixels out of each image, at a place of its own: (B, 3, H, H) -> (B, 3, size, size)."""
    places = images.shape[-1] - size + 1
    across, down = (draw.integers(f"{name} {way}", 0, places) for way in ("across", "down"))
    return windows(images, down, across, size)


def windows(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """A window of each image, zero where it leaves it: (B, C, H, H), top and left (B,) -> (B, C, size, size)."""
    return _Windows.apply(images, top, left, size)


class _Windows(torch.autograd.Function):
    """One gather each way, without a loop over images; the gradient of a window is a window of the gradient."""

    @staticmethod
    def forward(ctx, images, top, left, size):
        ctx.save_for_backward(top, left)
        ctx.size = images.shape[-1]
        return _gather_windows(images, top, left, size)

    @staticmethod
    def backward(ctx, gradient):
        top, left = ctx.saved_tensors
        return windows(gradient, -top, -left, ctx.size), None, None, None


def _gather_windows(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    count, channels, height, width = images.shape
    place = torch.arange(size, device=images.device)
    rows, columns = top[:, None] + place, left[:, None] + place
    outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
    first = torch.arange(count, device=images.device)[:, None] * height
    index = (first + rows.clamp(0, height - 1))[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy where channels come last
    found = pixels.index_select(0, index.flatten()).view(count, size, size, channels)
    return found.masked_fill(outside[..., None], 0).permute(0, 3, 1, 2)


def _cut_out(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Make one square grey, a fifth of the size wide; it may stick out by half."""
    size = images.shape[-1]
    hole = size // 5
    chosen = _chosen(draw, "_cut_out", share)[:, None]
    left = draw.integers("hole across", -hole // 2, size - hole // 2)[:, None]
    top = draw.integers("hole down", -hole // 2, size - hole // 2)[:, None]
    place = torch.arange(size, device=images.device)
    across = (place >= left) & (place < left + hole) & chosen
    down = (place >= top) & (place < top + hole)
    return images.masked_fill(down[:, None, :, None] & across[:, None, None, :], 0)


def soften(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur by a standard deviation of its own, in pixels, for each image; (B, 3, H, W), (B,)."""
    place = torch.arange(-SOFT_RADIUS, SOFT_RADIUS + 1, device=images.device)
    weight = torch.exp(-(place**2) / (2 * sigma[:, None].clamp(min=1e-3) ** 2))
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(3, 0)
    count, size = images.shape[0] * 3, images.shape[-1]
    flat = F.pad(images.reshape(1, count, size, size), [SOFT_RADIUS] * 4, mode="replicate")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=count)
    return F.conv2d(flat, weight[:, None, :, None], groups=count).view_as(images).clamp(-1, 1)
