"""A discriminator's score of a picture, and how it breaks down by position.

A projected discriminator scores patches: its heads give a map of scores at each of four scales. One like DCGAN's ends
in a fully connected layer over a 4 x 4 map, so its score is exactly a sum over positions. Others give a single score.
"""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from ..inference.inside import square_tensor
from .trace import trace

WHOLE = "the whole picture"
SCALE_NAMES = ("fine texture", "edges", "parts", "composition")


@dataclass(frozen=True)
class Scale:
    """Scores by position, as rows from the top left; above 0 looks real.

    They are scores of overlapping patches, or terms that add up to the picture's score.
    """

    name: str
    scores: list[list[float]]

    @property
    def mean(self) -> float:
        """Mean score over all positions."""
        return sum(map(sum, self.scores)) / sum(map(len, self.scores))


@dataclass(frozen=True)
class Verdict:
    """`score` is the one used in training, the mean over all patches; above 0 means that the picture looks real."""

    score: float
    scales: list[Scale]

    def as_json(self) -> dict[str, Any]:
        """The scores, rounded."""
        scales = [
            {"name": s.name, "mean": round(s.mean, 3), "scores": [[round(v, 3) for v in row] for row in s.scores]}
            for s in self.scales
        ]
        return {"score": round(self.score, 4), "scales": scales}


class Critic:
    """A discriminator that scores one picture at a time, in a batch with a few fixed generated covers (B, 3, R, R)."""

    def __init__(self, discriminator: nn.Module, companions: Tensor):
        self.network: Any = discriminator
        self.companions = companions
        self.resolution = companions.shape[-1]
        self.patches = hasattr(discriminator, "heads")
        self._features: list[Tensor] | None = None  # of the companions

    @torch.no_grad()
    def judge(self, picture: Image.Image) -> Verdict:
        """The verdict on a picture, which is cropped to a square and resized to the covers' resolution first."""
        return self.judge_tensor(square_tensor(picture, self.resolution))

    @torch.no_grad()
    def judge_tensor(self, image: Tensor) -> Verdict:
        """The verdict on (1, 3, R, R) in [-1, 1]."""
        return self._by_patches(image) if self.patches else self._by_places(image)

    def _by_patches(self, image: Tensor) -> Verdict:
        if self._features is None:
            self._features = self.network.features(self.companions)
        both = [torch.cat(pair) for pair in zip(self.network.features(image), self._features, strict=True)]
        maps = [logits[0, 0].float() for logits in self.network.score_maps(self.network.hidden(both))]
        scales = [Scale(_name(place), logits.tolist()) for place, logits in enumerate(maps)]
        return Verdict(float(torch.cat([logits.flatten() for logits in maps]).mean()), scales)

    def _by_places(self, image: Tensor) -> Verdict:
        traced = trace(self.network, torch.cat([image, self.companions]))
        score, last = float(traced.output[0].mean()), traced.steps[-1]
        maps = next((step for step in reversed(traced.steps) if len(step.output) == 3), None)
        weights = last.arguments["weight"][0] if last.kind.name == "fully connected" else torch.empty(0)
        if maps is None or maps.value is None or len(weights) < maps.value[0].numel():
            return Verdict(score, [Scale(WHOLE, [[score]])])
        features = maps.value[0]
        shares = (features.flatten() * weights[: features.numel()]).view(features.shape).sum(0)
        # Terms without a position (the bias, a comparison with the batch) are spread over all positions.
        shares = shares + (score - shares.sum()) / shares.numel()
        return Verdict(score, [Scale(WHOLE, shares.tolist())])


def _name(place: int) -> str:
    network, scale = divmod(place, len(SCALE_NAMES))
    return SCALE_NAMES[scale] + (", second network" if network else "")
