"""The result of a training step, for monitoring."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class StepResult:
    """Loss terms, scores, real images and waiting time of a step."""

    discriminator_terms: dict[str, Tensor]
    generator_terms: dict[str, Tensor]
    scores: list[Any]  # the discriminator's, for real and fake images of each part
    real: list[Tensor] = field(default_factory=list)  # images (B, 3, R, R) of each discriminator update
    seconds_waited: float = 0.0  # spent waiting for data

    def terms(self) -> dict[str, Tensor]:
        """All terms, with their names in the log."""
        sides = {"discriminator": self.discriminator_terms, "generator": self.generator_terms}
        return {f"{side}/{name}": term for side, terms in sides.items() for name, term in terms.items()}


def mean_terms(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Means of the loss terms of a batch's parts."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.stack([terms[name].detach() for terms in parts]).mean() for name in parts[0]}
