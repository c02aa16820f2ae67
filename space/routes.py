"""Routes for pictures and films, outside of gradio's queue. A model's cover never changes: browsers may cache it.

    cover/NAME.png?truncation=&label=&model=        the cover, with its settings inside
    cover/NAME.webp?size=1024                       enlarged, for the screen
    cover/NAME.png?size=&title=&artist=&layout=     enlarged, with title and artist in type
    edit/NAME.webp?edits={"darker": 1}&style=NAME   edited, in the colours of another cover
    film/NAME/NAME.mp4                              a film from one cover to the next
    sheet/NAME.webp, sum.webp?a=NAME&b=NAME&c=NAME  attributes by strength; A - B + C
    qr.svg?seeds=, numbers.json?seeds=&label=       QR code of a link; the latent z, and the class
    covers.zip?seeds=1,2,7-9                        PNG files with one truncation and label
    covers.zip?covers=[[1, 0.7, "jazz"], ...]       PNG files, each with its own settings
    deal.json?count=16                              random seeds and their names
    view.json?tab=&seeds=&truncation=&label=        the view that a link describes (`links.py`)

Requests with the presenter's cookie are served first (`client.py`).
"""

import asyncio
import io
import secrets
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from urllib.parse import urlencode

from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from album_gan.editing.typography import check_type
from album_gan.inference.arguments import chosen_list
from album_gan.inference.latents import DEFAULT_TRUNCATION, SEED_COUNT, Chosen, name_of
from album_gan.inference.pixels import file_name
from album_gan.space.client import Client
from album_gan.space.errors import answers_errors
from album_gan.space.lan_address import Invitation
from album_gan.space.links import read_query, view_of_link
from album_gan.space.screen import WALL_SIZE
from album_gan.space.service import CoverService, encode
from album_gan.space.validation import (
    MAX_COVERS,
    Cover,
    check_archive,
    check_edits,
    check_seeds,
    check_truncation,
    whole_number,
)

CACHED = {"Cache-Control": "public, max-age=604800"}
SIZES = (256, 512, 1024)
MEDIA_TYPES = {"png": "image/png", "webp": "image/webp"}


