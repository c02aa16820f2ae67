"""What the tabs' events do, without a page: values of components in, values of components out."""

import json
import re
from importlib.resources import files
from types import SimpleNamespace
from urllib.parse import urlencode

import av
import gradio as gr
import numpy as np
import pytest
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.inference.latents import name_of, seed_for_any_text
from album_gan.space.drawing_order import Lane
from album_gan.space.links import read_query, view_of_link
from album_gan.space.screen import WALL_SIZE, read_wall_size
from album_gan.space.service import CoverService
from album_gan.space.tabs import generate, interpolate, upscale
from album_gan.space.validation import Cover, check_archive

REQUEST = SimpleNamespace(client=SimpleNamespace(host="127.0.0.9"), headers={}, cookies={})
PHONE = "4"


@pytest.fixture(scope="module")
def service(tiny_pipeline):
    return CoverService(tiny_pipeline)


def test_a_new_wall_has_as_many_covers_as_fit(service):
    wall = generate.Handlers(service).new_wall(0.7, "", PHONE)
    assert len(set(wall["seeds"])) == 4
    assert wall["names"] == [name_of(seed) for seed in wall["seeds"]]
    assert wall["truncation"] == 0.7
    with pytest.raises(gr.Error, match="truncation must be from 0"):
        generate.Handlers(service).new_wall(9, "", PHONE)


def test_what_was_typed_comes_first_and_says_how_it_was_read(service):
    handlers, wall = generate.Handlers(service), {"seeds": [5, 7, 9, 11]}
    words = handlers.find("my <b>song", wall, 1.0, "", PHONE)
    assert words["seeds"] == [seed_for_any_text("my <b>song")[0], 5, 7, 9]
    assert words["opened"]["note"] == generate.NOTE
    exact = handlers.find(name_of(7), wall, 1.0, "", PHONE)
    assert (exact["seeds"], exact["opened"]["note"]) == ([7, 5, 9, 11], "")
    with pytest.raises(gr.Error, match="The field is empty"):
        handlers.find("  ", wall, 1.0, "", PHONE)
    with pytest.raises(gr.Error, match="the wall is unreadable"):
        handlers.find("1", {"seeds": [None]}, 1.0, "", PHONE)


def test_a_found_cover_is_shown_with_the_settings_it_was_found_with(service, tmp_path):
    service.pipe(seeds=[5]).images[0].save(tmp_path / "five.png")
    *_, (truncation, label, wall) = generate.Handlers(service).find_picture(str(tmp_path / "five.png"), PHONE, REQUEST)
    assert (truncation, label) == (wall["truncation"], wall["label"]) == (1.0, "")
    assert wall["seeds"][0] == 5
    assert wall["note"] == f"Nearest to your picture: {name_of(5)}, 0% away"


def test_a_loop_is_checked_before_it_waits(service):
    assert interpolate.check_loop("1, 2, anna", 2, "double") == ([1, 2, seed_for_any_text("anna")[0]], 60, 60)
    for wrong in (("1-9", 2, "normal"), ("1,2", 9, "normal"), ("1,2", 2, "fast")):
        with pytest.raises(ValueError, match="must"):
            interpolate.check_loop(*wrong)


def test_a_film_for_a_projector_is_enlarged(service):
    morph = interpolate.Handlers(service).morph("1, 2", 1, "normal", True, "mp4", 64, 1.0, "", REQUEST)
    *_, (_, video, _, _) = morph
    with av.open(video.value["path"]) as film:
        frames = list(film.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (30, 64, 64)


def test_an_enlargement_is_checked_by_the_header_alone(service, tmp_path):
    wide = tmp_path / "wide.png"
    Image.new("RGB", (200, 100)).save(wide)
    wide.write_bytes(wide.read_bytes()[:60])  # the header is there, the picture is not
    strip, large = tmp_path / "strip.png", tmp_path / "large.png"
    Image.new("RGB", (160, 20)).save(strip)
    Image.new("L", (3001, 3001)).save(large)
    plain = ("", "", "headline")
    for order, words in (
        (upscale.Order(None, 512, None, plain), "image is missing"),
        (upscale.Order(str(wide), 100, None, plain), "size must be from 200"),
        (upscale.Order(str(wide), 3000, None, plain, True), "must be square, the picture is 200x100"),
        (
            upscale.Order(str(strip), 512, None, ("Night Bus", "", "headline")),
            "128 pixels or more for type, got 512x64",
        ),
        (upscale.Order(str(large), 3000, None, plain, True), "at most 3000 pixels, the picture is 3001x3001; make it"),
        (upscale.Order(str(wide), 512, None, ("x" * 999, "", "headline")), "title"),
    ):
        with pytest.raises(ValueError, match=words):
            order.check()
    upscale.Order(str(wide), 512, None, plain).check()
    with pytest.raises(ValueError, match="truncated"):
        upscale.Order(str(wide), 512, None, plain).make(service, 1)


def test_both_sides_of_the_handle_have_the_words(service, tmp_path):
    """At the same place: a letter is as white before as after, where the plain pictures are grey."""
    plain = tmp_path / "grey.png"
    Image.new("RGB", (128, 128), (60, 60, 60)).save(plain)
    made = upscale.Order(str(plain), 512, "lanczos", ("Night Bus", "Otter", "headline")).make(service, 1)
    before, after = (np.asarray(Image.open(file).convert("L"), int) for file in (made.before, made.file))
    assert before.shape == after.shape == (512, 512)
    assert (before > 200).sum() > 1000
    assert ((before > 200) == (after > 200)).mean() > 0.99
    assert upscale.Order(str(plain), 512, "lanczos", ("", "", "headline")).make(service, 1).before == plain


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, {"tab": "generate", "interpolate": None, "upscale": None, "notice": ""}),
        ({"tab": "interpolate", "seeds": "7,my song, <b>x"}, {"interpolate": f"{name_of(7)}; my song; <b>x"}),
        ({"tab": "interpolate", "seeds": "1-3"}, {"interpolate": ", ".join(map(name_of, (1, 2, 3)))}),
        ({"tab": "upscale", "seeds": "my song"}, {"upscale": "my song", "tab": "upscale"}),
        ({"tab": "nope", "seeds": "9-1", "truncation": "NaN"}, {"tab": "generate", "truncation": 1.0}),
        ({"truncation": "nan", "seeds": "5"}, {"truncation": 1.0}),
        ({"truncation": "0.5", "seeds": "1,,2"}, {"truncation": 0.5}),
        ({"label": "jazz", "model": "0badf00d"}, {"label": ""}),
    ],
)
def test_a_link_shows_what_is_right_in_it(tiny_pipeline, query, shown):
    view = view_of_link(tiny_pipeline, query, 4)
    assert shown.items() <= view.items()
    assert ("another model" in view["notice"]) == ("model" in query)
    assert view["notice"].startswith("seeds ") == (query.get("seeds") in ("9-1", "1,,2"))
    seeds = [5] if query.get("seeds") == "5" else [0, 1, 2, 3]
    assert view["wall"]["seeds"] == seeds


