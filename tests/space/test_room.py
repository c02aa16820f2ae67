# ruff: noqa: F811  fixtures come from browsing.py
"""Fool the critic: a host, phones, votes, and nothing that gives the answer away."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from browsing import axe, axe_problems, browser, expect, server, visit  # noqa: F401
from drawn_covers import save_covers
from PIL import Image
from serving import free_port, run_async
from starlette.applications import Starlette
from starlette.testclient import TestClient

from album_gan.space import room as space_room
from album_gan.space.app import launch
from album_gan.space.drawing_order import Lane
from album_gan.space.errors import RefusedError
from album_gan.space.lan_address import Invitation, invitation
from album_gan.space.lessons import Lessons
from album_gan.space.room import Room, Round, next_readable, picture_files
from album_gan.space.service import CoverService


@pytest.fixture(scope="module")
def model():
    return "teaching"


def get(server, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{server.address}/{path}", data=data)) as answer:
        return json.loads(answer.read())


def refused(server, path, body=None, *, status: int) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, path, body)
    assert caught.value.code == status
    return caught.value.read().decode()


def until(server, phase, voter=None):
    for _ in range(150):
        view = get(server, f"learn/room.json{f'?voter={voter}' if voter else ''}")
        if view["phase"] == phase:
            return view
        time.sleep(0.1)
    raise AssertionError(f"never {phase}: {view}")


@pytest.mark.slow
def test_a_game_with_a_phone(server, visit, axe):
    stage = visit("?tab=learn#panel=room")
    stage.wait_for_selector(".panel[data-ready=yes]")
    expect(stage.get_by_text("Synthetic covers stand in for real ones")).to_be_visible()
    phone = stage.context.browser.new_page(viewport={"width": 390, "height": 844})
    phone.goto(f"{server.address}/vote")
    expect(phone.get_by_text("Wait for the game to start.")).to_be_visible()
    assert phone.get_by_role("button", name="Real").is_disabled()
    phone.evaluate(axe)
    assert axe_problems(phone, "phone") == []

    stage.get_by_label("Covers in a game").select_option("4")
    stage.locator("[data-do=start-game]").click()
    view = until(server, "voting")
    assert "answer" not in view
    assert "results" not in view
    picture = f"{server.address}/learn/room/{view['game']}/0.webp"
    assert Image.open(BytesIO(urllib.request.urlopen(picture).read())).size == (64, 64)
    assert "its turn has not come" in refused(server, f"learn/room/{view['game']}/2.webp", status=404)
    phone.get_by_role("button", name="Fake").click()
    expect(phone.get_by_role("button", name="Fake")).to_have_attribute("aria-pressed", "true")
    expect(stage.get_by_text("fake 1")).to_be_visible()
    phone.get_by_role("button", name="Real").click()  # a change of mind counts
    expect(stage.get_by_text("real 1")).to_be_visible()
    view = until(server, "revealed")
    assert view["tally"] == {"real": 1, "drawn": 0}
    expect(phone.get_by_text(f"It was {'real' if view['answer']['is_real'] else 'fake'}.")).to_be_visible()
    late = {"game": view["game"], "round": 0, "voter": "x", "real": True}
    assert "over" in refused(server, "learn/room/vote", late, status=409)
    stage.get_by_role("button", name="Stop").click()
    until(server, "idle")
    phone.close()


def test_nonsense_is_refused(server):
    for body in ({"round": None}, [], {}, {"game": 1}, "x"):
        assert "a vote must be JSON" in refused(server, "learn/room/vote", body, status=404)
    assert "rounds must be" in refused(server, "learn/room/start?rounds=900", {}, status=404)


def test_a_link_replays_a_game(visit):
    page = visit("?tab=learn#panel=room&replay=W1sxLCIiLDcsMSwzLDFdLFswLCJ2ZWx2ZXQtb3R0ZXItMDQyIixudWxsLDAsMCw0XV0")
    expect(page.get_by_text("A room was right about 2 of 2 covers, the critic about 2.")).to_be_visible()
    page.wait_for_function(
        "[...document.querySelectorAll('.results img')].filter(image => image.naturalWidth).length === 2"
    )
    page = visit("?tab=learn#panel=room&replay=nonsense")
    expect(page.get_by_text("This link cannot be read")).to_be_visible()


def test_the_score_is_the_rooms_majority():
    rounds = [
        Round(b"", True, 1.0, votes={"a": True, "b": True, "c": False}),
        Round(b"", False, 1.0, votes={"a": True}),
    ]
    room = Room.__new__(Room)
    room._lock, room._rounds, room._game, room._preparing = threading.Lock(), rounds, "g", False
    room._begun = time.monotonic() - 1_000
    room.files, room._network = [], "teaching"
    room.invite = type("Invitation", (), {"qr": "", "url": ""})()
    view = room._view("a")
    assert (view["phase"], view["score"]) == ("over", {"room": 1, "critic": 1, "of": 2})
    assert (view["right"], view["players"]) == (1, 3)


def test_through_a_tunnel_only_the_presenter_is_the_host(tiny_pipeline):
    """Then every phone's requests come from this computer."""
    service = CoverService(tiny_pipeline)
    asked = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"), headers={}, cookies={}, query_params={})
    Room(Lessons(service), Invitation("http://192.168.7.42:7860"))._check_host(asked)
    room = Room(Lessons(service), invitation(7860, lan=False, public_url="https://covers.example"))
    with pytest.raises(RefusedError, match="only the presenter can start and stop a game") as refused:
        room._check_host(asked)
    assert refused.value.status == 403
    asked.cookies["album_gan_presenter7860"] = service.presenter.key
    room._check_host(asked)


