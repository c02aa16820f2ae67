"""More like this: seeds with covers similar to a given seed's.

In two steps, because either one alone gives poor results: first the seeds with the nearest latents, which partly share
composition and motif; then, among their covers, the most similar thumbnails.
"""

import threading
from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image

from ..inference.latents import latents_of
from ..inference.pipeline import AlbumCoverPipeline

POOL = 32_768  # seeds from 0 on
CANDIDATES = 40  # covers that are drawn and compared
THUMBNAIL = 8  # side, in pixels, at which covers are compared


class Neighbours:
    """Nearest neighbours among the covers of one model. Thread-safe."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        self._once = threading.Lock()

    def of(self, seed: int, count: int, draw: Callable[[list[int]], list[Image.Image]] | None = None) -> list[int]:
        """The `count` (at most 40) most similar seeds, most similar first, without the seed itself.

        `draw` returns covers of seeds, for callers that cache them; by default the pipeline draws.
        """
        draw = draw or self._draw
        pool = self.prepare()
        similarity = pool @ _directions(latents_of([seed], pool.shape[1]))[0]
        near = [int(other) for other in np.argsort(-similarity)[: CANDIDATES + 1] if other != seed][:CANDIDATES]
        own, *others = (_thumbnail(image) for image in draw([seed, *near]))
        order = np.argsort([np.abs(other - own).mean() for other in others], kind="stable")
        return [near[i] for i in order[:count]]

    def _draw(self, seeds: list[int]) -> list[Image.Image]:
        return self.pipe(seeds=seeds).images

    def prepare(self) -> np.ndarray:
        """Compute the pool unless it exists. It takes a second, which can be spent before the first query."""
        with self._once:
            return self._pool

    @cached_property
    def _pool(self) -> np.ndarray:
        return _directions(latents_of(range(POOL), self.pipe.generator.config.latent_dim))


def _directions(latents: np.ndarray) -> np.ndarray:
    return latents / np.linalg.norm(latents, axis=1, keepdims=True)


def _thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32)
