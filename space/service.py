"""What the page does with the model: covers, films, edits and enlargements. Independent of gradio and routes.

Covers are drawn by `cover_queue.py`; expensive jobs go through `job_queue.py`. Both take the `PriorityLock` each time
they use a network, so the presenter's covers come first.
"""

import functools
import io
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import torch
from PIL import Image
from starlette.requests import HTTPConnection

from album_gan import AlbumCoverPipeline
from album_gan.editing.directions import ATTRIBUTES, Editor
from album_gan.editing.similar import Neighbours
from album_gan.editing.typography import set_type
from album_gan.inference.finding import Found, find
from album_gan.inference.latents import truncate
from album_gan.inference.pixels import file_names, grid, png_bytes
from album_gan.inference.upscaling import enlarge, find_engine, upscale
from album_gan.media.image_files import print_png
from album_gan.media.video import write_animation
from album_gan.runtime import choose_device
from album_gan.space.client import Client, PresenterKey, address_of, presenter_keys
from album_gan.space.cover_queue import ANYBODY, BATCH_SIZE, CoverQueue
from album_gan.space.drawing_order import Lane, PriorityLock
from album_gan.space.job_queue import JobQueue
from album_gan.space.shared_results import SharedResults
from album_gan.space.temp_files import new_folder
from album_gan.space.validation import Cover

FPS = 30
STRENGTHS = (-3.0, -1.5, 0.0, 1.5, 3.0)  # of edits, on a sheet
FILM_FRAMES = 90  # between two covers on stage; longer films are large jobs
MAX_CACHED_FILMS = 48  # about 200 KB each
MAX_CACHED_LARGE = 64  # for the screen, about 150 KB each

ZERO_GPU = bool(os.environ.get("SPACES_ZERO_GPU"))
LENT_FOR = 60  # seconds, at most, for which a ZeroGPU Space lends its GPU
REFUSED_FOR = 60.0  # seconds until it is asked for again