def test_a_game_of_two_rounds_with_the_hosts_covers(tiny_pipeline, tmp_path, monkeypatch):
    """By the clock: what is shown when, which votes count, and who was right."""
    pink = (250, 0, 250)  # as no network draws a whole cover
    for number in range(4):
        Image.new("RGB", (80, 60), pink).save(tmp_path / f"{number}.png")
    clock = [0.0]
    monkeypatch.setattr(space_room, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    room = Room(Lessons(CoverService(tiny_pipeline)), Invitation(), picture_files(tmp_path))
    client = TestClient(Starlette(routes=room.all()), client=("127.0.0.1", 40_000))

    def view(voter: str) -> dict:
        return client.get("/learn/room.json", params={"voter": voter}).json()

    def vote(voter: str, place: int, real: bool) -> int:
        body = {"game": game, "round": place, "voter": voter, "real": real}
        return client.post("/learn/room/vote", json=body).status_code

    begun = client.post("/learn/room/start?rounds=2").json()
    game = begun["game"]
    assert (begun["phase"], begun["rounds"], begun["source"]) == ("ready", 2, space_room.REAL)
    assert vote("right", 0, True) == 409
    answers = []
    for place in range(2):
        clock[0] = 1.0 + place * (space_room.VOTE + space_room.REVEAL) + 0.5
        asked = view("right")
        assert (asked["phase"], asked["round"], "answer" in asked) == ("voting", place, False)
        picture = Image.open(BytesIO(client.get(f"/learn/room/{game}/{place}.webp").content)).convert("RGB")
        is_real = bool(np.abs(np.asarray(picture, int) - pink).max() < 30)
        assert [vote("right", place, not is_real), vote("right", place, is_real)] == [200, 200]  # the last one counts
        assert [vote("wrong", place, not is_real), vote("late", 1 - place, True)] == [200, 409]
        assert client.get(f"/learn/room/{game}/{place + 1}.webp").status_code == 404
        clock[0] += space_room.VOTE
        shown = view("right")
        answers.append(shown["answer"])
        assert (shown["phase"], shown["answer"]["is_real"], shown["tally"]) == (
            "revealed",
            is_real,
            {"real": 1, "drawn": 1},
        )
        assert shown["right"] == place + 1
        assert vote("wrong", place, is_real) == 409
    clock[0] += space_room.REVEAL
    over = view("right")
    assert (over["phase"], over["results"], over["players"], over["right"]) == ("over", answers, 2, 2)
    assert sorted(answer["is_real"] for answer in answers) == [False, True]
    assert view("wrong")["right"] == 0
    assert over["score"]["room"] == 0  # a tie is no majority
    assert over["score"]["critic"] == sum(answer["critic"] == answer["is_real"] for answer in answers)
    assert client.post("/learn/room/stop").json()["phase"] == "idle"


def test_a_game_can_be_stopped_while_it_is_prepared(tiny_pipeline):
    service = CoverService(tiny_pipeline)
    room = Room(Lessons(service), Invitation("http://192.168.7.42:7860"))
    asked = SimpleNamespace(
        client=SimpleNamespace(host="127.0.0.1"), headers={}, cookies={}, query_params={"rounds": "2"}
    )

    async def play():
        with service.lock.hold(Lane.PRESENTER):  # nothing is drawn
            first = asyncio.create_task(room.start(asked))
            await asyncio.sleep(0.1)
            assert room._view(None)["phase"] == "preparing"
            await room.stop(asked)
            assert room._view(None)["phase"] == "idle"
            second = asyncio.create_task(room.start(asked))
            await asyncio.sleep(0.1)
            game = room._view(None)["game"]
        await asyncio.wait_for(asyncio.gather(first, second), 60)
        view = room._view(None)
        assert (view["phase"], view["game"], view["rounds"]) == ("ready", game, 2)

    run_async(play())


def test_real_covers_come_from_the_folder_that_the_host_names(tmp_path):
    save_covers(tmp_path / "covers" / "deep", 3)
    assert len(picture_files(tmp_path / "covers")) == 3
    with pytest.raises(ValueError, match=r"covers must be a folder, got .*nowhere', where there is none"):
        launch("no-such-model", port=free_port(), covers=str(tmp_path / "nowhere"))  # before the model is loaded
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"covers must be a folder with pictures .*empty', which has none"):
        picture_files(tmp_path / "empty")


