"""Visual styles of covers: clusters of a frozen network's features, together with a small colour thumbnail.

A style is a linear score of a description, and a cover has the style with the highest score; so a small JSON file of
weights is enough to find any cover's style later. Styles can be divided into variants, found and scored the same way.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ...inference.pixels import to_unit_range
from ...networks.projected_discriminator import EfficientNetLite
from ..decoding import decode, read_bytes
from ..labels import class_of_variant

RESOLUTION = 128  # at which covers are described, so that covers generated at 128 px can be too
BATCH_SIZE = 64
FEATURE_SIZE = 224  # pixels, the training resolution of EfficientNet-Lite0
COLOUR_SIZE = 4  # side of the thumbnail in pixels
COLOUR_WEIGHT = 0.5
COMPONENTS = 64
STARTS = 20  # of k-means; the tightest clustering is used
VARIANT_SIZE = 75  # covers in a variant, roughly
ITERATIONS = 100


@dataclass(frozen=True)
class Styles:
    """`weights` (K, D) and `biases` (K,) score descriptions (N, D); style k is `names[k]`.

    Each of the `variants` belongs to the style that it is named after: "pale sky 2" to "pale sky".
    """

    names: tuple[str, ...]
    weights: np.ndarray
    biases: np.ndarray
    variants: "Styles | None" = None

    def scores(self, descriptions: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, K)"""
        return descriptions @ self.weights.T + self.biases

    def of(self, descriptions: np.ndarray) -> np.ndarray:
        """The style of each cover, as a number, (N, D) -> (N,) int64."""
        return self.scores(descriptions).argmax(1)

    def variants_of(self, descriptions: np.ndarray) -> np.ndarray:
        """The variant of each cover's style, as a number into `variants.names`, (N, D) -> (N,) int64.

        Raises ValueError without variants.
        """
        if self.variants is None:
            raise ValueError("these styles have no variants; tools/styles --variants finds them")
        styles = np.array([self.names.index(class_of_variant(name)) for name in self.variants.names])
        own = styles == self.of(descriptions)[:, None]
        return np.where(own, self.variants.scores(descriptions), -np.inf).argmax(1)

    def save(self, path: Path) -> None:
        """Write names, weights and biases as JSON, with the precision of float16."""
        path.write_text(json.dumps({"format_version": 1, **self._as_json()}) + "\n", encoding="utf-8")

    def _as_json(self) -> dict[str, Any]:
        rows = [[float(f"{value:.4g}") for value in row] for row in (*self.weights, self.biases)]
        content: dict[str, Any] = {"names": self.names, "weights": rows[:-1], "biases": rows[-1]}
        return content if self.variants is None else content | {"variants": self.variants._as_json()}

    @classmethod
    def load(cls, path: Path) -> "Styles":
        """The styles that `save` wrote to `path`."""
        return cls._of(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def _of(cls, content: dict[str, Any]) -> "Styles":
        variants = cls._of(content["variants"]) if "variants" in content else None
        return cls(tuple(content["names"]), np.array(content["weights"]), np.array(content["biases"]), variants)


def describe_covers(rows: datasets.Dataset, image_column: str) -> np.ndarray:
    """Encoded covers -> descriptions (N, 1328). ValueError for an unreadable one."""
    backbone = EfficientNetLite()
    found = []
    for start in tqdm(range(0, len(rows), BATCH_SIZE), desc="describing covers", unit="batch"):
        pictures = rows[start : start + BATCH_SIZE][image_column]
        pixels = torch.from_numpy(np.stack([decode(read_bytes(picture), RESOLUTION) for picture in pictures]))
        found.append(describe(backbone, to_unit_range(pixels)))
    return np.concatenate(found)


@torch.inference_mode()
def describe(backbone: EfficientNetLite, images: Tensor) -> np.ndarray:
    """Images (B, 3, H, W) in [-1, 1] -> descriptions, (B, 1280 + 48) float32.

    The mean last layer of `backbone` at unit length, and a 4x4 colour thumbnail at half that length.
    """
    size = (FEATURE_SIZE, FEATURE_SIZE)
    features = backbone.summary(backbone(F.interpolate(images, size=size, mode="bilinear", align_corners=False)))
    colours = F.adaptive_avg_pool2d(images, COLOUR_SIZE).flatten(1)
    return torch.cat([F.normalize(features), COLOUR_WEIGHT * F.normalize(colours)], 1).numpy()


def find_styles(descriptions: np.ndarray, count: int = 32, smallest: int = 150, seed: int = 0) -> Styles:
    """Cluster descriptions (N, D) into `count` styles, named "style 01" and so on, by k-means on principal components.

    Of several seeded starts, uses the tightest whose smallest cluster has at least `smallest` covers; ValueError if
    there is none.
    """
    mean, axes = mean_and_axes(descriptions)
    points = (descriptions - mean) @ axes
    centres, size = tightest(points, count, smallest, seed)
    if centres is None:
        raise ValueError(
            f"{count} styles must have {smallest} covers each, but of {len(points)} covers the smallest cluster has "
            f"{size} at best; use fewer styles or a smaller minimum"
        )
    return by_nearest_centre(tuple(f"style {number:02d}" for number in range(1, count + 1)), centres, mean, axes)


def find_variants(styles: Styles, descriptions: np.ndarray, size: int = VARIANT_SIZE) -> Styles:
    """`styles` with variants: each style's covers among descriptions (N, D), clustered again.

    A variant has about `size` covers and at least a quarter of that; a style of too few is one variant.
    """
    mean, axes = mean_and_axes(descriptions)
    points, own = (descriptions - mean) @ axes, styles.of(descriptions)
    names: list[str] = []
    centres = []
    for number, name in enumerate(styles.names):
        covers = points[own == number]
        for count in range(round(len(covers) / size), 1, -1):
            found, _ = tightest(covers, count, math.ceil(size / 4), seed=number)
            if found is not None:
                break
        else:
            found = covers.mean(0, keepdims=True) if len(covers) else np.zeros((1, points.shape[1]))
        names += [f"{name} {variant}" for variant in range(1, len(found) + 1)]
        centres.append(found)
    return replace(styles, variants=by_nearest_centre(tuple(names), np.concatenate(centres), mean, axes))


def mean_and_axes(descriptions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions (N, D) -> their mean (D,), and their first principal axes, of unit length, (D, COMPONENTS)."""
    _, axes = np.linalg.eigh(np.cov(descriptions, rowvar=False))
    return descriptions.mean(0), axes[:, ::-1][:, :COMPONENTS]  # eigh sorts in ascending order


def by_nearest_centre(names: tuple[str, ...], centres: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> Styles:
    """Styles that score highest at the nearest of `centres` (K, COMPONENTS), along the axes of `mean_and_axes`."""
    # The nearest centre c of a point Ax is that with the largest Ax.c - c.c / 2.
    weights = centres @ axes.T
    return Styles(names, weights, -weights @ mean - (centres**2).sum(1) / 2)


def tightest(points: np.ndarray, count: int, smallest: int, seed: int) -> tuple[np.ndarray | None, int]:
    """The centres (count, D) of the tightest of several clusterings of points (N, D), and its smallest cluster's size.

    None, and the largest such size, if none of them has at least `smallest` points in each cluster.
    """
    found = [k_means(points, count, np.random.default_rng([seed, start])) for start in range(STARTS)]
    sizes = [int(np.bincount(nearest, minlength=count).min()) for _, nearest, _ in found]
    fitting = [number for number, size in enumerate(sizes) if size >= smallest]
    if not fitting:
        return None, max(sizes)
    best = min(fitting, key=lambda number: found[number][2])
    return found[best][0], sizes[best]


def k_means(points: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Points (N, D) -> centres (count, D), the nearest centre of each point (N,), mean squared distance.

    Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007). scikit-learn would be a dependency just for this.
    """
    centres = points[rng.integers(len(points), size=1)]
    while len(centres) < count:
        distances = squared_distances(points, centres).min(1)
        centres = np.concatenate([centres, points[rng.choice(len(points), 1, p=distances / distances.sum())]])
    nearest = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        distances = squared_distances(points, centres)
        before, nearest = nearest, distances.argmin(1)
        if (before == nearest).all():
            break
        members = [points[nearest == number] for number in range(count)]
        centres = np.stack([m.mean(0) if len(m) else c for m, c in zip(members, centres, strict=True)])
    return centres, nearest, float(distances.min(1).mean())


def squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N, D), (K, D) -> (N, K), none below 0."""
    products = points @ centres.T
    return ((points**2).sum(1)[:, None] - 2 * products + (centres**2).sum(1)).clip(min=0)


def rename(styles: Styles, names: Sequence[str]) -> Styles:
    """The same styles with new `names`, and without variants; ValueError unless there is a distinct one for each."""
    if len(set(names)) != len(styles.names):
        raise ValueError(f"names must be {len(styles.names)}, all different, got {len(set(names))}")
    return Styles(tuple(names), styles.weights, styles.biases)
