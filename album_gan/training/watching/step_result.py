"""What a training step reports to whoever watches."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class StepResult:
    """What happened in a step."""

    discriminator_terms: dict[str, Tensor]
    generator_terms: dict[str, Tensor]
    scores: list[Any]  # the discriminator's of real and fake images, for each part
    real: list[Tensor] = field(default_factory=list)  # images (B, 3, R, R) of each discriminator update
    seconds_waited: float = 0.0  # for data

    def terms(self) -> dict[str, Tensor]:
        """All terms under the names that the log has."""
        sides = {"discriminator": self.discriminator_terms, "generator": self.generator_terms}
        return {f"{side}/{name}": term for side, terms in sides.items() for name, term in terms.items()}