def test_real_covers_are_shown_with_transparency_on_white(tmp_path):
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "cover.png")
    picture = next_readable([tmp_path / "cover.png"])
    assert (picture.mode, picture.getextrema()) == ("RGB", ((255, 255),) * 3)


@pytest.mark.slow
def test_thirty_phones_for_two_minutes(server):
    """Every phone asks what is going on twice a second and votes in every round; nothing fails, nothing is slow."""
    failures, slowest = [], [0.0]
    end = time.monotonic() + 120

    def phone(number: int) -> int:
        voted = set()
        while time.monotonic() < end:
            try:
                begun = time.monotonic()
                view = get(server, f"learn/room.json?voter=phone{number}")
                if view["phase"] == "voting" and view["left"] > 0.5 and view["round"] not in voted:
                    vote = {
                        "game": view["game"],
                        "round": view["round"],
                        "voter": f"phone{number}",
                        "real": number % 2 == 0,
                    }
                    get(server, "learn/room/vote", vote)
                    voted.add(view["round"])
                slowest[0] = max(slowest[0], time.monotonic() - begun)
            except (OSError, ValueError) as error:
                failures.append(repr(error))
            time.sleep(0.5)
        return len(voted)

    get(server, "learn/room/start?rounds=12", {})
    with ThreadPoolExecutor(30) as phones:
        votes = list(phones.map(phone, range(30)))
    assert failures == []
    assert min(votes) >= 11
    assert slowest[0] < 2
    view = until(server, "over")
    assert all(one["real"] == one["drawn"] == 15 for one in view["results"][:11])
    print(f"slowest answer {slowest[0]:.3f} s")
