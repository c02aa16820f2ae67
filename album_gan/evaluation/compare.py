"""A model against held-out covers: fidelity, diversity, copies and spectra, in the feature spaces of `extractors`."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..covers.dataset import CoverSource, load_covers
from ..inference.pipeline import AlbumCoverPipeline
from ..metrics.kernel_distance import kernel_distance, subset_distances
from ..metrics.precision_recall import coverage, distances, mean_distance, near_duplicate_rate, nearest
from ..metrics.spectrum import octave_differences, radial_spectrum
from .extractors import EXTRACTORS, build_extractor, cached_features, check_extractor, features_of
from .table import SUBSET_DRAWS

COPY_QUANTILE = 0.001  # two different held-out covers are closer than this distance once in a thousand times
FEWEST = 4  # of samples and of held-out covers: precision and recall look at the third neighbour


def evaluate(
    model: str,
    source: CoverSource,
    samples: int,
    truncation: float = 1.0,
    extractors: tuple[str, ...] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Compare a model (bundled, a folder or a Hub id) with the covers of `source`, at the model's resolution.

    Raises ValueError for unknown extractors, and for fewer samples or held-out covers than can be compared.
    """
    for name in extractors or ():
        check_extractor(name)
    check_samples(samples)
    pipeline = AlbumCoverPipeline.from_pretrained(model, device=device)
    resolution = pipeline.generator.config.resolution
    split = load_covers(replace(source, resolution=resolution))
    check_held_out(len(split.held_out), len(split.train))
    drawn = pipeline(seeds=range(samples), truncation=truncation, progress=True).images
    pixels = np.stack([np.asarray(image) for image in drawn])
    result = {"model": pipeline.fingerprint, "truncation": truncation}
    return result | compare(
        pixels, split.held_out.all_pixels(), split.train.all_pixels(), extractors or tuple(EXTRACTORS), device=device
    )


def compare(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray | None = None,
    extractors: tuple[str, ...] = tuple(EXTRACTORS),
    subset: int | None = None,
    progress: bool = True,
    device: str = "cpu",
) -> dict[str, Any]:
    """Compare samples with held-out covers, and with the training covers for copies; all uint8 (N, R, R, 3).

    Every kernel distance comes with its floor: that of one half of the held-out covers against the other.
    With `subset`, kernel distance and recall are also averaged over 50 draws of that many of each, so that results
    can be compared with those of a small set.
    """
    result: dict[str, Any] = {"samples": len(samples), "held_out": len(held_out), "subset": subset, "spaces": {}}
    for name in extractors:
        extractor = build_extractor(name, device)
        label = f"{name}: {{}}" * progress
        fake = features_of(samples, extractor, description=label.format("samples"))
        real = cached_features(held_out, extractor, label.format("held-out covers"))
        result["spaces"][name] = numbers = in_one_space(fake, real, subset)
        if training is not None:
            numbers |= copies(fake, real, cached_features(training, extractor, label.format("training covers")))
    real_spectrum, fake_spectrum = radial_spectrum(held_out), radial_spectrum(samples)
    result["spectrum_db"] = octave_differences(real_spectrum, fake_spectrum)
    return result


def check_samples(count: int) -> None:
    """Raise ValueError for fewer samples than can be compared."""
    if count < FEWEST:
        raise ValueError(f"samples must be {FEWEST} or more, got {count}; 2000 is usual")


def check_held_out(count: int, training: int) -> None:
    """Raise ValueError for fewer held-out covers than can be compared."""
    if count < FEWEST:
        raise ValueError(
            f"the data must hold {FEWEST} or more held-out covers to compare with, got {count} among "
            f"{count + training} covers; about one in ten is held out: add covers, 1000 or more for steady numbers"
        )


def in_one_space(fake: np.ndarray, real: np.ndarray, subset: int | None = None) -> dict[str, float]:
    """The numbers of one feature space, for features fake (M, D) and real (N, D)."""
    fake, real = fake.astype(np.float64), real.astype(np.float64)
    rng = np.random.Generator(np.random.Philox(key=0))
    order = rng.permutation(len(real))
    halves = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    numbers: dict[str, Any] = {"kid": kernel_distance(real, fake), "kid_floor": kernel_distance(*halves)}
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
    """How close samples are to training covers, relative to how close held-out covers are to them (medians)."""
    own, _ = nearest(fake, training)
    others, _ = nearest(real, training)
    return {
        "nearest_training_cover": float(np.median(own) / np.median(others)),
        "closer_than_any_held_out": float((own < others.min()).mean()),
    }