class CoverService:
    """One model on one device. All methods are thread-safe."""

    def __init__(self, pipe: AlbumCoverPipeline, device: str | None = None):
        """`device` as in `choose_device`; all networks are moved there once."""
        self.pipe = pipe.to("cpu" if ZERO_GPU else choose_device(device))
        self.presenter = PresenterKey()
        self.lock = PriorityLock()
        self.jobs = JobQueue()
        self.editor = Editor(pipe)
        self.neighbours = Neighbours(pipe)
        self.covers = CoverQueue(
            drawing_function(pipe), lambda image, cover: png_bytes(image, pipe.settings(*cover)), self.lock
        )
        self._films = SharedResults(MAX_CACHED_FILMS)
        self._large = SharedResults(MAX_CACHED_LARGE)

    def client(self, request: HTTPConnection) -> Client:
        """The client of a request; in the presenter's lane with her key. Raises TooManyKeysError."""
        address = address_of(request)
        return Client(address, self.presenter.lane(presenter_keys(request), address))

    # Covers ----------------------------------------------------------------------------------------------------

    def pngs(self, covers: Iterable[Cover], client: Client = ANYBODY, kind: str = "cover") -> list[bytes]:
        """PNG files with embedded settings, in memory. Raises QueueFullError."""
        return [future.result() for future in self.covers.request(covers, client, kind)]

    def images(self, covers: Iterable[Cover], client: Client = ANYBODY, kind: str = "cover") -> list[Image.Image]:
        """Covers as RGB pictures. Raises QueueFullError."""
        return [Image.open(io.BytesIO(png)).convert("RGB") for png in self.pngs(covers, client, kind)]

    def similar(self, cover: Cover, count: int, client: Client = ANYBODY) -> list[int]:
        """The seeds of `count` covers that look like this one."""

        def draw(seeds: list[int]) -> list[Image.Image]:
            return self.images([cover._replace(seed=seed, typed="") for seed in seeds], client, "similar")

        return self.neighbours.of(cover.seed, count, draw)

    def save(self, covers: list[Cover], client: Client = ANYBODY) -> list[str]:
        """Write PNG files named after the covers; returns their paths. Raises QueueFullError, OSError."""
        pngs = self.pngs(covers, client)
        folder = new_folder()
        files = [folder / f"{name}.png" for name in file_names(cover.name for cover in covers)]
        for file, png in zip(files, pngs, strict=True):
            file.write_bytes(png)
        return [str(file) for file in files]

    # Edits -----------------------------------------------------------------------------------------------------

    def edit(self, cover: Cover, amounts: dict[str, float], style: int | None, lane: Lane) -> Image.Image:
        """The cover edited by `amounts`, with the colours and textures of the seed `style` if given."""
        with self.lock.hold(lane):
            stems = self.editor.edit(self.pipe.stems_of([cover.seed], cover.label), amounts)
            if style is None:
                return self.pipe(stems=stems, truncation=cover.truncation).images[0]
            both = (stems, self.pipe.stems_of([style], cover.label))
            return self.editor.mix(*(truncate(one, self.pipe.generator.stem_mean, cover.truncation) for one in both))[0]

    def sheet(self, cover: Cover, lane: Lane) -> Image.Image:
        """The cover along each attribute, one row per attribute, from less to more."""
        rows = []
        for name in ATTRIBUTES:
            with self.lock.hold(lane):
                stems = self.pipe.stems_of([cover.seed], cover.label)
                edited = [self.editor.edit(stems, {name: amount}) for amount in STRENGTHS]
                rows += self.pipe(stems=torch.cat(edited), truncation=cover.truncation).images
        return grid(rows, len(STRENGTHS))

    def sum(self, a: Cover, b: Cover, c: Cover, lane: Lane) -> Image.Image:
        """A - B + C of stems."""
        with self.lock.hold(lane):
            stem = [self.pipe.stems_of([cover.seed], cover.label) for cover in (a, b, c)]
            return self.pipe(stems=stem[0] - stem[1] + stem[2], truncation=a.truncation).images[0]

    def find(self, picture: Image.Image, lane: Lane) -> Found:
        """`pipe.find`; it takes seconds, and releases the lock between its steps."""
        generator = LockedGenerator(self.pipe.generator, self.lock, lane)
        return find(self.pipe, picture, generator=generator)

    # Films -----------------------------------------------------------------------------------------------------

    def frames(
        self,
        seeds: list[int],
        frames: int,
        loop: bool,
        truncation: float,
        label: str | None,
        lane: Lane,
        size: int | None = None,
    ) -> Iterator[Image.Image]:
        """`pipe.interpolate`, holding the lock for a few frames at a time, or per tile if enlarged to `size` pixels.

        Raises ValueError immediately.
        """
        with self.lock.hold(lane):
            path = self.pipe.interpolate(seeds, frames, loop, truncation, BATCH_SIZE, label)

        def draw() -> Iterator[Image.Image]:
            while True:
                with self.lock.hold(lane):
                    some = [frame for _, frame in zip(range(BATCH_SIZE), path, strict=False)]
                yield from some
                if len(some) < BATCH_SIZE:
                    return

        return draw() if size is None else (self.enlarge(frame, size, None, lane) for frame in draw())

    def film(self, first: Cover, last: Cover, client: Client = ANYBODY) -> Future:
        """A future mp4 that morphs one cover into another, drawn once for all requests. Raises QueueFullError."""
        return self._films.get(
            (first, last),
            client.lane,
            lambda: self.jobs.submit(client, "film", self._draw_film, first, last, client.lane),
        )

    def _draw_film(self, first: Cover, last: Cover, lane: Lane) -> bytes:
        frames = self.frames([first.seed, last.seed], FILM_FRAMES, False, first.truncation, first.label, lane)
        with tempfile.TemporaryDirectory() as folder:
            write_animation(frames, Path(folder) / "film.mp4", FPS)
            return (Path(folder) / "film.mp4").read_bytes()

    # Enlargements ----------------------------------------------------------------------------------------------

    @property
    def engines(self) -> list[str]:
        """Names of the upscalers available with this model."""
        return ["bundled", "lanczos"] if self.pipe.upscaler is not None else ["lanczos"]

    def enlarge(self, image: Image.Image, size: int, engine: str | None, lane: Lane) -> Image.Image:
        """`upscaling.upscale`, holding the lock for one tile at a time. Raises the same ValueErrors."""
        engine = engine or self.engines[0]
        if engine not in self.engines:
            raise ValueError(f"engine must be one of {', '.join(self.engines)}, got {str(engine)[:40]!r}")
        if engine == "bundled":
            network = LockedNetwork(self.pipe.upscaler, self.lock, lane)
            return upscale(image, size, functools.partial(enlarge, network))
        return upscale(image, size, find_engine(engine))

    def large_cover(
        self, cover: Cover, size: int, words: tuple[str, str, str], extension: str, client: Client = ANYBODY
    ) -> Future:
        """A future PNG or WebP of an enlarged cover, drawn once for all requests; `words` are title, artist and layout.

        Raises QueueFullError.
        """
        return self._large.get(
            (cover, size, words, extension),
            client.lane,
            lambda: self.jobs.submit(client, "enlarge", self._draw_large_cover, cover, size, words, extension, client),
        )

    def _draw_large_cover(
        self, cover: Cover, size: int, words: tuple[str, str, str], extension: str, client: Client
    ) -> bytes:
        [small] = self.images([cover], client)
        image = set_type(self.enlarge(small, max(size, *small.size), None, client.lane), *words)
        return encode(image, extension, self.pipe.settings(*cover))


