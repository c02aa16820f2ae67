"""The model as the page uses it: covers at URLs, drawn together and kept; and the limits of a public page."""

import functools
import html
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from album_gan import AlbumCoverPipeline
from album_gan.latents import (
    DEFAULT_TRUNCATION,
    MAX_TRUNCATION,
    name_of,
    parse_seeds,
    seed_for_any_text,
    seed_of,
)
from album_gan.pictures import save_png

MAX_COVERS = 64  # a call
MAX_FRAMES = 240
MAX_SIZE = 2048
TOGETHER = 16  # covers drawn in one batch
KEPT = 2_000  # covers in memory, some 30 KB each


class Studio:
    """One model, drawing one batch at a time: torch uses every core, so two at once would be slower."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        self.drawing = threading.Lock()
        self._books = threading.Lock()  # guards the two below
        self._kept: OrderedDict[tuple[int, float], Future] = OrderedDict()
        self._waiting: dict[tuple[int, float], Future] = {}

    def pngs(self, seeds: list[int], truncation: float) -> list[bytes]:
        """Covers as PNG files with their settings inside.

        Whoever gets to draw draws for all who wait, so that a crowd of phones costs a few batches.
        """
        futures = [self._ask((seed, truncation)) for seed in seeds]
        for future in futures:
            while not future.done():
                with self.drawing:
                    if not future.done():
                        self._draw_waiting()
        return [future.result() for future in futures]

    def _ask(self, cover: tuple[int, float]) -> Future:
        with self._books:
            if cover not in self._kept:
                self._kept[cover] = self._waiting[cover] = Future()
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(cover)
            return self._kept[cover]

    def _draw_waiting(self) -> None:
        with self._books:
            truncation = next(iter(self._waiting))[1]
            covers = [cover for cover in self._waiting if cover[1] == truncation][:TOGETHER]
            futures = [self._waiting.pop(cover) for cover in covers]
        try:
            images = self.pipe(seeds=[seed for seed, _ in covers], truncation=truncation).images
            with tempfile.TemporaryDirectory() as folder:
                for (seed, _), image, future in zip(covers, images, futures, strict=True):
                    file = Path(folder) / "cover.png"
                    save_png(image, file, self.pipe.settings(seed, truncation))
                    future.set_result(file.read_bytes())
        except Exception as error:
            with self._books:
                for cover in covers:
                    self._kept.pop(cover, None)
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    def frames(self, seeds: list[int], frames: int, loop: bool, truncation: float) -> Iterator[Image.Image]:
        """`pipe.interpolate`, letting covers be drawn between two batches of frames."""
        with self.drawing:
            way = self.pipe.interpolate(seeds, frames=frames, loop=loop, truncation=truncation)

        def draw() -> Iterator[Image.Image]:
            while True:
                with self.drawing:
                    frame = next(way, None)
                if frame is None:
                    return
                yield frame

        return draw()

    def routes(self) -> list[Route]:
        """cover/SEED.png?truncation=&model=: a cover never changes, so browsers may keep it."""

        def cover(request: Request) -> Response:
            try:
                seed = seed_of(request.path_params["seed"])
                truncation = check_truncation(request.query_params.get("truncation", DEFAULT_TRUNCATION))
            except ValueError as error:
                return PlainTextResponse(str(error), 404)
            if request.query_params.get("model", self.pipe.fingerprint) != self.pipe.fingerprint:
                return PlainTextResponse(f"this page draws with model {self.pipe.fingerprint}; reload it", 404)
            [png] = self.pngs([seed], truncation)
            return Response(png, media_type="image/png", headers={"Cache-Control": "public, max-age=604800"})

        return [Route("/cover/{seed}.png", cover)]

    def save(self, seeds: list[int], truncation: float) -> list[str]:
        """Covers as PNG files that gradio hands out and deletes within the hour; names as file names."""
        folder = scratch()
        files = [folder / f"{name_of(seed)}.png" for seed in seeds]
        for file, png in zip(files, self.pngs(seeds, truncation), strict=True):
            file.write_bytes(png)
        return [str(file) for file in files]


def scratch() -> Path:
    """A new folder inside gradio's cache, whose files gradio serves once returned, and deletes when old."""
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache))


def check_truncation(value: str | float) -> float:
    """0 to 1.5 in hundredths; ValueError otherwise."""
    try:
        truncation = round(float(value), 2)
    except (TypeError, ValueError):
        truncation = float("nan")
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation must be from 0 to {MAX_TRUNCATION}, got {str(value)[:20]!r}; 1 is plain")
    return truncation


def check_seeds(text: str) -> list[int]:
    """ "1,2,7-9" or names -> up to 64 seeds; ValueError otherwise."""
    seeds = parse_seeds(text or "")
    if len(seeds) > MAX_COVERS:
        raise ValueError(f"seeds must be at most {MAX_COVERS} a call, got {len(seeds)}; ask in several calls")
    return seeds


def seeds_of_anything(text: str) -> list[int]:
    """As `check_seeds`, but an item that is neither seed, range nor name chooses a seed by its words."""
    items = [item for item in (text or "").split(",") if item.strip()]
    exact = [item if re.fullmatch(r"[\d\s-]+", item) else str(seed_for_any_text(item)[0]) for item in items]
    return check_seeds(",".join(exact)) if exact else []


def told(handler):
    """Show a handler's ValueError to the person at the page or the API as one clear line."""

    @functools.wraps(handler)
    def wrapped(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except ValueError as error:
            # The page shows messages as HTML, and they quote what was typed.
            raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from error

    return wrapped
