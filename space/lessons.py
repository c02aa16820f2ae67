"""Routes of the Learn tab; the networks compute everything on request.

learn/files/learn.js                            scripts, styles and films of the tab
learn/models.json                               the networks that can be inspected
learn/layers.json?model=&seed=&mute=            every step from noise to cover; `mute` is STEP:CHANNEL,... or STEP:all
learn/layer.webp?model=&seed=&mute=&step=       the maps of one step, in a grid
learn/cover.webp?model=&seed=&mute=             the generated cover
learn/products.json?...&step=&channel=&y=&x=    one value of a layer as a sum of products
learn/shapes.json?recipe=&resolution=           both networks of a recipe: steps, table and diagram
learn/convolution.json?size=&kernel=...         the arithmetic of one convolution
learn/critic.json?model=&seed=                  the discriminator's score of a generated cover, or of a POSTed picture
learn/norm.json, learn/norm.webp?model=&seeds=&mode=  batch normalisation: statistics, and covers in both modes
learn/sum.webp?model=&a=&b=&c=                  a - b + c in latent space
learn/walk.webp?model=&first=&last=&path=       covers along a line or a great circle, side by side
learn/course.json?model=                        losses, kernel distances and alarms of the training
learn/moment/MODEL/3.webp                       one sheet of its history
learn/guide.json, learn/source/NAME.py          a card for every recipe, and its file
learn/handout.html                              the lesson on one page, to print
"""

import copy
import io
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from torch import Tensor

from album_gan.explain import guide, maps, normalisation, walks
from album_gan.explain.arithmetic import Convolution
from album_gan.explain.critic import Critic
from album_gan.explain.diagram import diagram, shape_text
from album_gan.explain.history import course_of
from album_gan.explain.networks import (
    RECIPES,
    Pair,
    bundled_pair,
    discriminator_of,
    recipe_pair,
    resolutions,
    trace_both,
    trace_generator,
)
from album_gan.explain.trace import ALL, Trace
from album_gan.inference.inside import COMPANION_SEEDS
from album_gan.inference.model_store import BUNDLED, bundled_models, find_model, history_sheets
from album_gan.inference.pixels import grid, to_pil
from album_gan.recipes.base import recipe_module
from album_gan.space.errors import answers_errors
from album_gan.space.routes import number, result_of
from album_gan.space.service import CoverService
from album_gan.space.theme import STATIC, lesson_page
from album_gan.space.validation import MAX_SIDE, check_seed, check_seeds, whole_number

MAX_TRACES = 6  # kept, some 10 MB each
MAX_NEIGHBOURS = 8
STEPS = 9  # of a walk
THIS_PAGE = "page"  # name of the page's own model