def drawing_function(pipe: AlbumCoverPipeline) -> Callable[[list[int], float, str | None], list[Image.Image]]:
    """A function that draws covers: on a ZeroGPU Space on the lent GPU, or on the CPU while none is lent.

    Batches serve many visitors, so they use the Space's own quota, which is soon used up. After a refusal the GPU is
    not asked for again for `REFUSED_FOR` seconds.
    """

    def draw(seeds: list[int], truncation: float, label: str | None) -> list[Image.Image]:
        return pipe(seeds=seeds, truncation=truncation, label=label).images

    def draw_on_gpu(*settings) -> list[Image.Image]:
        pipe.to("cuda")  # in a process of its own: the page's networks stay where they are
        return draw(*settings)

    if not ZERO_GPU:
        return draw
    import spaces

    lent = spaces.GPU(duration=LENT_FOR)(draw_on_gpu)  # only decorated functions get the GPU

    refused = -math.inf

    def draw_somewhere(*settings) -> list[Image.Image]:
        nonlocal refused
        if time.monotonic() - refused > REFUSED_FOR:
            try:
                return lent(*settings)
            except Exception as error:  # of many classes; if the GPU is not at fault, the CPU raises it again
                refused = time.monotonic()
                print(f"drawing on the CPU for a while: {type(error).__name__}: {error}", file=sys.stderr)
        return draw(*settings)

    return draw_somewhere


class LockedNetwork:
    """An upscaling network that holds the lock for each tile."""

    def __init__(self, network, lock: PriorityLock, lane: Lane):
        self.network, self.lock, self.lane = network, lock, lane
        self.reach, self.device, self.dtype = network.reach, network.device, network.dtype

    def eval(self):
        """Put the network into evaluation mode."""
        self.network.eval()

    def __call__(self, tile):
        """Enlarge one tile while holding the lock."""
        with self.lock.hold(self.lane):
            return self.network(tile)


class LockedGenerator:
    """A generator that holds the lock for each batch."""

    def __init__(self, network, lock: PriorityLock, lane: Lane):
        self.network, self.lock, self.lane = network, lock, lane
        self.config, self.device, self.dtype = network.config, network.device, network.dtype

    def paint(self, stems):
        """Draw a batch while holding the lock."""
        with self.lock.hold(self.lane):
            return self.network.paint(stems)


def encode(image: Image.Image, extension: str, settings: dict) -> bytes:
    """WebP for the screen, or a PNG for printing with the settings embedded."""
    if extension == "png":
        return print_png(image, settings)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=88)
    return buffer.getvalue()
