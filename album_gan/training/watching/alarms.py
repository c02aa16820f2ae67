"""Alarms in plain language: what was seen, what it means, what to try. Pure functions of measurements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...metrics.measures import KERNEL_DISTANCE

RANGE_IMAGES = 1_000  # real images after which the range is checked
HALF_WAY = 0.5
DISTINCT_SHARE = 0.5  # minimum fraction of distinct training covers
DIVERSITY_SHARE = 0.3  # minimum diversity of samples, relative to real covers
COPY_DISTANCE = 0.5  # minimum median distance of samples to training covers, relative to held-out covers
COPY_SHARE = 0.1  # maximum fraction of samples that copy training covers
FALSE_ALARMS = 0.001  # probability, per evaluation, of an alarm about copies for a model that draws new covers
PATIENCE = 3  # evaluations without an improvement
IN_A_ROW = 2  # consecutive evaluations with the discriminator ahead, or a collapse


@dataclass(frozen=True)
class Alarm:
    """What was seen, what it means, what to try; one sentence each."""

    name: str
    saw: str
    means: str
    attempt: str

    def __str__(self) -> str:
        return f"ALARM {self.name}: {self.saw} {self.means} Try: {self.attempt}"


def range_alarm(low: float, high: float, images: int) -> Alarm | None:
    """Real images should fill [-1, 1]; `low` and `high` are the extremes of the first `images` of them."""
    if images < RANGE_IMAGES or (low < -HALF_WAY and high > HALF_WAY):
        return None
    return Alarm(
        "range",
        f"The first {images:,} covers lie in [{low:.2f}, {high:.2f}].",
        "A generator that ends with tanh fills [-1, 1], so the discriminator can spot fakes by their range alone.",
        "look at one of your covers; its darkest pixels should be near 0 and its lightest near 255.",
    )


def repetition_alarm(distinct: int, covers: int) -> Alarm | None:
    """For `distinct` different pictures among `covers`."""
    if distinct > DISTINCT_SHARE * covers:
        return None
    return Alarm(
        "repeated covers",
        f"Only {distinct:,} of {covers:,} training covers differ from each other.",
        "The model can only learn to copy them.",
        "album-gan covers build, which finds duplicates; or add covers.",
    )


def finite_alarm(name: str, value: float) -> Alarm | None:
    """For a loss, or a sum over weights, that is not finite."""
    if math.isfinite(value):
        return None
    return Alarm(
        "nan",
        f"{name} is {value}.",
        "A value overflowed or became NaN, and further steps would spread it, so the run stops here.",
        "resume from the last checkpoint, which is good, with half the learning_rate.",
    )


def unwritten_alarm(error: OSError) -> Alarm:
    """For a checkpoint that could not be written."""
    return Alarm(
        "checkpoint not written",
        f"A checkpoint was not written: {error}.",
        "If the run ended now, its latest steps would be lost.",
        "make room on that disk; the next checkpoint is another attempt.",
    )


def unwritten_file_alarm(error: OSError) -> Alarm:
    """For the log, the page or pictures."""
    return Alarm(
        "log or pictures not written",
        f"A file of this page was not written: {error}.",
        "Training continues, and lines of the log are kept until there is room; missing pictures stay missing.",
        "make room on that disk.",
    )


def unwritten_best_alarm(error: OSError) -> Alarm:
    """For a best model that could not be written."""
    return Alarm(
        "best not written",
        f"The best model so far was not written: {error}.",
        "The folder best/ stays as it was, and only a model better than this one will replace it.",
        "make room on that disk.",
    )


def evaluation_alarms(
    evaluations: Sequence[dict[str, Any]],
    largest_copied: float = COPY_SHARE,
    largest_auc: float | None = None,
    largest_gap: float | None = None,
) -> list[Alarm]:
    """Alarms for the latest of `evaluations`, compared with earlier ones.

    Each has kid, diversity, auc, gap, nearest_training_cover and closer_than_any_held_out, whose limit is
    `largest_copied` (see `copy_limit`). The other limits are the recipe's: a saturating loss saturates if both are
    exceeded; without `largest_auc`, exceeding the gap alone means divergence.
    """
    found = [_ahead(evaluations, largest_auc, largest_gap), _collapse(evaluations)]
    found += [_copies(evaluations[-1], largest_copied), _stalled([evaluation["kid"] for evaluation in evaluations])]
    return [alarm for alarm in found if alarm]


def _ahead(evaluations: Sequence[dict[str, Any]], largest_auc: float | None, largest_gap: float | None) -> Alarm | None:
    latest, row = evaluations[-1], evaluations[-IN_A_ROW:]
    if largest_gap is None:
        return None
    if largest_auc is None and not abs(latest["gap"]) <= largest_gap:
        return Alarm(
            "discriminator ahead",
            f"Its mean scores for real and fake differ by {abs(latest['gap']):.3g}; up to {largest_gap:.3g} is usual.",
            "Its scores diverge, and their gradients are mostly noise to the generator.",
            "a lower learning rate for the discriminator, or a larger batch.",
        )
    won = [one["auc"] > largest_auc and one["gap"] > largest_gap for one in row] if largest_auc is not None else []
    if len(won) == IN_A_ROW and all(won):
        return Alarm(
            "discriminator ahead",
            f"It tells real from fake in {latest['auc']:.1%} of all pairs, with scores {latest['gap']:.3g} apart.",
            "Its loss saturates, so its gradients tell the generator little.",
            "a lower learning rate for the discriminator, more covers, or a recipe with augmentation (projected).",
        )
    return None


def _collapse(evaluations: Sequence[dict[str, Any]]) -> Alarm | None:
    row = evaluations[-IN_A_ROW:]
    if len(row) < IN_A_ROW or not all(one["diversity"] < DIVERSITY_SHARE for one in row):
        return None
    return Alarm(
        "collapse",
        f"Samples of different seeds are {row[-1]['diversity']:.0%} as far apart as real covers.",
        "The generator draws variations of a few covers, whatever the seed, and seldom recovers.",
        "the last checkpoint before this, or best/, with a lower learning_rate, a larger batch, or another recipe.",
    )


def copy_limit(held_out: int, compared: float) -> float:
    """Fraction of samples closer to a training cover than any of `held_out` covers, above which a model copies.

    `compared` is the fraction of the training covers that samples are compared with: copies of the others go unnoticed.
    New covers may be that close by chance: if they are distributed as the n held-out covers are, the fraction that is
    closer than the closest of these is distributed as Beta(1, n), a minimum of n uniform values. The limit is exceeded
    with a probability of FALSE_ALARMS at most. Where a held-out cover repeats a training cover, the fraction is that of
    samples that repeat one (`evaluation.compare.copies`), which few new covers do.
    """
    return max(COPY_SHARE * compared, 1 - FALSE_ALARMS ** (1 / held_out))


def _copies(latest: dict[str, Any], largest: float) -> Alarm | None:
    distance, share = latest.get("nearest_training_cover", 1.0), latest.get("closer_than_any_held_out", 0.0)
    if distance >= COPY_DISTANCE and share <= largest:
        return None
    return Alarm(
        "copies",
        f"Samples are {distance:.0%} as far from training covers as held-out covers are; {share:.1%} are closer "
        "than any of these.",
        "The model copies training covers instead of drawing new ones.",
        "more covers, or fewer steps: best/ may hold an earlier model.",
    )


def _stalled(kids: Sequence[float]) -> Alarm | None:
    if len(kids) <= PATIENCE or min(kids[-PATIENCE:]) < min(kids[:-PATIENCE]):
        return None
    show = KERNEL_DISTANCE.show
    return Alarm(
        "no improvement",
        f"The last {PATIENCE} evaluations ({KERNEL_DISTANCE.name}: {', '.join(map(show, kids[-PATIENCE:]))}) are no "
        f"better than {show(min(kids[:-PATIENCE]))} before.",
        "The run has converged, or has started to diverge.",
        "look at the film strip; then use best/, or continue with a lower learning_rate.",
    )