class Lessons:
    """Route handlers. `model` is the page's, as in `find_model`."""

    def __init__(self, service: CoverService, model: str | None = None):
        self.service = service
        self.folder = folder_of(model)
        self.own = model if model in BUNDLED else "bundled" if model is None else THIS_PAGE
        self._lock = threading.Lock()  # guards the two below
        self._traces: OrderedDict[tuple, Trace] = OrderedDict()
        self._critics: dict[str, Critic] = {}
        self._page_pair: Pair | None = None

    def all(self) -> list[BaseRoute]:
        """All routes."""
        get = {
            "/learn/models.json": self.models, "/learn/layers.json": self.layers, "/learn/layer.webp": self.layer,
            "/learn/cover.webp": self.cover, "/learn/products.json": self.products, "/learn/shapes.json": self.shapes,
            "/learn/convolution.json": self.convolution, "/learn/norm.json": self.norm,
            "/learn/norm.webp": self.norm_pictures, "/learn/sum.webp": self.sum, "/learn/walk.webp": self.walk,
            "/learn/course.json": self.course, "/learn/moment/{model}/{number}.webp": self.moment,
            "/learn/guide.json": self.guide, "/learn/source/{name}.py": self.source,
            "/learn/handout.html": self.handout,
        }  # fmt: skip
        return [
            *(Route(path, answers_errors(handler)) for path, handler in get.items()),
            Route("/learn/critic.json", answers_errors(self.critic), methods=["GET", "POST"]),
            Mount("/learn/files", StaticFiles(directory=STATIC / "learn")),
        ]

    # --- Networks

    def pair(self, name: str) -> Pair:
        """The networks called `name`: the page's, a bundled model's or a recipe's. Raises ValueError for others."""
        if name in bundled_models():
            return bundled_pair(name)
        if name in RECIPES:
            return recipe_pair(name)
        if name != THIS_PAGE or self.own != THIS_PAGE:
            raise ValueError(f"model must be one of {', '.join(self.names())}, got {name[:40]!r}")
        with self._lock:
            if self._page_pair is None:
                generator = copy.deepcopy(self.service.pipe.generator).cpu().eval()
                critic, missing = discriminator_of(self.folder) if self.folder else (None, "its folder is not known")
                self._page_pair = Pair(generator, critic, "this page's model", trained=True, missing=missing)
            return self._page_pair

    def names(self) -> list[str]:
        """Names of all networks, the page's own model first."""
        return list(dict.fromkeys([self.own, *bundled_models(), *RECIPES]))

    def _trace(self, query: Any) -> Trace:
        name, seed = query.get("model", self.own), check_seed(query.get("seed", "1")).seed
        mute = muted(query.get("mute", ""))
        key = (name, seed, json.dumps(sorted(mute.items())))
        with self._lock:
            if key in self._traces:
                self._traces.move_to_end(key)
                return self._traces[key]
        traced = trace_generator(self.pair(name), seed, mute)
        with self._lock:
            self._traces[key] = traced
            while len(self._traces) > MAX_TRACES:
                self._traces.popitem(last=False)
        return traced

    def critic_of(self, name: str) -> Critic:
        """The critic of a trained model. Raises ValueError, with the reason, if it has no discriminator."""
        pair = self.pair(name)
        if pair.discriminator is None or not pair.trained:
            raise ValueError(f"{name} cannot score pictures here: {pair.missing or 'it is untrained'}")
        if name not in self._critics:
            self._critics[name] = Critic(pair.discriminator, pair.draw(list(COMPANION_SEEDS)))
        return self._critics[name]

    async def _compute(self, request: Request, function: Callable[[], Any]) -> Any:
        """Run a function while holding the lock, since one network uses every core."""
        client = self.service.client(request)

        def run() -> Any:
            with self.service.lock.hold(client.lane):
                return function()

        return await result_of(self.service.jobs.submit(client, "learn", run))

    # --- Noise to cover

    async def models(self, request: Request) -> Response:
        """Names of networks, and whether they are trained."""
        trained = {name: name in (THIS_PAGE, *BUNDLED) for name in self.names()}
        return JSONResponse({"models": [{"name": n, "trained": t} for n, t in trained.items()], "own": self.own})

    async def layers(self, request: Request) -> Response:
        """Every step of the generator."""

        def compute() -> dict:
            query = request.query_params
            traced, pair = self._trace(query), self.pair(query.get("model", self.own))
            return {
                "title": pair.title,
                "style": pair.label_of(check_seed(query.get("seed", "1")).seed),
                "steps": [step.as_json() for step in traced.steps],
                "parameters": sum(step.parameters for step in traced.steps),
            }

        return JSONResponse(await self._compute(request, compute))

    async def layer(self, request: Request) -> Response:
        """The feature maps of one step in a grid; the header X-Columns has its number of columns."""

        def compute() -> tuple[bytes, int]:
            sheet, columns = maps.contact_sheet(self._step(request).value)
            return webp(sheet), columns

        picture, columns = await self._compute(request, compute)
        return Response(picture, media_type="image/webp", headers={"X-Columns": str(columns)})

    async def cover(self, request: Request) -> Response:
        """The generated cover."""
        return image(
            await self._compute(request, lambda: webp(to_pil(self._trace(request.query_params).output.clamp(-1, 1))[0]))
        )

    async def products(self, request: Request) -> Response:
        """One value of a layer as a sum of products."""
        channel, y, x = (
            whole_number(number(request.query_params.get(name, "0")), name, 0, 100_000, "try 0")
            for name in ("channel", "y", "x")
        )
        return JSONResponse(await self._compute(request, lambda: maps.products(self._step(request), channel, y, x)))

    def _step(self, request: Request):
        steps = self._trace(request.query_params).steps
        place = whole_number(number(request.query_params.get("step", "0")), "step", 0, len(steps) - 1, "0 is the first")
        return steps[place]

    # --- Shapes

    async def shapes(self, request: Request) -> Response:
        """Both networks of a recipe."""
        name = request.query_params.get("recipe", "dcgan")
        if name not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, got {name[:40]!r}")
        sizes = sorted(resolutions(name))
        size = number(request.query_params.get("resolution", str(resolutions(name)[0])))
        if size not in sizes:
            raise ValueError(f"resolution must be one of {', '.join(map(str, sizes))} for {name}, got {str(size)[:20]}")

        def compute() -> dict:
            both = dict(zip(("Generator", "Discriminator"), trace_both(name, size), strict=True))
            return {
                "recipe": name, "resolution": size, "resolutions": sizes, "svg": diagram(list(both.items())),
                "networks": [
                    {
                        "name": title, "parameters": sum(step.parameters for step in traced.steps),
                        "rows": [
                            [s.name, s.kind.name, shape_text(s.output), s.arithmetic, s.parameters]
                            for s in traced.steps
                            if s.parameters or s.kind.main or s.inputs[0] != s.output
                        ],
                    }
                    for title, traced in both.items()
                ],
            }  # fmt: skip

        return JSONResponse(await self._compute(request, compute))

    async def convolution(self, request: Request) -> Response:
        """The arithmetic of one convolution; for impossible settings the response is the reason, not an error."""
        query = request.query_params
        names = ("size", "kernel", "stride", "padding", "output_padding")
        settings = {n: whole_number(number(query.get(n, "0")), n, 0, 99_999_999, "try 3") for n in names}
        try:
            found = Convolution(**settings, transposed=query.get("transposed") == "1")
        except ValueError as error:
            return JSONResponse({"possible": False, "why": str(error)})
        answer = {"possible": True, "output": found.output, "formula": found.formula, "remarks": found.remarks}
        return JSONResponse(answer)

    # --- The critic

    async def critic(self, request: Request) -> Response:
        """The critic's score of a generated cover, or of the picture in the body of a POST."""
        query = request.query_params
        name = query.get("model", self.own)
        body = await request.body() if request.method == "POST" else b""

        def compute() -> dict:
            critic = self.critic_of(name)
            if request.method == "POST":
                return critic.judge(picture_of(body)).as_json()
            return critic.judge_tensor(self.pair(name).draw([check_seed(query.get("seed", "1")).seed])).as_json()

        return JSONResponse(await self._compute(request, compute))

    # --- Batch normalisation

    async def norm(self, request: Request) -> Response:
        """One layer's batch statistics and its running statistics."""

        def compute() -> dict:
            pair, inputs = self._batch(request)
            names = list(normalisation.norms_of(pair.generator))
            if not names:
                raise ValueError("this generator has no batch normalisation; choose bundled or teaching")
            layer = request.query_params.get("layer") or names[0]
            return {"layers": names, **normalisation.statistics(pair.generator, inputs, layer)}

        return JSONResponse(await self._compute(request, compute))

    async def norm_pictures(self, request: Request) -> Response:
        """A batch of covers in a row, in "training" or "evaluation" mode."""

        def compute() -> bytes:
            mode = request.query_params.get("mode", "evaluation")
            if mode not in ("training", "evaluation"):
                raise ValueError(f"mode must be training or evaluation, got {mode[:20]!r}")
            pair, inputs = self._batch(request)
            return strip(normalisation.pictures(pair.generator, inputs, training=mode == "training"))

        return image(await self._compute(request, compute))

    def _batch(self, request: Request) -> tuple[Pair, tuple[Tensor, ...]]:
        query = request.query_params
        seeds = [chosen.seed for chosen in check_seeds(query.get("seeds", "1,2,3,4"))[:MAX_NEIGHBOURS]]
        pair = self.pair(query.get("model", self.own))
        return pair, pair.inputs(seeds)

    # --- Latent space

    async def sum(self, request: Request) -> Response:
        """The cover of a - b + c."""

        def compute() -> bytes:
            query = request.query_params
            pair = self.pair(query.get("model", self.own))
            z, *classes = pair.inputs([check_seed(query.get(name, "1")).seed for name in "abc"])
            point = walks.arithmetic(*z.split(1))
            return strip(walks.draw(pair.generator, point, torch.tensor([[1.0, -1.0, 1.0]]), *classes))

        return image(await self._compute(request, compute))

    async def walk(self, request: Request) -> Response:
        """Covers between two, along the straight "line" or on the "sphere"."""
        query = request.query_params
        path = query.get("path", "sphere")
        if path not in ("line", "sphere"):
            raise ValueError(f"path must be line or sphere, got {path[:20]!r}")

        def compute() -> bytes:
            pair = self.pair(query.get("model", self.own))
            z, *classes = pair.inputs([check_seed(query.get(name, "1")).seed for name in ("first", "last")])
            points = getattr(walks, path)(*z.split(1), STEPS)
            return strip(walks.draw(pair.generator, points, walks.shares(STEPS), *classes))

        return image(await self._compute(request, compute))

    # --- Time machine and field guide

    async def course(self, request: Request) -> Response:
        """Losses, kernel distances and alarms of a model's training."""
        return JSONResponse(course_of(self._folder(request.query_params.get("model", self.own))))

    async def moment(self, request: Request) -> Response:
        """One sheet of a model's history."""
        files = history_sheets(self._folder(request.path_params["model"]))
        if not files:
            raise ValueError(f"this model has no training history; choose {' or '.join(bundled_models())}")
        place = whole_number(number(request.path_params["number"]), "moment", 0, len(files) - 1, "the first is 0")
        return FileResponse(files[place], media_type="image/webp")

    def _folder(self, name: str) -> Path:
        if name in bundled_models():
            return find_model(name)
        if name == THIS_PAGE and self.folder is not None:
            return self.folder
        raise ValueError(f"model must be one of {', '.join(bundled_models())}, got {name[:40]!r}")

    async def guide(self, request: Request) -> Response:
        """A card for every recipe."""
        return JSONResponse(guide.cards())

    async def source(self, request: Request) -> Response:
        """A recipe's file."""
        module = recipe_module(request.path_params["name"])
        return PlainTextResponse(Path(module.__file__ or "").read_text(encoding="utf-8"))

    async def handout(self, request: Request) -> Response:
        """The lesson on one page."""
        return HTMLResponse(lesson_page("handout.html"))