class Routes:
    """Route handlers."""

    def __init__(self, service: CoverService, invite: Invitation | None = None):
        self.service, self.invite = service, invite or Invitation()

    def all(self) -> list[Route]:
        """All routes."""
        return [
            Route("/cover/{seed}.{extension}", answers_errors(self.cover)),
            Route("/edit/{seed}.{extension}", answers_errors(self.edit)),
            Route("/film/{first}/{last}.mp4", answers_errors(self.film)),
            Route("/sheet/{seed}.webp", answers_errors(self.sheet)),
            Route("/sum.webp", answers_errors(self.sum)),
            Route("/numbers.json", answers_errors(self.numbers)),
            Route("/qr.svg", answers_errors(self.qr)),
            Route("/covers.zip", answers_errors(self.archive)),
            Route("/deal.json", answers_errors(self.deal)),
            Route("/view.json", answers_errors(self.view)),
        ]

    async def cover(self, request: Request) -> Response:
        """One cover, at its own size or enlarged, with or without a title."""
        [cover] = self._covers(request, name_in_path(request))
        query, extension = request.query_params, self._extension(request)
        if extension == "png" and "size" not in query:
            [future] = self.service.covers.request([cover], self._client(request))
            return Response(await result_of(future), media_type=MEDIA_TYPES[extension], headers=caching(request))
        size = whole_number(number(query.get("size", "512")), "size", SIZES[0], SIZES[-1], "try 512")
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}, got {size}")
        words = query.get("title", ""), query.get("artist", ""), query.get("layout", "headline")
        check_type(*words)
        future = self.service.large_cover(cover, size, words, extension, self._client(request))
        return Response(await result_of(future), media_type=MEDIA_TYPES[extension], headers=caching(request))

    async def edit(self, request: Request) -> Response:
        """One edited cover."""
        query, extension = request.query_params, self._extension(request)
        names = [query["style"]] if query.get("style") else []
        [cover, *styles] = self._covers(request, name_in_path(request), *names)
        amounts = check_edits(query.get("edits", ""), self.service.editor.names)
        if query.get("size", "512") != "512":
            raise ValueError(f"edited covers have no size or 512, got {query['size'][:10]!r}")
        style, client = styles[0].seed if styles else None, self._client(request)

        def draw() -> bytes:
            image = self.service.edit(cover, amounts, style, client.lane)
            if "size" in query:
                image = self.service.enlarge(image, max(512, *image.size), None, client.lane)
            return encode(image, extension, {**self.service.pipe.settings(*cover), "edits": amounts, "style": style})

        image = await result_of(self.service.jobs.submit(client, "edit", draw))
        return Response(image, media_type=MEDIA_TYPES[extension], headers=caching(request))

    async def film(self, request: Request) -> Response:
        """A short film from one cover to another."""
        first, last = self._covers(request, request.path_params["first"], request.path_params["last"])
        film = await result_of(self.service.film(first, last, self._client(request)))
        return Response(film, media_type="video/mp4", headers=caching(request))

    async def sheet(self, request: Request) -> Response:
        """A cover along each attribute, from less to more."""
        [cover] = self._covers(request, name_in_path(request))
        return await self._drawn(request, self.service.sheet, cover)

    async def sum(self, request: Request) -> Response:
        """A - B + C of three covers."""
        names = [request.query_params.get(name, "") for name in "abc"]
        return await self._drawn(request, self.service.sum, *self._covers(request, *names))

    async def _drawn(self, request: Request, draw: Callable[..., Image.Image], *covers: Cover) -> Response:
        client = self._client(request)

        def job() -> bytes:
            return encode(draw(*covers, client.lane), "webp", {})

        image = await result_of(self.service.jobs.submit(client, "edit", job))
        return Response(image, media_type=MEDIA_TYPES["webp"], headers=caching(request))

    async def numbers(self, request: Request) -> Response:
        """What a cover is drawn from, as JSON: the latent z of its seed, and the name of its class, "" for none."""
        pipe, query = self.service.pipe, request.query_params
        seed = check_seeds(query.get("seeds", ""))[0].seed
        [number] = pipe.classes_of([seed], query.get("label") or None)
        latents = [round(float(value), 4) for value in pipe.latents_of([seed])[0]]
        return JSONResponse({"latents": latents, "style": pipe.labels[number - 1] if number else ""})

    async def qr(self, request: Request) -> Response:
        """The QR code of a link to covers at the audience's address; empty without such an address."""
        self._check_model(request)
        query = request.query_params
        fields = {name: query[name] for name in ("truncation", "label", "model", "seeds") if query.get(name)}
        check_seeds(fields.get("seeds", ""))
        link = f"{self.invite.url}?{urlencode(fields)}" if self.invite.url else ""
        return Response(Invitation(link).qr, media_type="image/svg+xml")

    async def archive(self, request: Request) -> Response:
        """A ZIP of covers as PNG files."""
        query = request.query_params
        if "covers" in query:
            self._check_model(request)
            covers = check_archive(query["covers"])
            for label in {cover.label for cover in covers}:
                self.service.pipe.check_label(label)
        else:
            covers = self._covers(request, *check_seeds(query.get("seeds", "")))
        pngs = [await result_of(png) for png in self.service.covers.request(covers, self._client(request), "archive")]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for place, (cover, png) in enumerate(zip(covers, pngs, strict=True), 1):
                file.writestr(f"{place:02d} {file_name(cover.name)}.png", png)
        headers = {"Content-Disposition": 'attachment; filename="covers.zip"'}
        return Response(buffer.getvalue(), media_type="application/zip", headers=headers)

    async def deal(self, request: Request) -> Response:
        """Random seeds and their names, as JSON."""
        count = whole_number(number(request.query_params.get("count", "16")), "count", 1, MAX_COVERS, "try 16")
        seeds = [secrets.randbelow(SEED_COUNT) for _ in range(count)]
        return JSONResponse([[seed, name_of(seed)] for seed in seeds])

    async def view(self, request: Request) -> Response:
        """The view that a link describes, as JSON."""
        query = read_query(request.url.query)
        count = whole_number(number(query.get("count", str(WALL_SIZE))), "count", 1, MAX_COVERS, "try 16")
        return JSONResponse(view_of_link(self.service.pipe, query, count))

    def _client(self, request: Request) -> Client:
        return self.service.client(request)

    def _check_model(self, request: Request) -> None:
        model = self.service.pipe.fingerprint
        if request.query_params.get("model", model) != model:
            raise ValueError(f"this page draws with model {model}; reload it")

    def _covers(self, request: Request, *names: str | Chosen) -> list[Cover]:
        """The covers of `names`. Raises ValueError for an invalid name, or a link from another model."""
        self._check_model(request)
        query = request.query_params
        truncation, label = check_truncation(query.get("truncation", DEFAULT_TRUNCATION)), query.get("label") or None
        self.service.pipe.check_label(label)
        chosen = [one_cover(name) for name in names]
        return [Cover(seed, truncation, label, words) for seed, words in chosen]

    def _extension(self, request: Request) -> str:
        extension = request.path_params["extension"]
        if extension not in MEDIA_TYPES:
            raise ValueError(f"covers end in .png or .webp, got .{extension[:10]}")
        return extension


def caching(request: Request) -> dict[str, str]:
    """Headers for a picture or film: an address without `model=` shows another one when the page's model changes."""
    return CACHED if "model" in request.query_params else {}


def name_in_path(request: Request) -> str:
    """A cover's name in the path; "typed" stands for the words in `typed=`, which a path may be unable to contain."""
    name, query = request.path_params["seed"], request.query_params
    return query["typed"][:200] if name == "typed" and "typed" in query else name


async def result_of(future: Future) -> bytes:
    """Await a future of another thread. It is shielded, since several requests may wait for it."""
    return await asyncio.shield(asyncio.wrap_future(future))


def one_cover(name: str | Chosen) -> Chosen:
    """One seed from a number, a readable name or any words. Raises ValueError for an empty text."""
    if isinstance(name, Chosen):
        return name
    return chosen_list([name])[0]


def number(text: str) -> int | str:
    """Text as an int if it is one, else unchanged, for checks that report it."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text
