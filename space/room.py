"""Fool the critic, a game for an audience: real or fake? Phones vote; the stage shows the tally and the critic's votes.

    vote                        page for phones
    learn/room.json             state of the game; `voter=` adds that phone's vote and score
    learn/room/start, stop      POST, for the host only: holders of the presenter's key, and this computer
    learn/room/vote             POST {"game", "round", "voter", "real"}
    learn/room/GAME/3.webp      cover of a round, available once it has begun
    learn/room/own/7.webp       synthetic cover

The state is a function of time, so nothing runs in the background, and a phone that was away catches up immediately.
"""

import dataclasses
import ipaddress
import json
import random
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from album_gan.covers.synthetic import COUNT, draw_cover
from album_gan.inference.latents import SEED_COUNT, name_of
from album_gan.inference.pixels import on_white, to_pil
from album_gan.media.image_files import read_picture
from album_gan.media.picture_formats import picture_endings
from album_gan.space.client import address_of
from album_gan.space.drawing_order import Lane
from album_gan.space.errors import RefusedError, answers_errors
from album_gan.space.lan_address import Invitation
from album_gan.space.lessons import Lessons, image, webp
from album_gan.space.routes import number, result_of
from album_gan.space.theme import lesson_page
from album_gan.space.validation import whole_number

GLANCE = 1.0  # seconds for which the cover is shown
VOTE = 6.0  # seconds for votes, including the glance
REVEAL = 4.0  # seconds for which the answer is shown
ROUNDS = 10
MAX_VOTERS = 1_000
REAL = "The real covers are from the host's folder."
SYNTHETIC = "Synthetic covers stand in for real ones; album-gan demo --covers FOLDER shows real ones."


@dataclasses.dataclass
class Round:
    """One cover: generated from `seed`, or real; `index` is a synthetic cover's number, else None."""

    picture: bytes
    real: bool
    critic: float  # score; above 0 means real
    seed: int | None = None
    index: int | None = None
    votes: dict[str, bool] = dataclasses.field(default_factory=dict)

    def tally(self) -> dict[str, int]:
        """Number of votes for "real" and for "drawn" (shown as "fake")."""
        real = sum(self.votes.values())
        return {"real": real, "drawn": len(self.votes) - real}

    def result(self) -> dict[str, Any]:
        """The round's answer and votes."""
        name = name_of(self.seed) if self.seed is not None else ""
        return {"is_real": self.real, "name": name, "index": self.index, "critic": self.critic > 0, **self.tally()}


