"""Thousands of calls to everything that the page offers, with what no person would send."""

import asyncio
import json
import math
import random
import subprocess
import urllib.parse
from pathlib import Path

import pytest
from serving import free_port, serve

httpx = pytest.importorskip("httpx", reason="the page needs album-gan[demo]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
CALLS = 3000
SECRET = "the-secret-in-a-file-outside"
ADDRESSES = (
    "/cover/{}.png?truncation={}&label={}&title={}&size=512",
    "/cover/{}.webp?size={}",
    "/film/{}/{}.mp4?truncation={}",
    "/edit/{}.png?edits={}&style={}",
    "/covers.zip?seeds={}",
    "/deal.json?count={}",
    "/learn/moment/{}/{}.webp",
    "/learn/layers.json?model={}&seed={}&mute={}",
    "/learn/source/{}.py",
    "/gradio_api/file={}",
    "/{}",
)
TRACES = ("Traceback", "site-packages", 'File "/')


def nasty(draw: random.Random, secret: Path):
    """One value of any kind, often wrong, now and then right."""
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    values = [
        None, True, -1, 0, 1, 0.5, 32, 33, 5000, 1e308, -1e308, 10**30, math.pi,
        "", "1", "1,2", "1-3", "0-99999999", "-", "9-1", "velvet-otter-042", "mp4", "lanczos", "headline", "nan",
        "../../x", "../../../../etc/passwd", str(secret), "x" * 5000, "\x00", "\ud7ff", "٣",
        "<img src=x onerror=alert(1)>", "'; DROP TABLE covers; --", "{{7*7}}",
        [], {}, [[]], [1, "a"], {"a": {"b": {"c": 1}}}, {"seeds": [1, 2]}, {"seeds": "x"}, {"seeds": [None]},
        file, [file], {"path": "/etc/passwd"}, {"path": "x" * 300},
        {"url": "http://127.0.0.1:1/x.png", "meta": {"_type": "gradio.FileData"}},
    ]  # fmt: skip
    return draw.choice(values)


async def call(client, kind, target, data, session) -> tuple[int, str]:
    """Status and text of one call, by the named API, by the numbers that the page itself uses, or by address."""
    if kind == "path":
        answer = await client.get(target)
        return answer.status_code, answer.text if "image" not in answer.headers.get("content-type", "") else ""
    if kind == "name":
        asked = await client.post(f"/gradio_api/call{target}", json={"data": data})
        if asked.status_code != 200:
            return asked.status_code, asked.text
        result = await client.get(f"/gradio_api/call{target}/{asked.json()['event_id']}")
        return result.status_code, result.text
    body = {"data": data, "fn_index": target, "session_hash": session, "event_data": data[0] if data else None}
    answer = await client.post(draw_way(target), json=body)
    return answer.status_code, answer.text


def draw_way(number: int) -> str:
    """The queue, as the page does it, or gradio's way past it."""
    return "/gradio_api/run/predict" if number % 4 == 0 else "/gradio_api/queue/join"


async def attack(address: str, secret: Path) -> list[tuple]:
    draw, results = random.Random(0), []
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        info = (await client.get("/gradio_api/info")).json()["named_endpoints"]
        config = (await client.get("/config")).json()
        numbers = [(dep["id"], len(dep["inputs"])) for dep in config["dependencies"]]
        gate = asyncio.Semaphore(24)

        async def one(number: int) -> None:
            kind = draw.choice(["name", "name", "number", "path", "path"])
            if kind == "name":
                target, endpoint = draw.choice(sorted(info.items()))
                data = [nasty(draw, secret) for _ in endpoint["parameters"]]
                data = data[: draw.choice([len(data)] * 5 + [0, 1])]
            elif kind == "number":
                target, count = draw.choice(numbers)
                data = [nasty(draw, secret) for _ in range(count)]
            else:
                slashes = draw.choice(["", "/"])
                quoted = [urllib.parse.quote(str(nasty(draw, secret)), safe=slashes) for _ in range(4)]
                form = draw.choice(ADDRESSES)
                target, data = form.format(*quoted), []
            async with gate:
                status, text = await call(client, kind, target, data, f"attack{number % 50}")
            results.append((kind, target, data, status, text))

        await asyncio.gather(*(one(number) for number in range(CALLS)))
        still = await client.post("/gradio_api/call/generate", json={"data": ["1", 1.0, None]})
        stream = await client.get(f"/gradio_api/call/generate/{still.json()['event_id']}")
        assert "event: complete" in stream.text, "the page no longer works after the attack"
    return results


def test_no_call_breaks_the_page_or_gets_out_of_its_folder(tiny_model, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    files = tmp_path / "files"
    files.mkdir()
    with serve(tiny_model, free_port(), files) as address:
        results = asyncio.run(attack(address, secret))
        outside = subprocess.run(
            ["find", str(tmp_path), "-newer", str(secret), "-type", "f", "-not", "-path", f"{files}/*"],
            capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        large = [file for file in files.rglob("*") if file.is_file() and file.stat().st_size > 20_000_000]
    assert len(results) == CALLS
    broken = [result[:4] for result in results if result[3] >= 500 and result[3] != 503]
    assert not broken, json.dumps(broken[:10], default=str)[:3000]
    telling = [result for result in results if SECRET in result[4] or any(trace in result[4] for trace in TRACES)]
    assert not telling, str(telling[:3])[:3000]
    markup = [
        result for result in results if "onerror" in result[4] and "<img src=x" in result[4] and result[0] != "path"
    ]
    assert not markup, str(markup[:3])[:2000]
    assert set(outside) <= {str(secret)}
    assert large == []