def test_no_long_link_is_cut(tiny_pipeline):
    names = [f"Zoë und die Häuser {place} {'x' * 170}" for place in range(64)]
    link = "?" + urlencode({"seeds": "; ".join(names), "truncation": "0.5"})
    view = view_of_link(tiny_pipeline, read_query(link), 4)
    assert (view["wall"]["typed"], view["truncation"], view["notice"]) == (names, 0.5, "")
    view = view_of_link(tiny_pipeline, read_query(link + "&seeds=" + "1" * 20_001), 4)
    assert view["notice"] == "seeds must be at most 20000 characters, got 20001; ask in several calls"
    assert view["truncation"] == 0.5


def test_only_the_wall_that_was_picked_says_so():
    pipe, queries = AlbumCoverPipeline.from_pretrained(), ({}, {"label": "jazz"}, {"seeds": "5"}, {"truncation": "0.5"})
    assert [view_of_link(pipe, query, 4)["wall"]["note"] for query in queries] == ["Hand-picked", "", "", ""]


def test_a_browser_may_send_anything_as_the_size_of_its_wall():
    assert [read_wall_size(text) for text in ("4", "0", "-7", "9" * 99)] == [4, 1, 1, 64]
    for text in ("", "[]", "x", "1e999", "[" * 9999, None, "9" * 9999):
        assert read_wall_size(text) == WALL_SIZE


def test_an_archive_takes_words_in_place_of_a_seed():
    seed = seed_for_any_text("The Flat Tyres")[0]
    for row in (["The Flat Tyres", 1, "", "The Flat Tyres"], [seed, 1, "", "The Flat Tyres"]):
        assert check_archive(json.dumps([row])) == [Cover(seed, 1.0, None, "The Flat Tyres")]
    assert check_archive('[[7, 1, "", "The Flat Tyres"]]') == [Cover(7, 1.0)]  # no link renames a cover


def test_an_archive_is_of_covers_with_settings_of_their_own():
    assert check_archive('[[1, 0.7, "jazz"], ["2", 1, ""]]') == [Cover(1, 0.7, "jazz"), Cover(2, 1.0, None)]
    for text in (
        "",
        "[]",
        "{}",
        "[[1]]",
        "[[1, 9, null]]",
        '[["x", 1, null]]',
        "[1]",
        '[[null, 1, ""]]',
        "[[1.5, 1, null]]",
        f"[{'[1,1,null],' * 64}[1,1,null]]",
    ):
        with pytest.raises(ValueError, match=r"must|cover"):
            check_archive(text)


def test_the_presenters_pictures_for_upscale_do_not_wait_with_the_audience(service, monkeypatch):
    lanes = []
    monkeypatch.setattr(service, "save", lambda covers, client: lanes.append(client.lane) or ["a.png"])
    tab = upscale.Handlers(service)
    for key in ("", service.presenter.key):
        cookies = {"album_gan_presenter7860": key}
        tab.choose_cover("5", 1, "", SimpleNamespace(client=REQUEST.client, headers={}, cookies=cookies))
    assert lanes == [Lane.AUDIENCE, Lane.PRESENTER]
    with pytest.raises(gr.Error, match="seed must be one number or name, got 3; take one of them"):
        tab.choose_cover("5-7", 1, "", REQUEST)


def test_browsers_without_light_dark_get_all_colours():
    """Safari before 17.5, for example: a colour that is missing there would be invisible on the stage."""
    style = (files("album_gan") / "page_style" / "style.css").read_text()
    plain = style.partition("@supports not (color: light-dark(#000, #fff)) {")[2].partition("\n}\n")[0]
    both = re.findall(r"(--[\w-]+): light-dark\((#\w+), (#\w+)\)", style)
    assert len(both) > 10
    assert dict(re.findall(r"(--[\w-]+): (#\w+)", plain)) == {name: dark for name, _, dark in both}
