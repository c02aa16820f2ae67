"""The model as the page uses it: covers, films and enlargements, drawn in turns and kept for whoever asks next."""

import functools
import hmac
import io
import os
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import torch
from gradio.utils import get_upload_folder
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.editing.directions import Editor
from album_gan.editing.similar import Neighbours
from album_gan.inference.latents import name_of
from album_gan.inference.upscaling import enlarge, find_engine, upscale
from album_gan.media.image_files import save_png
from album_gan.media.video import write_animation
from album_gan.space.priority_lock import Lane, QueueFullError, Turns
from album_gan.space.validation import Cover

TOGETHER = 4  # covers drawn in one batch: the fastest per cover on two cores, and the first are there soon
KEPT = 2_000  # covers in memory, some 30 KB each
KEPT_FILMS = 48  # some 200 KB each
MOST_WAITING = 600  # covers: ten seconds of drawing on two cores
MOST_ENLARGING = 12
FPS = 30
FILM_FRAMES = 90  # from one cover to the next, in Presenting

try:  # on a Space with ZeroGPU a graphics card is lent to what is marked so, for as many seconds
    import spaces

    on_gpu = spaces.GPU(duration=60)
except ImportError:

    def on_gpu(function):
        return function


class Studio:
    """One model. Everything here may be called from any thread."""

    def __init__(self, pipe: AlbumCoverPipeline):
        self.pipe = pipe
        self.turns = Turns()
        self.presenter_key = os.environ.get("ALBUM_GAN_PRESENTER") or secrets.token_hex(4)
        self.neighbours = Neighbours(pipe)
        self._preparing = threading.Lock()
        self._paint = on_gpu(functools.partial(paint, pipe))
        self._books = threading.Condition()  # guards the three below
        self._kept: OrderedDict[Cover, Future] = OrderedDict()
        self._waiting: dict[Lane, OrderedDict[Cover, Future]] = {lane: OrderedDict() for lane in Lane}
        self._films: OrderedDict[tuple, Future] = OrderedDict()
        self._enlarging = threading.BoundedSemaphore(MOST_ENLARGING)
        threading.Thread(target=self._draw_for_ever, daemon=True, name="studio").start()

    def lane(self, key: str | None) -> Lane:
        """The presenter's, for who has her key."""
        known = hmac.compare_digest(str(key or "").encode(), self.presenter_key.encode())
        return Lane.PRESENTER if known else Lane.AUDIENCE

    # Covers ----------------------------------------------------------------------------------------------------

    def ask(self, covers: Iterable[Cover], lane: Lane = Lane.AUDIENCE) -> list[Future]:
        """A future PNG, with its settings inside, for each. Raises QueueFullError, for the audience only."""
        with self._books:
            covers = list(covers)
            fresh = {cover for cover in covers if cover not in self._kept}
            if lane is Lane.AUDIENCE and len(self._waiting[lane]) + len(fresh) > MOST_WAITING:
                raise QueueFullError
            for cover in covers:
                if cover not in self._kept:
                    self._kept[cover] = self._waiting[lane][cover] = Future()
                elif lane is Lane.PRESENTER and cover in self._waiting[Lane.AUDIENCE]:
                    self._waiting[lane][cover] = self._waiting[Lane.AUDIENCE].pop(cover)
                self._kept.move_to_end(cover)
            futures = [self._kept[cover] for cover in covers]
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            self._books.notify()
            return futures

    def pngs(self, covers: Iterable[Cover], lane: Lane = Lane.AUDIENCE) -> list[bytes]:
        return [future.result() for future in self.ask(covers, lane)]

    def pictures(self, covers: Iterable[Cover], lane: Lane = Lane.AUDIENCE) -> list[Image.Image]:
        return [Image.open(io.BytesIO(png)).convert("RGB") for png in self.pngs(covers, lane)]

    def more_like(self, cover: Cover, count: int, lane: Lane = Lane.AUDIENCE) -> list[int]:
        """The seeds of `count` covers near this one."""

        def draw(seeds: list[int]) -> list[Image.Image]:
            return self.pictures([cover._replace(seed=seed) for seed in seeds], lane)

        return self.neighbours.of(cover.seed, count, draw)

    def save(self, covers: list[Cover], lane: Lane = Lane.AUDIENCE) -> list[str]:
        """Covers as PNG files that gradio hands out and the sweeper deletes; names as file names."""
        folder = scratch()
        files = [folder / f"{name_of(cover.seed)}.png" for cover in covers]
        for file, png in zip(files, self.pngs(covers, lane), strict=True):
            file.write_bytes(png)
        return [str(file) for file in files]

    def _draw_for_ever(self) -> None:
        while True:
            with self._books:
                self._books.wait_for(lambda: any(self._waiting.values()))
                lane = next(lane for lane in Lane if self._waiting[lane])
            with self.turns.take(lane):
                self._draw_some()

    def _draw_some(self) -> None:
        """One batch of those that wait, the presenter's first: a crowd of phones is drawn together."""
        with self._books:
            waiting = next(waiting for waiting in self._waiting.values() if waiting)
            _, truncation, label = next(iter(waiting))
            alike = [cover for cover in waiting if cover[1:] == (truncation, label)][:TOGETHER]
            batch = {cover: waiting.pop(cover) for cover in alike}
        try:
            images = self._paint([cover.seed for cover in batch], truncation, label)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "cover.png"
                for (cover, future), image in zip(batch.items(), images, strict=True):
                    save_png(image, file, self.pipe.settings(cover.seed, truncation, label))
                    future.set_result(file.read_bytes())
        except Exception as error:
            with self._books:
                for cover in batch:
                    self._kept.pop(cover, None)
            for future in batch.values():
                if not future.done():
                    future.set_exception(error)

    @functools.cached_property
    def editor(self) -> Editor:
        with self._preparing:
            return Editor(self.pipe)

    # Films -----------------------------------------------------------------------------------------------------

    def frames(
        self,
        seeds: list[int],
        frames: int,
        loop: bool,
        truncation: float,
        label: str | None = None,
        lane: Lane = Lane.AUDIENCE,
    ) -> Iterator[Image.Image]:
        """`pipe.interpolate`, one turn for every few frames. Wrong arguments are told at once."""
        with self.turns.take(lane):
            way = self.pipe.interpolate(seeds, frames, loop, truncation, TOGETHER, label)

        def draw() -> Iterator[Image.Image]:
            while True:
                with self.turns.take(lane):
                    some = [frame for _, frame in zip(range(TOGETHER), way, strict=False)]
                yield from some
                if len(some) < TOGETHER:
                    return

        return draw()

    def film(self, first: Cover, last: Cover, lane: Lane = Lane.AUDIENCE) -> bytes:
        """The way from one cover to another as mp4, drawn once however many ask."""
        key = (first, last)
        with self._books:
            future, ours = self._films.get(key), key not in self._films
            if ours:
                future = self._films[key] = Future()
                while len(self._films) > KEPT_FILMS:
                    self._films.popitem(last=False)
        if ours:
            try:
                way = self.frames([first.seed, last.seed], FILM_FRAMES, False, first.truncation, first.label, lane)
                with tempfile.TemporaryDirectory() as folder:
                    write_animation(way, Path(folder) / "way.mp4", FPS)
                    future.set_result((Path(folder) / "way.mp4").read_bytes())
            except BaseException as error:
                with self._books:
                    self._films.pop(key, None)
                future.set_exception(error)
        return future.result()

    # Enlargements ----------------------------------------------------------------------------------------------

    @property
    def engines(self) -> list[str]:
        return ["bundled", "lanczos"] if self.pipe.upscaler is not None else ["lanczos"]

    def enlarge(
        self, image: Image.Image, size: int, engine: str | None = None, lane: Lane = Lane.AUDIENCE
    ) -> Image.Image:
        """`upscaling.upscale`, a turn for every tile. Raises QueueFullError, ValueError as there."""
        engine = engine or self.engines[0]
        if engine not in self.engines:
            raise ValueError(f"engine must be one of {', '.join(self.engines)}, got {str(engine)[:40]!r}")
        if lane is Lane.AUDIENCE and not self._enlarging.acquire(blocking=False):
            raise QueueFullError
        try:
            if engine == "bundled":
                network = TakingTurns(self.pipe.upscaler, self.turns, lane)
                return upscale(image, size, functools.partial(enlarge, network))
            return upscale(image, size, find_engine(engine))
        finally:
            if lane is Lane.AUDIENCE:
                self._enlarging.release()


def paint(pipe: AlbumCoverPipeline, seeds: list[int], truncation: float, label: str | None) -> list[Image.Image]:
    if torch.cuda.is_available():
        pipe.to("cuda")
    return pipe(seeds=seeds, truncation=truncation, label=label).images


class TakingTurns:
    """An upscaling network that takes a turn for each tile."""

    def __init__(self, network, turns: Turns, lane: Lane):
        self.network, self.turns, self.lane = network, turns, lane
        self.reach, self.device, self.dtype = network.reach, network.device, network.dtype

    def eval(self):
        self.network.eval()

    def __call__(self, tile):
        with self.turns.take(self.lane):
            return self.network(tile)


def scratch() -> Path:
    """A new folder inside gradio's cache, whose files gradio serves once returned, and the sweeper deletes."""
    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache))
