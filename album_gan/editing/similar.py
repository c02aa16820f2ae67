"""More like this: seeds whose covers are near another's, each with a name of its own by which it is found again.

Two steps, because either alone disappoints: of many seeds those with the nearest latents, which share composition
and motif in parts; then, of their covers, those that look most alike from afar.
"""

import threading
from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image

from ..inference.latents import latents_of
from ..inference.pipeline import AlbumCoverPipeline

POOL = 32_768  # seeds from 0 on
CANDIDATES = 40  # are drawn and looked at
AFAR = 8  # pixels a side at which covers are compared


class Neighbours:
    """Neighbours among the covers of one model."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        self._once = threading.Lock()

    def of(self, seed: int, count: int, draw: Callable[[list[int]], list[Image.Image]] | None = None) -> list[int]:
        """The `count` (at most 40) nearest seeds, nearest first, without the seed itself.

        `draw` makes covers of seeds, for who keeps them; by default the pipeline draws.
        """
        draw = draw or (lambda seeds: self.pipe(seeds=seeds).images)
        pool = self.prepare()
        likeness = pool @ _directions(latents_of([seed], pool.shape[1]))[0]
        near = [int(other) for other in np.argsort(-likeness)[: CANDIDATES + 1] if other != seed][:CANDIDATES]
        here, *there = (_from_afar(image) for image in draw([seed, *near]))
        order = np.argsort([np.abs(other - here).mean() for other in there], kind="stable")
        return [near[i] for i in order[:count]]

    def prepare(self) -> np.ndarray:
        """Work out the pool, if nobody did: a second's work that the first question need not wait for."""
        with self._once:
            return self._pool

    @cached_property
    def _pool(self) -> np.ndarray:
        return _directions(latents_of(range(POOL), self.pipe.generator.config.latent_dim))


def _directions(latents: np.ndarray) -> np.ndarray:
    return latents / np.linalg.norm(latents, axis=1, keepdims=True)


def _from_afar(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((AFAR, AFAR), Image.Resampling.BOX), np.float32)