class Room:
    """One game at a time. `files` are pictures of real covers; without any, synthetic ones are used."""

    def __init__(self, lessons: Lessons, invite: Invitation, files: Sequence[Path] = ()):
        self.lessons = lessons
        self.invite = dataclasses.replace(invite, url=f"{invite.url.rstrip('/')}/vote" if invite.url else "")
        self.files = list(files)
        self._lock = threading.Lock()
        self._rounds: list[Round] = []
        self._game = ""
        self._network = ""  # the one that draws and scores the covers
        self._begun = 0.0
        self._preparing = False

    def all(self) -> list[Route]:
        """All routes."""
        return [
            Route("/vote", answers_errors(self.page)),
            Route("/learn/room.json", answers_errors(self.state)),
            Route("/learn/room/start", answers_errors(self.start), methods=["POST"]),
            Route("/learn/room/stop", answers_errors(self.stop), methods=["POST"]),
            Route("/learn/room/vote", answers_errors(self.vote), methods=["POST"]),
            Route("/learn/room/own/{index}.webp", answers_errors(self.own)),
            Route("/learn/room/{game}/{round}.webp", answers_errors(self.picture)),
        ]

    async def page(self, request: Request) -> Response:
        """The page for phones."""
        return HTMLResponse(lesson_page("vote.html"))

    # --- The host

    async def start(self, request: Request) -> Response:
        """Start a game of `rounds` covers."""
        self._check_host(request)
        rounds = whole_number(number(request.query_params.get("rounds", str(ROUNDS))), "rounds", 2, 40, "try 10")
        with self._lock:
            if self._preparing:
                raise RefusedError(409, "a game is already being prepared; wait a moment")
            self._preparing, self._rounds, self._game = True, [], secrets.token_hex(4)
            game = self._game
        client = self.lessons.service.client(request)
        try:
            prepared = await result_of(
                self.lessons.service.jobs.submit(client, "room", self._prepare, game, rounds, client.lane)
            )
        except BaseException:
            self._end(game)
            raise
        with self._lock:
            if game == self._game:
                self._preparing, self._rounds, self._begun = False, prepared, time.monotonic() + 1.0
        return JSONResponse(self._view(None))

    async def stop(self, request: Request) -> Response:
        """End the game, or its preparation."""
        self._check_host(request)
        self._end(self._game)
        return JSONResponse(self._view(None))

    def _end(self, game: str) -> None:
        with self._lock:
            if game == self._game:
                self._preparing, self._rounds, self._game = False, [], ""

    def _check_host(self, request: Request) -> None:
        client = self.lessons.service.client(request)
        is_here = is_loopback(address_of(request)) and not self.invite.is_public
        if client.lane is not Lane.PRESENTER and not is_here:
            raise RefusedError(
                403, "only the presenter can start and stop a game; open the page with the presenter's link"
            )

    def _prepare(self, game: str, count: int, lane: Lane) -> list[Round]:
        """Prepare covers, half real, half generated, in random order, each scored by the critic, until `game` ends."""
        dice = random.Random(secrets.randbits(64))
        lessons = self.lessons
        self._network = lessons.own if lessons.pair(lessons.own).discriminator is not None else "teaching"
        kinds = [place < count // 2 for place in range(count)]
        dice.shuffle(kinds)
        files = dice.sample(self.files, min(len(self.files), 4 * count))
        rounds = []
        for real in kinds:
            if game != self._game:
                break
            with lessons.service.lock.hold(lane):  # per cover, so that nobody waits for the whole game
                pair, critic = lessons.pair(self._network), lessons.critic_of(self._network)
                size = (pair.resolution,) * 2
                if not real:
                    seed = dice.randrange(SEED_COUNT)
                    [picture] = to_pil(pair.draw([seed]))
                    more: dict[str, Any] = {"seed": seed}
                elif (found := next_readable(files)) is not None:
                    picture, more = ImageOps.fit(found, size, Image.Resampling.LANCZOS), {}
                else:
                    index = dice.randrange(COUNT)
                    picture, more = draw_cover(index).resize(size, Image.Resampling.LANCZOS), {"index": index}
                rounds.append(Round(webp(picture), real, critic.judge(picture).score, **more))
        return rounds

    # --- Everybody

    async def state(self, request: Request) -> Response:
        """The state of the game."""
        return JSONResponse(self._view(request.query_params.get("voter")))

    async def vote(self, request: Request) -> Response:
        """Record one phone's vote; its last vote before time is up counts."""
        try:
            body = json.loads(await request.body())
            game, place, voter, real = body["game"], body["round"], str(body["voter"])[:40], body["real"] is True
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(
                'a vote must be JSON such as {"game": "", "round": 0, "voter": "", "real": true}'
            ) from None
        with self._lock:
            phase, current, _ = self._now()
            if game != self._game or phase != "voting" or place != current:
                raise RefusedError(409, "the time for this vote is over")
            votes = self._rounds[current].votes
            if len(votes) >= MAX_VOTERS and voter not in votes:
                raise RefusedError(409, f"a game can have at most {MAX_VOTERS} voters")
            votes[voter] = real
        return JSONResponse({"voted": real})

    async def picture(self, request: Request) -> Response:
        """The cover of a round."""
        with self._lock:
            _, current, _ = self._now()
            if request.path_params["game"] != self._game or not self._rounds:
                raise ValueError("this game is over")
            place = whole_number(number(request.path_params["round"]), "round", 0, current, "its turn has not come")
            return image(self._rounds[place].picture)

    async def own(self, request: Request) -> Response:
        """A synthetic cover."""
        place = whole_number(number(request.path_params["index"]), "index", 0, COUNT - 1, "the first is 0")
        return image(webp(draw_cover(place)))

    def _now(self) -> tuple[str, int, float]:
        """Phase, round, and seconds left in the phase."""
        if self._preparing:
            return "preparing", 0, 0.0
        if not self._rounds:
            return "idle", 0, 0.0
        past = time.monotonic() - self._begun
        if past < 0:
            return "ready", 0, -past
        place, within = divmod(past, VOTE + REVEAL)
        if place >= len(self._rounds):
            return "over", len(self._rounds) - 1, 0.0
        if within < VOTE:
            return "voting", int(place), VOTE - within
        return "revealed", int(place), VOTE + REVEAL - within

    def _view(self, voter: str | None) -> dict[str, Any]:
        with self._lock:
            phase, current, left = self._now()
            done = self._rounds[: current + (phase in ("revealed", "over"))] if self._rounds else []
            view: dict[str, Any] = {
                "phase": phase, "game": self._game, "network": self._network,
                "round": current, "rounds": len(self._rounds),
                "left": round(left, 2), "glance": GLANCE, "vote": VOTE, "qr": self.invite.qr if voter is None else "",
                "url": self.invite.url, "source": REAL if self.files else SYNTHETIC,
                "players": len({name for one in self._rounds for name in one.votes}),
                "score": {
                    "room": sum(majority(one) == one.real for one in done),
                    "critic": sum((one.critic > 0) == one.real for one in done), "of": len(done),
                },
            }  # fmt: skip
            if self._rounds and phase in ("voting", "revealed", "over"):
                view["tally"] = self._rounds[current].tally()
            if phase in ("revealed", "over"):
                view["answer"] = self._rounds[current].result()
            if phase == "over":
                view["results"] = [one.result() for one in self._rounds]
            if voter is not None:
                view["mine"] = self._rounds[current].votes.get(voter) if self._rounds else None
                view["right"] = sum(one.votes.get(voter) == one.real for one in done)
            return view


def majority(one: Round) -> bool | None:
    """The room's majority vote; None for a tie."""
    tally = one.tally()
    return None if tally["real"] == tally["drawn"] else tally["real"] > tally["drawn"]


def picture_files(folder: Path) -> list[Path]:
    """All pictures in a folder and its subfolders. Raises ValueError if there are none, or no such folder."""
    if not folder.is_dir():
        raise ValueError(f"covers must be a folder, got {str(folder)!r}, where there is none")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in picture_endings())
    if not files:
        raise ValueError(
            f"covers must be a folder with pictures (JPEG, PNG, WebP and others), got {str(folder)!r}, which has none"
        )
    return files


def next_readable(files: list[Path]) -> Image.Image | None:
    """Pop files until one can be read; returns it as RGB, on white, or None."""
    while files:
        try:
            return on_white(read_picture(files.pop()))
        except (OSError, ValueError):
            continue
    return None


def is_loopback(address: str) -> bool:
    """Whether an address is this computer's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
