"""Feature extractors: frozen networks, in whose feature spaces pictures are compared.

Both are pip packages that contain the weights, so no internet is needed. `efficientnet-lite2` is related to the frozen
network in `projected`'s discriminator, so it favours that recipe; `stlpips-vgg` does not.
"""

import hashlib
import importlib.util
import logging
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..covers.pixel_cache import cache_folder
from ..inference.atomic import atomic_path
from ..inference.pixels import to_unit_range
from ..networks.projected_discriminator import EfficientNetLite

logger = logging.getLogger(__name__)
STLPIPS_SHA256 = "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250"
Advance = Callable[[int], object]  # of a progress bar


def _nobody(pictures: int) -> None:
    """The default for `advance`: no progress bar."""


class EfficientNetLite2(nn.Module):
    """Images (B, 3, R, R) in [-1, 1] -> (B, 1280), the mean of the last layer at 260 px."""

    def __init__(self):
        super().__init__()
        self.backbone = EfficientNetLite("lite2")

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] -> (B, 1280)."""
        images = F.interpolate(images, size=(260, 260), mode="bilinear", antialias=True)
        return self.backbone.summary(self.backbone(images))


class ShiftTolerantLPIPS(nn.Module):
    """VGG-16 of ST-LPIPS (Ghildyal and Liu 2022, arXiv:2207.13686): images (B, 3, R, R) in [-1, 1] -> (B, 1472).

    Images are standardised, and each tap's channels normalised at every position and weighted, as in the metric; then
    they are averaged. Means of unit vectors are short: x.y / D is at most 0.0007, where the kernel (x.y / D + 1)^3 of
    the kernel distance is linear. So in this space it compares the means of two sets, and hardly how they vary.
    """

    scaling_layer_shift: Tensor
    scaling_layer_scale: Tensor
    CONVOLUTIONS = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32))

    def __init__(self):
        super().__init__()
        for name, tensor in _stlpips_weights().items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def taps(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, R, R) in [-1, 1] -> the five feature maps, (B, 64, R, R) to (B, 512, R/16, R/16)."""
        x, taps = (images - self.scaling_layer_shift) / self.scaling_layer_scale, []
        for number, layers in enumerate(self.CONVOLUTIONS, start=1):
            if number > 1:
                x = F.max_pool2d(x, 2, stride=1)
                blur = getattr(self, f"net_slice{number}_{layers[0] - 1}_filt")
                x = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), blur, stride=2, groups=x.shape[1])
            for layer in layers:
                name = f"net_slice{number}_{layer}"
                x = F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1))
            taps.append(x)
        return taps

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] -> (B, 1472)."""
        pooled = []
        for number, tap in enumerate(self.taps(images)):
            weight = getattr(self, f"lin{number}_model_1_weight").clamp(min=0).sqrt()
            pooled.append((F.normalize(tap, dim=1, eps=1e-10) * weight).mean((2, 3)))
        return torch.cat(pooled, 1)


EXTRACTORS: dict[str, Callable[[], nn.Module]] = {
    "efficientnet-lite2": EfficientNetLite2,
    "stlpips-vgg": ShiftTolerantLPIPS,
}


def check_extractor(name: str) -> None:
    """Raise ValueError unless there is an extractor called `name`."""
    if name not in EXTRACTORS:
        raise ValueError(f"extractors must be among {', '.join(EXTRACTORS)}, got {name!r}")


def build_extractor(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """An extractor in evaluation mode on `device`.

    Raises ValueError for an unknown name, ImportError if its package is not installed.
    """
    check_extractor(name)
    return EXTRACTORS[name]().eval().requires_grad_(False).to(device)


def cached_features(pixels: np.ndarray, extractor: nn.Module, advance: Advance = _nobody) -> np.ndarray:
    """As `features_of`, but cached by pictures and extractor."""
    path = cache_file(pixels, extractor)
    if path.exists():
        return np.load(path)
    features, folder = features_of(pixels, extractor, advance=advance), path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, features)
    except OSError as error:
        logger.warning("features are not cached: %s; ALBUM_GAN_CACHE names another folder", error)
    return features


def cache_file(pixels: np.ndarray, extractor: nn.Module) -> Path:
    """The file in the cache for the features of these pictures."""
    return cache_folder("features") / f"{pixels_digest(pixels)}-{type(extractor).__name__}.npy"


def pixels_digest(pixels: np.ndarray) -> str:
    """The first 16 hex digits of the SHA-256 of pictures, uint8 (N, R, R, 3), and their shape."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    for part in np.array_split(pixels, max(1, len(pixels) // 1_000)):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:16]


@torch.inference_mode()
def features_of(
    pixels: np.ndarray, extractor: nn.Module, batch_size: int = 32, advance: Advance = _nobody
) -> np.ndarray:
    """uint8 (N, R, R, 3) -> float32 (N, D). `advance` is called with the number of pictures after each batch."""
    device = next(chain(extractor.buffers(), extractor.parameters())).device
    features = np.empty((0, 0), np.float32)
    for start in range(0, len(pixels), batch_size):
        images = to_unit_range(torch.from_numpy(np.array(pixels[start : start + batch_size]))).to(device)
        found = extractor(images.contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
        if start == 0:  # memory for all: a list of parts would take it twice
            features = np.empty((len(pixels), found.shape[1]), np.float32)
        features[start : start + batch_size] = found
        advance(len(images))
    return features


def _stlpips_weights() -> dict[str, Tensor]:
    """Weights from the pip package, without importing it, which would load torchvision; their SHA-256 is checked."""
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("evaluation needs the package stlpips-pytorch; pip install 'album-gan[evaluate]'")
    path = Path(spec.submodule_search_locations[0]) / "weights" / "vST0.0" / "vgg_shift_tolerant.pth"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != STLPIPS_SHA256:
        raise ValueError(f"{path.name} must have SHA-256 {STLPIPS_SHA256}, got {found}; reinstall stlpips_pytorch")
    return torch.load(path, map_location="cpu", weights_only=True)
