"""Pictures at addresses of their own, outside of gradio's queue: a cover never changes, so browsers may keep it.

    cover/NAME.png?truncation=&label=&model=        the cover, its settings inside
    cover/NAME.webp?size=1024                       enlarged, for the screen
    cover/NAME.png?size=&title=&artist=&layout=     enlarged, with title and artist in type
    edit/NAME.webp?edits={"darker": 1}&style=NAME   changed, and coloured as another
    way/NAME/NAME.mp4                               from one cover to the next
    covers.zip?seeds=1,2,7-9                        PNG files
    deal.json?count=16                              seeds drawn by lot, with their names
    moment/3.webp                                   the model's history

`presenter=` carries the presenter's key, whose wishes come first.
"""

import asyncio
import functools
import io
import json
import secrets
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from album_gan.editing.typography import check_type, set_type
from album_gan.inference.latents import DEFAULT_TRUNCATION, SEED_COUNT, name_of, seed_of
from album_gan.media.image_files import save_print
from album_gan.space.priority_lock import QueueFullError
from album_gan.space.service import Studio
from album_gan.space.tabs.edit import check_edits, edited
from album_gan.space.validation import MAX_COVERS, Cover, check_seeds, check_truncation, whole_number

FOREVER = {"Cache-Control": "public, max-age=604800"}
SIZES = (256, 512, 1024)
KINDS = {"png": "image/png", "webp": "image/webp"}
KEPT_LARGE = 64  # for the screen, some 150 KB each


class ByQueueOnly:
    """Closes gradio's way past its queue: nobody here uses it, and it answers wrong input with 500 and no word."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(("/gradio_api/run/", "/gradio_api/api/", "/run/", "/api/")):
            refusal = PlainTextResponse("calls go through the queue: POST /gradio_api/call/generate, for example", 404)
            await refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def answered(handler):
    """A wrong wish is told in one line of plain text: 404, or 503 when too many wait already."""

    @functools.wraps(handler)
    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except QueueFullError as error:
            return PlainTextResponse(str(error), 503, {"Retry-After": "3"})
        except ValueError as error:
            return PlainTextResponse(str(error), 404)

    return wrapped


def routes(studio: Studio, moments: list[Path]) -> list[Route]:
    kept: OrderedDict[tuple, bytes] = OrderedDict()

    def asked(request: Request, *names: str) -> list[Cover]:
        """The covers that the address names; ValueError for a wrong one, or for another model's."""
        query = request.query_params
        if query.get("model", studio.pipe.fingerprint) != studio.pipe.fingerprint:
            raise ValueError(f"this page draws with model {studio.pipe.fingerprint}; reload it")
        truncation = check_truncation(query.get("truncation", DEFAULT_TRUNCATION))
        label = query.get("label") or None
        studio.pipe.check_label(label)
        return [Cover(seed_of(name), truncation, label) for name in names]

    def lane(request: Request):
        return studio.lane(request.query_params.get("presenter"))

    @answered
    async def cover(request: Request) -> Response:
        [wanted] = asked(request, request.path_params["seed"])
        query, ending = request.query_params, request.path_params["ending"]
        if ending not in KINDS:
            raise ValueError(f"covers end in .png or .webp, got .{ending[:10]}")
        kind = KINDS[ending]
        if ending == "png" and "size" not in query:
            [future] = studio.ask([wanted], lane(request))
            return Response(await asyncio.wrap_future(future), media_type=kind, headers=FOREVER)
        size = whole_number(_number(query.get("size", "512")), "size", SIZES[0], SIZES[-1], "try 512")
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(map(str, SIZES))}, got {size}")
        words = query.get("title", ""), query.get("artist", ""), query.get("layout", "headline")
        check_type(*words)
        key = (wanted, size, words, ending)
        if key not in kept:
            kept[key] = await run_in_threadpool(large, wanted, size, words, ending, lane(request))
            while len(kept) > KEPT_LARGE:
                kept.popitem(last=False)
        return Response(kept[key], media_type=kind, headers=FOREVER)

    def large(wanted: Cover, size: int, words: tuple[str, str, str], ending: str, lane) -> bytes:
        [small] = studio.pictures([wanted], lane)
        image = set_type(studio.enlarge(small, max(size, *small.size), lane=lane), *words)
        return encoded(image, ending, studio.pipe.settings(*wanted))

    @answered
    async def edit(request: Request) -> Response:
        query, ending = request.query_params, request.path_params["ending"]
        named = [query["style"]] if query.get("style") else []
        [wanted, *style] = asked(request, request.path_params["seed"], *named)
        amounts = check_edits(query.get("edits", ""), studio.editor.names)
        if ending not in KINDS or query.get("size", "512") != "512":
            raise ValueError("edited covers end in .png or .webp, and have no size or 512")
        who = lane(request)

        def draw() -> bytes:
            image = edited(studio, wanted, amounts, style[0].seed if style else None, who)
            if "size" in query:
                image = studio.enlarge(image, max(512, *image.size), lane=who)
            settings = {**studio.pipe.settings(*wanted), "edits": amounts, "style": style[0].seed if style else None}
            return encoded(image, ending, settings)

        return Response(await run_in_threadpool(draw), media_type=KINDS[ending], headers=FOREVER)

    @answered
    async def way(request: Request) -> Response:
        first, last = asked(request, request.path_params["first"], request.path_params["last"])
        film = await run_in_threadpool(studio.film, first, last, lane(request))
        return Response(film, media_type="video/mp4", headers=FOREVER)

    @answered
    async def archive(request: Request) -> Response:
        covers = asked(request, *map(str, check_seeds(request.query_params.get("seeds", ""))))
        pngs = await asyncio.gather(*map(asyncio.wrap_future, studio.ask(covers, lane(request))))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for number, (one, png) in enumerate(zip(covers, pngs, strict=True), 1):
                file.writestr(f"{number:02d} {name_of(one.seed)}.png", png)
        headers = {"Content-Disposition": 'attachment; filename="covers.zip"'}
        return Response(buffer.getvalue(), media_type="application/zip", headers=headers)

    @answered
    async def deal(request: Request) -> Response:
        count = whole_number(_number(request.query_params.get("count", "16")), "count", 1, MAX_COVERS, "try 16")
        seeds = [secrets.randbelow(SEED_COUNT) for _ in range(count)]
        return Response(json.dumps([[seed, name_of(seed)] for seed in seeds]), media_type="application/json")

    @answered
    async def moment(request: Request) -> Response:
        number = whole_number(_number(request.path_params["number"]), "moment", 0, len(moments) - 1, "the first is 0")
        return FileResponse(moments[number], media_type="image/webp", headers=FOREVER)

    return [
        Route("/cover/{seed}.{ending}", cover),
        Route("/edit/{seed}.{ending}", edit),
        Route("/way/{first}/{last}.mp4", way),
        Route("/covers.zip", archive),
        Route("/deal.json", deal),
        Route("/moment/{number}.webp", moment),
    ]


def encoded(image: Image.Image, ending: str, settings: dict) -> bytes:
    """WebP for the screen, PNG with its settings inside to keep."""
    if ending == "webp":
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=88)
        return buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cover.png"
        save_print(image, file, settings)
        return file.read_bytes()


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else text
