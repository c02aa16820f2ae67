"""A hall full of phones: 150 open the page and press once within ten seconds, then 30 go on for two minutes.

Among the wishes of those who stay are films and edits, which keep the network for seconds.
"""

import asyncio
import json
import random
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from serving import free_port, serve

from album_gan.space.client import COOKIE

httpx = pytest.importorskip("httpx", reason="the page needs album-gan[demo]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KEY = "for-the-test"
PHONES, WITHIN = 150, 10
STAYING, MINUTES = 30, 2
FILMS, EDITS = 0.1, 0.2  # of the wishes of those who stay
CACHES = 60  # MB that covers, films and edits in memory may take, and nothing else grows
FULL = "queue is full"


class Phone:
    """What the page's script does on a phone, by HTTP: the page, its first four covers, and New wall."""

    def __init__(self, address: str, number: int):
        # A connection each: unlike browsers, httpx does not ask again when the server closed an idle one.
        alone = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.AsyncClient(base_url=address, timeout=120, limits=alone)
        self.draw, self.session = random.Random(number), f"phone{number}"
        self.waits: list[float] = []  # for walls; those for films and edits have lists of their own
        self.films: list[float] = []
        self.edits: list[float] = []
        self.full = 0

    async def open(self) -> None:
        page = await self.client.get("/")
        assert page.status_code == 200
        config = page.text.partition("window.gradio_config = ")[2].partition(";</script>")[0]
        self.config = json.loads(config)
        await self.covers(range(4))

    async def press(self) -> None:
        """New wall, through gradio's queue, and its covers."""
        begin = time.perf_counter()
        seeds = await self.new_wall()
        if seeds is None:
            self.full += 1
            return
        await self.covers(seeds)
        self.waits.append(time.perf_counter() - begin)

    async def new_wall(self) -> list[int] | None:
        button = next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == "new-wall")
        event = next(d for d in self.config["dependencies"] if [button, "click"] in [list(t) for t in d["targets"]])
        visitor = "4"
        data = {"data": [1.0, "", visitor], "fn_index": event["id"], "session_hash": self.session}
        joined = await self.client.post("/gradio_api/queue/join", json=data)
        if joined.status_code == 503:
            assert FULL in joined.text.lower()
            return None
        async with self.client.stream("GET", f"/gradio_api/queue/data?session_hash={self.session}") as stream:
            async for line in stream.aiter_lines():
                if "process_completed" in line:
                    return json.loads(line.removeprefix("data:"))["output"]["data"][0]["seeds"]
        raise AssertionError("the queue ended without an answer")

    async def wish(self) -> None:
        """Mostly a new wall; now and then a film or an edit."""
        kind = self.draw.random()
        if kind > FILMS + EDITS:
            return await self.press()
        begin, [one, other] = time.perf_counter(), self.draw.sample(range(100_000), 2)
        is_film = kind < FILMS
        edits = quote(json.dumps({"darker": round(self.draw.uniform(-3, 3), 1)}))
        done = await self.get(f"/film/{one}/{other}.mp4" if is_film else f"/edit/{one}.webp?size=512&edits={edits}")
        if done:
            (self.films if is_film else self.edits).append(time.perf_counter() - begin)

    async def covers(self, seeds) -> None:
        done = await asyncio.gather(*(self.get(f"/cover/{seed}.png") for seed in seeds))
        assert all(done), "the queue stayed full"

    async def get(self, path: str) -> bool:
        """Whether it came, after a few tries where the queue is full."""
        for _ in range(6):
            answer = await self.client.get(path)
            if answer.status_code == 200:
                return True
            assert (answer.status_code, FULL in answer.text) == (503, True), answer.text
            self.full += 1
            await asyncio.sleep(self.draw.uniform(1, 4))
        return False


async def presenter(address: str, until: asyncio.Event) -> list[float]:
    """Asks for a cover that nobody has seen, again and again, in the lane of her own."""
    waits, seed = [], 50_000_000
    async with httpx.AsyncClient(base_url=address, timeout=60, cookies={COOKIE: KEY}) as client:
        while not until.is_set():
            begin, seed = time.perf_counter(), seed + 1
            answer = await client.get(f"/cover/{seed}.png")
            assert answer.status_code == 200, answer.text
            waits.append(time.perf_counter() - begin)
            await asyncio.sleep(1)
    return waits


def memory(pid: int) -> float:
    """Resident megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


async def hall(address: str, pid: int) -> dict:
    until = asyncio.Event()
    her = asyncio.create_task(presenter(address, until))
    phones = [Phone(address, number) for number in range(PHONES)]

    async def arrive(phone: Phone) -> None:
        await asyncio.sleep(phone.draw.uniform(0, WITHIN))
        await phone.open()
        await phone.press()

    await asyncio.gather(*map(arrive, phones))
    rush = [wait for phone in phones for wait in phone.waits]
    full = sum(phone.full for phone in phones)
    end, grown = time.perf_counter() + MINUTES * 60, []
    for phone in phones:
        phone.waits.clear()

    async def stay(phone: Phone) -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(phone.draw.uniform(1, 5))
            await phone.wish()

    async def weigh() -> None:
        for _ in range(MINUTES * 2):
            await asyncio.sleep(30)
            grown.append(memory(pid))

    await asyncio.gather(*map(stay, phones[:STAYING]), weigh())
    until.set()
    steady = [wait for phone in phones for wait in phone.waits]
    films, edits = ([wait for phone in phones for wait in getattr(phone, kind)] for kind in ("films", "edits"))
    for phone in phones:
        await phone.client.aclose()
    return {
        "rush": rush,
        "steady": steady,
        "films": films,
        "edits": edits,
        "presenter": await her,
        "full": full,
        "memory": grown,
    }


def test_a_hall_full_of_phones(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBUM_GAN_PRESENTER", KEY)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with serve("bundled", free_port(), tmp_path) as address:
        pid = int(next(tmp_path.glob("album-gan-page-*")).name.split("-")[3])
        seen = asyncio.run(hall(address, pid))
    p95 = {name: float(np.percentile(seen[name], 95)) for name in ("rush", "steady", "films", "edits", "presenter")}
    print(
        f"p95: {p95['rush']:.2f} s in the rush; after it {len(seen['steady'])} walls {p95['steady']:.2f} s, "
        f"{len(seen['films'])} films {p95['films']:.2f} s, {len(seen['edits'])} edits {p95['edits']:.2f} s; "
        f"presenter {p95['presenter']:.2f} s "
        f"(longest {max(seen['presenter']):.2f} s); {seen['full']} times full; MB: {[round(m) for m in seen['memory']]}"
    )
    assert len(seen["rush"]) > 0.9 * PHONES
    assert len(seen["films"]) > 20
    assert len(seen["edits"]) > 20
    assert max(seen["presenter"]) < 2
    assert seen["memory"][-1] - seen["memory"][1] < CACHES
