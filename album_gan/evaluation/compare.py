"""Comparing a model with held-out covers: fidelity, diversity, copies and spectra, in `extractors`' feature spaces."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from ..covers.dataset import CoverSource, load_covers
from ..inference.pipeline import AlbumCoverPipeline
from ..metrics.kernel_distance import distances_within, kernel_distance, relative_spread, subset_distances
from ..metrics.precision_recall import distances, mean_distance, near_duplicate_rate, nearest, prdc
from ..metrics.spectrum import octave_differences, radial_spectrum
from .extractors import (
    EXTRACTORS,
    build_extractor,
    cache_file,
    cached_features,
    check_extractor,
    features_of,
    pixels_digest,
)
from .table import SUBSET_DRAWS, check_comparable

COPY_QUANTILE = 0.001  # of the distances between different held-out covers
REPEATED = 0.25  # of the mean distance of held-out covers to training covers: a closer one repeats a training cover
COVERS_PER_UPDATE = 16  # of the progress bar
PROBED = 8  # covers drawn and compared to estimate the time of an evaluation
FEWEST = 4  # samples and held-out covers: precision and recall use the third neighbour
MOST = 10_000  # of both: the matrices of all distances between them take gigabytes


def evaluate(
    model: str,
    source: CoverSource,
    samples: int,
    truncation: float = 1.0,
    extractors: tuple[str, ...] | None = None,
    device: str = "cpu",
    progress: bool = False,
    beside: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Compare a model (bundled, a folder or a Hub id) with the covers of `source`, at the model's resolution.

    At most MOST held-out covers are compared, and copies are looked for among all training covers. Returns what
    `compare` does, and before it the keys `model` (its fingerprint), `resolution` in pixels and `truncation`: the
    content of evaluation.json.
    With `progress`, prints an estimate of the time, and shows a progress bar. `beside` are evaluations of other models,
    by name, to compare the result with. Raises ValueError before the first cover is drawn for unknown extractors, for
    too few samples or held-out covers, for more than MOST samples, and for evaluations `beside` that were measured
    differently.
    """
    for name in extractors or ():
        check_extractor(name)
    check_samples(samples)
    pipeline = AlbumCoverPipeline.from_pretrained(model, device=device)
    resolution = pipeline.generator.config.resolution
    split = load_covers(replace(source, resolution=resolution))
    check_held_out(len(split.held_out), len(split.train))
    held_out = sample_of(split.held_out.all_pixels(), min(len(split.held_out), MOST))
    known: dict[str, Any] = {"samples": samples, "truncation": truncation, "resolution": resolution}
    known |= {"held_out": len(held_out), "held_out_digest": pixels_digest(held_out)}
    for name, other in (beside or {}).items():
        check_comparable(known, other, name)
    training = split.train.all_pixels()
    spaces = extractors or tuple(EXTRACTORS)
    if progress:
        seconds = expected_seconds(pipeline, samples, (held_out, training), spaces, device)
        print(f"drawing {samples:,} covers and comparing them in {' and '.join(spaces)}: about {in_words(seconds)}")
        if len(training) > MOST:
            print(f"copies are looked for among all {len(training):,} training covers, whose features are cached")
    with tqdm(total=samples, desc="drawing", unit="cover", leave=False, disable=not progress) as bar:
        drawn = []
        for start in range(0, samples, COVERS_PER_UPDATE):
            drawn += pipeline(seeds=range(start, min(samples, start + COVERS_PER_UPDATE)), truncation=truncation).images
            bar.update(len(drawn) - bar.n)
        pixels = np.stack([np.asarray(image) for image in drawn])
        bar.set_description("comparing")
        result = {"model": pipeline.fingerprint, "resolution": resolution, "truncation": truncation}
        return result | _compare(pixels, held_out, training, spaces, None, bar, device)


def sample_of(covers: np.ndarray, count: int) -> np.ndarray:
    """`count` of the covers (N, ...), the same ones each time, in order."""
    if count == len(covers):
        return covers
    rng = np.random.Generator(np.random.Philox(key=0))
    return covers[np.sort(rng.choice(len(covers), count, replace=False))]