def folder_of(model: str | None) -> Path | None:
    """Folder of a model's discriminator, history and log, downloaded from the Hub if needed; None if unavailable."""
    try:
        return find_model(model, parts=("discriminator", "history/*", "log.jsonl"), variant="fp16")
    except (OSError, ValueError):
        return None


def muted(text: str) -> dict[int, list[int]]:
    """ "12:5,12:7,20:all" -> {12: [5, 7], 20: [ALL]}. Raises ValueError for anything else."""
    found: dict[int, list[int]] = {}
    for item in filter(None, text[:4000].split(",")):
        step, _, channel = item.partition(":")
        if not step.isdecimal() or not (channel.isdecimal() or channel == "all") or len(item) > 16:
            raise ValueError(f"mute must list STEP:CHANNEL, such as 12:5,20:all, got {item[:20]!r}")
        found.setdefault(int(step), []).append(ALL if channel == "all" else int(channel))
    return found


def picture_of(body: bytes) -> Image.Image:
    """The picture in a request's body. Raises ValueError if it is unreadable or too large."""
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG", "WEBP")) as picture:
            if max(picture.size) > MAX_SIDE:
                raise ValueError(f"pictures must be at most {MAX_SIDE} pixels wide and high, got {picture.size}")
            picture.load()
            return picture
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
        raise ValueError("the picture cannot be read; send a PNG, JPEG or WebP file") from None


def strip(images: Tensor) -> bytes:
    """Images (B, 3, R, R) side by side."""
    return webp(grid(to_pil(images.clamp(-1, 1)), len(images)))


def webp(picture: Image.Image) -> bytes:
    """Encode as lossless WebP: visitors look at these pictures closely."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, quality=20, method=0)
    return buffer.getvalue()


def image(content: bytes) -> Response:
    """A WebP response."""
    return Response(content, media_type="image/webp")
