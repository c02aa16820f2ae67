"""The metrics of a model, each with one name, scale and explanation wherever it is shown.

Files (evaluation.json, log.jsonl) hold unscaled numbers by key; code that displays one gets its name and scale here.
The ruler lists kernel distances of known pictures, for comparison.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BUNDLED = Path(__file__).parent.parent / "pretrained" / "evaluation.json"
COMMON_SPACE = "efficientnet-lite2"  # used to evaluate runs during training


@dataclass(frozen=True)
class Measure:
    """A metric: `key` in files, display `name`, what it `means`, and the `scale` that multiplies displayed values."""

    key: str
    name: str
    means: str
    scale: float = 1

    def show(self, value: float) -> str:
        """The scaled number, to three digits: "7.66"."""
        scaled = value * self.scale
        return f"{scaled:.3g}" if abs(scaled) < 100 else f"{scaled:,.0f}"


MEASURES = {
    measure.key: measure
    for measure in (
        Measure(
            "kid", "kernel distance x 1,000",
            "distance of samples from covers never used in training: lower is better", 1_000,
        ),
        Measure("kid_floor", "kernel distance x 1,000 of real covers",
                "between random halves of the held-out covers, 0 on average; its std is chance, with as many covers "
                "as are compared", 1_000),
        Measure("recall", "recall",
                "share of held-out covers that some sample resembles: diversity; compare with training covers"),
        Measure("precision", "precision",
                "share of samples that resemble a held-out cover: fidelity; compare with training covers"),
        Measure("density", "density", "like precision, but counts how many held-out covers a sample resembles"),
        Measure("coverage", "coverage", "share of held-out covers with a sample in their neighbourhood"),
        Measure("near_duplicates", "near-duplicates", "share of samples that nearly repeat another sample"),
        Measure("diversity", "distance of covers from each other",
                "relative to real covers: below 0.3 is mode collapse"),
        Measure("nearest_training_cover", "distance to the nearest training cover",
                "relative to held-out covers: below 1 suggests reliance on training covers, below 0.5 copying"),
        Measure("closer_than_any_held_out", "closer to a training cover than any held-out cover",
                "share of samples: a few are chance, many are copies"),
    )
}  # fmt: skip
KERNEL_DISTANCE = MEASURES["kid"]

# Kernel distances (unscaled) to the held-out covers at 128 px, 100 against 100, mean of 50 draws. The sheet is that of
# DCGAN's authors (benchmarks/against_newmu.py); noise is uniform random pixels.
SHEET, NOISE = "DCGAN's authors' sheet", "noise"
KNOWN = {
    "efficientnet-lite2": {SHEET: 0.0619, NOISE: 0.336},
    "stlpips-vgg": {SHEET: 1.40e-5, NOISE: 7.00e-4},
}


@cache
def ruler(space: str = COMMON_SPACE) -> dict[str, float]:
    """Kernel distances of known pictures in a feature space, smallest first; empty for an unknown space.

    That of the bundled model is from its evaluation.json. The estimates are unbiased: that of real covers is 0 on
    average, and in a space that discriminates poorly a model's may be below 0.
    """
    if space not in KNOWN:
        return {}
    bundled = json.loads(BUNDLED.read_text(encoding="utf-8"))["spaces"][space]
    known = {"real covers": 0.0, "bundled": bundled["kid_of_draws"], **KNOWN[space]}
    return dict(sorted(known.items(), key=lambda mark: mark[1]))


def ruler_line(space: str = COMMON_SPACE) -> str:
    """The ruler as one line: "real covers 0, bundled 3.84, ..."."""
    return ", ".join(f"{name} {KERNEL_DISTANCE.show(value)}" for name, value in ruler(space).items())
