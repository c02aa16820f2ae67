"""Differentiable augmentation, which keeps a discriminator from memorising a small set of covers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .named_random import Draw

BLUR_RADIUS = 2  # pixels, of the kernel of `blur`
DETAIL_STRIDE = 4  # pixels between the crops that `detailed_crops` chooses from
DETAIL_POWER = 6.0  # 0: any crop, infinite: always the most detailed
LARGEST_DETAIL = 0.6  # of one pair of pixels, of a range of 2


def diff_augment(images: Tensor, draw: Draw, share: float = 0.5) -> Tensor:
    """Colour, translation and cutout (Zhao et al. 2020, arXiv:2006.10738), (B, 3, H, W) -> (B, 3, H, W).

    Each is applied to an image with probability `share`, 0 to 1. Applied to all images it leaks: the discriminator
    cannot see the difference, and the generator learns crushed blacks and grey margins (section 2.2 of Karras et al.
    2020, arXiv:2006.06676). No flips, because covers carry text. The same `draw` augments real and fake images the
    same way.
    """
    images = _recolour(images, draw, share)
    images = _translate(images, draw, share)
    return _cut_out(images, draw, share)


def _chosen(draw: Draw, change: str, share: float) -> Tensor:
    """Mask of the images that a change is applied to, (B,)."""
    return draw.uniform(f"{change} chosen", 1, 1, 1).flatten() < share


def _recolour(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Change brightness, saturation and contrast.

    Image x gets brightness b, then saturation s towards the grey g of each pixel, then contrast c towards the image
    mean m: c (s (x + b - (g + b)) + g + b - m) + m. This is linear in x, so it is done in one pass.
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
    """Shift by up to an eighth of the size in each direction; the exposed border is grey (zero)."""
    size = images.shape[-1]
    margin = size // 8
    chosen = _chosen(draw, "_translate", share)
    across, down = (draw.integers(f"shift {way}", 0, 2 * margin + 1) - margin for way in ("across", "down"))
    return windows(images, down.where(chosen, 0), across.where(chosen, 0), size)


def random_crops(images: Tensor, size: int, draw: Draw, name: str) -> Tensor:
    """A random square crop of each image: (B, 3, H, H) -> (B, 3, size, size)."""
    places = images.shape[-1] - size + 1
    across, down = (draw.integers(f"{name} {way}", 0, places) for way in ("across", "down"))
    return windows(images, down, across, size)


def detailed_crops(images: Tensor, size: int, draw: Draw, name: str) -> Tensor:
    """A square crop of each image, mostly where letters, eyes or hands are: (B, 3, H, H) -> (B, 3, size, size).

    Images are in [-1, 1]. A crop is drawn with a probability proportional to the mean absolute difference between
    neighbouring pixels of its rows, to the power of DETAIL_POWER: most letter strokes are vertical. Differences
    count as LARGEST_DETAIL at most, so that one hard edge does not outweigh a line of text.
    """
    with torch.no_grad():
        grey = images.float().mean(1, keepdim=True)
        differences = (grey[..., 1:] - grey[..., :-1]).abs().clamp(max=LARGEST_DETAIL)
        detail = F.avg_pool2d(differences, (size, size - 1), DETAIL_STRIDE)  # (B, 1, rows, columns)
        rows, columns = detail.shape[2:]
        noise = draw.uniform(f"{name} place", rows * columns).clamp(1e-6, 1 - 1e-6)
        # Gumbel-max: the index of the largest log-probability plus Gumbel noise is a draw from the distribution.
        place = (DETAIL_POWER * detail.flatten(1).clamp(min=1e-4).log() - (-noise.log()).log()).argmax(1)
    return windows(images, place // columns * DETAIL_STRIDE, place % columns * DETAIL_STRIDE, size)


def windows(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Crop each image, with zeros outside it: (B, C, H, H), top and left (B,) -> (B, C, size, size)."""
    return _Windows.apply(images, top, left, size)


class _Windows(torch.autograd.Function):
    """One gather forward and one backward, without a loop over images: a crop's gradient is a crop of the gradient."""

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
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy in channels_last
    found = pixels.index_select(0, index.flatten()).view(count, size, size, channels)
    return found.masked_fill(outside[..., None], 0).permute(0, 3, 1, 2)


def _cut_out(images: Tensor, draw: Draw, share: float) -> Tensor:
    """Grey out one square, a fifth of the size wide; up to half of it may be outside the image."""
    size = images.shape[-1]
    hole = size // 5
    chosen = _chosen(draw, "_cut_out", share)[:, None]
    left = draw.integers("hole across", -hole // 2, size - hole // 2)[:, None]
    top = draw.integers("hole down", -hole // 2, size - hole // 2)[:, None]
    place = torch.arange(size, device=images.device)
    across = (place >= left) & (place < left + hole) & chosen
    down = (place >= top) & (place < top + hole)
    return images.masked_fill(down[:, None, :, None] & across[:, None, None, :], 0)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, with a standard deviation in pixels for each image: (B, 3, R, R), (B,) -> (B, 3, R, R)."""
    place = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=images.device)
    weight = torch.exp(-(place**2) / (2 * sigma[:, None].clamp(min=1e-3) ** 2))
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(3, 0)
    count, size = images.shape[0] * 3, images.shape[-1]
    flat = F.pad(images.reshape(1, count, size, size), [BLUR_RADIUS] * 4, mode="replicate")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=count)
    return F.conv2d(flat, weight[:, None, :, None], groups=count).view_as(images).clamp(-1, 1)