def expected_seconds(
    pipeline: AlbumCoverPipeline, samples: int, covers: Sequence[np.ndarray], spaces: Sequence[str], device: str
) -> float:
    """Estimate how long `evaluate` takes, from a few covers; cached features take no time."""
    pipeline(seeds=range(PROBED))  # the first ones take longer
    started = time.monotonic()
    probe = np.stack([np.asarray(image) for image in pipeline(seeds=range(PROBED)).images])
    seconds = samples * (time.monotonic() - started) / PROBED
    for name in spaces:
        extractor = build_extractor(name, device)
        features_of(probe[:2], extractor)
        started = time.monotonic()
        features_of(probe, extractor)
        each = (time.monotonic() - started) / PROBED
        seconds += each * (samples + sum(len(some) for some in covers if not cache_file(some, extractor).exists()))
    return seconds


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

    Every kernel distance comes with its floor: the mean between random halves of the held-out covers, and how much
    the distance of real covers varies by chance (std): that between halves, scaled to as many held-out covers and
    samples as are compared (`relative_spread`).
    With `subset`, kernel distance and recall are also averaged over 50 random subsets of this size of each, for
    comparison with the results of a small set.

    Returns:
        `samples`, `held_out`: number of covers compared of each
        `held_out_digest`: `pixels_digest` of the held-out covers
        `subset`: as given
        `spaces`: for each extractor, by its name, the keys of `measures.MEASURES`, unscaled, the last two only with
            `training`, like `precision_of_training`, `recall_of_training` and `coverage_of_training`, of as many
            training covers in place of samples; with `subset` also `kid_of_draws`, `kid_floor_of_draws` and
            `recall_of_draws`, means over the draws. A key with `_spread` behind it is the standard deviation.
        `spectrum_db`: difference of power, samples less held-out covers, in decibels, by octave, such as "16-32" cycles
            per picture
    """
    with tqdm(total=0, desc="comparing", unit="cover", leave=False, disable=not progress) as bar:
        return _compare(samples, held_out, training, extractors, subset, bar, device)


def _compare(
    samples: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray | None,
    extractors: tuple[str, ...],
    subset: int | None,
    bar: tqdm,
    device: str,
) -> dict[str, Any]:
    """As `compare`, with a progress bar over all pictures in all spaces."""
    known = [held_out] if training is None else [held_out, training]
    networks = {name: build_extractor(name, device) for name in extractors}
    for extractor in networks.values():
        bar.total = (
            (bar.total or 0)
            + len(samples)
            + sum(len(some) for some in known if not cache_file(some, extractor).exists())
        )
    bar.refresh()
    result: dict[str, Any] = {"samples": len(samples), "held_out": len(held_out)}
    result |= {"held_out_digest": pixels_digest(held_out), "subset": subset, "spaces": {}}
    for name, extractor in networks.items():
        fake = features_of(samples, extractor, advance=bar.update)
        real, *others = (cached_features(some, extractor, bar.update) for some in known)
        result["spaces"][name] = numbers = in_one_space(fake, real, subset)
        for features in others:
            numbers |= copies(fake, real, features) | of_training(real, features, len(fake))
    real_spectrum, fake_spectrum = radial_spectrum(held_out), radial_spectrum(samples)
    result["spectrum_db"] = octave_differences(real_spectrum, fake_spectrum)
    return result


def in_words(seconds: float) -> str:
    """ "40 s" or "12 minutes"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def check_samples(count: int) -> None:
    """Raise ValueError for too few or too many samples."""
    if not FEWEST <= count <= MOST:
        raise ValueError(f"samples must be from {FEWEST} to {MOST}, got {count}; 2000 is usual")


def check_held_out(count: int, training: int) -> None:
    """Raise ValueError for too few held-out covers."""
    if count < FEWEST:
        raise ValueError(
            f"the data must hold {FEWEST} or more held-out covers to compare with, got {count} among "
            f"{count + training} covers; about one in ten is held out: add covers, 1000 or more for stable numbers"
        )


def in_one_space(fake: np.ndarray, real: np.ndarray, subset: int | None = None) -> dict[str, float]:
    """The numbers of one feature space, for features fake (M, D) and real (N, D)."""
    fake, real = fake.astype(np.float64), real.astype(np.float64)
    rng = np.random.Generator(np.random.Philox(key=0))
    compared = _as_many(real, len(fake), rng)
    floors, half = distances_within(real), len(real) // 2
    numbers: dict[str, Any] = {"kid": kernel_distance(real, fake)}
    to_compared = relative_spread(len(real), len(fake)) / relative_spread(half, half)  # halves vary more than `kid`
    numbers |= {"kid_floor": floors.mean(), "kid_floor_spread": floors.std() * to_compared}
    if subset:
        drawn = subset_distances(real, fake, subset, SUBSET_DRAWS)
        numbers |= {"kid_of_draws": drawn.mean(), "kid_of_draws_spread": drawn.std()}
        floors = distances_within(real, subset)
        numbers |= {"kid_floor_of_draws": floors.mean(), "kid_floor_of_draws_spread": floors.std()}
        recalls = [prdc(rng.choice(real, subset, False), rng.choice(fake, subset, False)).recall
                   for _ in range(SUBSET_DRAWS)]  # fmt: skip
        numbers |= {"recall_of_draws": np.mean(recalls), "recall_of_draws_spread": np.std(recalls)}
    found = prdc(compared, fake[: len(compared)])
    numbers |= {"precision": found.precision, "recall": found.recall}
    numbers |= {"density": found.density, "coverage": found.coverage}
    between = distances(real, real)[np.triu_indices(len(real), 1)]
    numbers["near_duplicates"] = near_duplicate_rate(fake, float(np.quantile(between, COPY_QUANTILE) / 2))
    numbers["diversity"] = mean_distance(fake) / mean_distance(real)
    return {name: float(value) for name, value in numbers.items()}


def _as_many(real: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of the held-out covers, or all: neighbourhoods shrink with their number, so use as many of each."""
    return real[rng.permutation(len(real))[:count]]


def of_training(real: np.ndarray, training: np.ndarray, samples: int) -> dict[str, float]:
    """Precision, recall and coverage of real covers: training covers (M, D) against held-out ones, (N, D).

    Of both, as many as are compared with `samples` samples. They show what samples can reach at best. Empty if there
    are fewer training covers.
    """
    compared = _as_many(real, samples, np.random.Generator(np.random.Philox(key=0)))
    if len(training) < len(compared):
        return {}
    found = prdc(compared.astype(np.float64), sample_of(training, len(compared)).astype(np.float64))
    return {f"{name}_of_training": getattr(found, name) for name in ("precision", "recall", "coverage")}


def copies(fake: np.ndarray, real: np.ndarray, training: np.ndarray) -> dict[str, float]:
    """Distance of samples (M, D) to training covers (T, D), relative to that of held-out covers (N, D) (medians).

    And the fraction of samples that are closer than any held-out cover. A held-out cover that repeats a training cover
    counts as REPEATED times the mean distance away: otherwise no sample would be closer, not even a copy.
    """
    own, _ = nearest(fake, training)
    others, _ = nearest(real, training)
    others = np.maximum(others, REPEATED * others.mean())
    return {
        "nearest_training_cover": float(np.median(own) / np.median(others)),
        "closer_than_any_held_out": float((own < others.min()).mean()),
    }
