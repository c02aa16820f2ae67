"""Finding the cover that is nearest to a picture: by projection into the stem space, for any of our generators.

Projection as in StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix D), with pixel differences at several scales
instead of a perceptual network, and the stem instead of w.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .inside import square_tensor
from .latents import name_of
from .precision import full_precision

STARTS = 64  # seeds from 0 on, of which the most similar one is where the descent starts
POOL = 8_192  # seeds from 0 on, among which the nearest one is searched
CANDIDATES = 32  # of which covers are drawn and compared
STEPS = 80
RATE = 0.08  # of Adam, in standard deviations of stems
PRIOR = 0.02  # weight of the stem's distance from the mean, which keeps it among stems that covers have
SCALES = (8, 16, 32, 64)  # pixels a side


@dataclass(frozen=True)
class Found:
    """The nearest cover: `seed` among seeds from 0 on, `stem` (1, C, h, w) among all stems, with their pictures.

    `seed_distance` and `distance` are the mean absolute differences from the picture, 0 to 1, of the two.
    """

    seed: int
    seed_image: Image.Image
    seed_distance: float
    stem: Tensor
    image: Image.Image
    distance: float

    @property
    def name(self) -> str:
        """The readable name of `seed`."""
        return name_of(self.seed)


def find(pipe: Any, picture: Image.Image, steps: int = STEPS, generator: Any = None) -> Found:
    """The seed and the stem of an `AlbumCoverPipeline` that are nearest to a picture, which is cropped to a square.

    Deterministic. `generator`, by default the pipeline's, draws the covers: a page may let others draw in between.
    Raises ValueError for `steps` below 1, and for anything that is not a picture.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}; {STEPS} is usual")
    generator = generator or pipe.generator.eval()
    target = square_tensor(picture, generator.config.resolution).to(generator.device, generator.dtype)

    with full_precision(generator.device):
        stems = pipe.stems_of(range(STARTS))
        closest = _differences(generator, stems, target).argsort().tolist()  # seeds, as these stems are of seeds from 0
        stem = _descend(generator, stems[closest[:1]], stems, target, steps)
        with torch.inference_mode():
            projected = _distance(generator.paint(stem), target).item()
        seed, distance = _nearest_seed(pipe, generator, stem, closest[:4], target)
        return Found(seed, pipe(seeds=[seed]).images[0], distance, stem, pipe(stems=stem).images[0], projected)


def _descend(generator: Any, start: Tensor, stems: Tensor, target: Tensor, steps: int) -> Tensor:
    """Gradient descent from one stem (1, C, h, w) towards the target (1, 3, R, R); returns the best one found.

    In float32 whatever the generator's dtype: in float16 squares of small gradients are 0, and Adam divides by 0.
    """
    mean, spread = stems.float().mean(0), stems.float().std(0) + 1e-4
    with torch.inference_mode(False), torch.enable_grad():
        offset = ((start - mean) / spread).clone().requires_grad_()
        optimizer = torch.optim.Adam([offset], lr=RATE)
        best, least = start, float("inf")
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, 2 * (steps - step) / steps)
            stem = (mean + spread * offset).to(stems.dtype)
            difference = _distance(generator.paint(stem), target)
            if difference.item() < least:
                best, least = stem.detach().clone(), difference.item()
            loss = difference + PRIOR * offset.square().mean()
            (offset.grad,) = torch.autograd.grad(loss.sum(), offset)
            optimizer.step()
    return best


def _nearest_seed(pipe: Any, generator: Any, stem: Tensor, others: list[int], target: Tensor) -> tuple[int, float]:
    """The seed whose cover resembles the target most, among `others` and those with the nearest stems; its distance.

    `others` take part because covers that look alike may have distant stems.
    """
    distances = []
    for first in range(0, POOL, 512):
        stems = pipe.stems_of(range(first, first + 512))
        distances.append(F.cosine_similarity((stems - pipe.generator.stem_mean).flatten(1),
                                             (stem - pipe.generator.stem_mean).flatten(1)))  # fmt: skip
    near = torch.cat(distances).topk(CANDIDATES).indices.tolist()
    seeds = sorted({*near, *others})
    differences = _differences(generator, pipe.stems_of(seeds), target)
    place = int(differences.argmin())
    return seeds[place], differences[place].item()


@torch.inference_mode()
def _differences(generator: Any, stems: Tensor, target: Tensor) -> Tensor:
    """Distances (B,) of the covers of stems (B, C, h, w) from the target (1, 3, R, R)."""
    return torch.cat([_distance(generator.paint(some), target) for some in stems.split(16)])


def _distance(images: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, 0 to 1, over several scales: images (B, 3, R, R), target (1, 3, R, R) -> (B,)."""
    scales = [scale for scale in SCALES if scale <= images.shape[-1]]
    images, target = images.float(), target.float()
    pooled = [(F.adaptive_avg_pool2d(images, scale), F.adaptive_avg_pool2d(target, scale)) for scale in scales]
    return torch.stack([(image - other).abs().mean((1, 2, 3)) for image, other in pooled]).mean(0) / 2
