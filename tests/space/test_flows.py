# ruff: noqa: F811  fixtures come from browsing.py
"""What people do at the page, in Chromium, beyond the first glance; and that everybody can."""

import contextlib
import json
import re
import zipfile
from io import BytesIO
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import pytest
from browsing import (  # noqa: F401
    ask_for,
    axe,
    axe_problems,
    browser,
    downloaded,
    expect,
    look,
    model,
    open_accordion,
    open_tab,
    same,
    server,
    visit,
    wait_for_wall,
)
from PIL import Image

from album_gan.editing.similar import POOL
from album_gan.inference.latents import name_of
from album_gan.media.image_files import read_settings

pytestmark = pytest.mark.long

SIZES = {"projector": (1920, 1080), "phone": (360, 740)}


def sizes(*quick):
    """Parametrizes a test by both sizes; a size that is not named in `quick` is a slow test."""
    marks = {name: [] if name in quick else [pytest.mark.slow] for name in SIZES}
    return pytest.mark.parametrize("size", [pytest.param(SIZES[name], id=name, marks=marks[name]) for name in SIZES])


def tile(page, seed):
    return page.locator(".wall .tile", has_text=name_of(seed))


@sizes("phone")
def test_a_cover_is_kept_across_a_reload_and_forgotten_again(visit, size):
    page = visit("", *size)
    tile(page, 2).click()
    page.get_by_role("button", name="Keep").click()
    page.reload()
    kept = page.locator("[data-shelf=kept] .tile")
    expect(kept).to_have_text([name_of(2)])
    kept.click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name_of(2))
    page.get_by_role("button", name="Forget").click()
    page.keyboard.press("Escape")
    expect(page.locator("[data-shelf=kept]")).to_be_hidden()


def uploads_of(page) -> list[str]:
    """Addresses to which the page sends files from now on."""
    uploads = []
    page.on("request", lambda request: uploads.append(request.url) if "/upload" in request.url else None)
    return uploads


@sizes("phone")
def test_a_picture_brings_its_settings_back(visit, size, tmp_path):
    page = visit("?seeds=77&truncation=0.6", *size)
    tile(page, 77).click()
    picture = tmp_path / "mine.png"
    downloaded(page, page.get_by_role("link", name="Download", exact=True)).save_as(picture)
    before = look(page)
    page = visit("", *size)
    uploads = uploads_of(page)
    open_accordion(page, "Settings")
    page.get_by_label("Restore from a picture").set_input_files(picture)
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name_of(77))
    page.keyboard.press("Escape")
    wait_for_wall(page)
    assert same(before, look(page))
    expect(page).to_have_url(re.compile("truncation=0.6"))
    assert uploads == []
    expect(page.get_by_text("A picture without settings is sent to the computer that runs")).to_be_visible()


@pytest.mark.slow
def test_the_nearest_cover_to_a_picture_without_settings_is_found(visit, tmp_path):
    page = visit("?truncation=0.6")
    uploads = uploads_of(page)
    open_accordion(page, "Settings")
    other = tmp_path / "other.png"
    Image.new("RGB", (9, 9)).save(other)
    page.get_by_label("Restore from a picture").set_input_files(other)
    expect(page.get_by_text(re.compile("Nearest to your picture"))).to_be_visible()
    assert uploads
    expect(page).to_have_url(re.compile("truncation=1&"))  # at which it was found


def test_all_covers_come_in_one_archive(visit):
    page = visit("?seeds=1-3")
    open_accordion(page, "Settings")
    link = page.get_by_role("link", name="Download all (ZIP)")
    link.hover()
    with zipfile.ZipFile(downloaded(page, link).path()) as archive:
        assert archive.namelist() == [f"{seed:02d} {name_of(seed)}.png" for seed in (1, 2, 3)]


def test_kept_covers_come_with_settings_of_their_own(visit):
    page = visit("?seeds=2&truncation=0.5")
    for truncation in (0.5, 1.0):
        if truncation == 1.0:
            page.goto(page.url.replace("0.5", "1.0"))
            page.wait_for_function("document.querySelector('.wall .tile[data-url*=\"truncation=1&\"][data-name]')")
        tile(page, 2).click()
        page.get_by_role("button", name="Keep").click()
        page.keyboard.press("Escape")
    open_accordion(page, "Settings")
    link = page.get_by_role("link", name="Download kept (ZIP)")
    page.get_by_role("link", name="Download all (ZIP)").hover()
    with zipfile.ZipFile(downloaded(page, link).path()) as archive:
        settings = [read_settings(Image.open(BytesIO(archive.read(name)))) for name in archive.namelist()]
    assert [(one["seed"], one["truncation"]) for one in settings] == [(2, 0.5), (2, 1.0)]

    kept = page.locator("[data-shelf=kept] .tile").first
    kept.click()
    page.get_by_role("dialog").get_by_role("button", name="Upscale").click()
    page.locator("#enlarge").click()
    settings = read_settings(Image.open(downloaded(page, page.locator("#download-large")).path()))
    assert settings["truncation"] == 0.5  # and not the wall's


def test_the_page_says_what_is_too_much_to_keep_or_pin(visit):
    page = visit("?seeds=0-8")
    page.evaluate(
        """albumGan.store(Array.from({ length: 70 }, (_, seed) =>
            ({ name: String(seed), seed, truncation: 1, label: "", model: albumGan.setup.model })))"""
    )
    open_accordion(page, "Settings")
    page.get_by_role("link", name="Download all (ZIP)").hover()
    expect(page.locator("[data-tool=kept-zip]")).to_have_text("Download the newest 64 of 70 kept (ZIP)")
    card = page.get_by_role("dialog")
    tile(page, 0).first.click()
    for number in range(8):
        card.get_by_role("button", name="Pin", exact=True).click()
        expect(card.get_by_role("button", name=f"Unpin {'ABCDEFGH'[number]}")).to_be_visible()
        page.keyboard.press("ArrowRight")
    card.get_by_role("button", name="Pin", exact=True).click()
    expect(card.locator(".note")).to_have_text("Eight covers are pinned; unpin one first.")
    page.keyboard.press("ArrowLeft")
    card.get_by_role("button", name="Unpin H").click()
    page.keyboard.press("ArrowRight")
    card.get_by_role("button", name="Pin", exact=True).click()
    expect(card.get_by_role("button", name="Unpin H")).to_be_visible()


def test_forget_is_about_the_cover_of_this_style(visit):
    page = visit("?seeds=2")
    name = name_of(2)
    script = (
        "([name]) => albumGan.store([{ name, seed: 2, truncation: 1, label: 'jazz', model: albumGan.setup.model }])"
    )
    page.evaluate(script, [name])
    tile(page, 2).first.click()
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate(script.replace("'jazz'", "''"), [name])
    tile(page, 2).first.click()
    expect(page.get_by_role("button", name="Forget")).to_be_visible()


@pytest.mark.parametrize(
    ("tab", "field"), [("interpolate", "#pinned textarea"), ("upscale", "#which :is(textarea, input)")]
)
def test_a_link_with_words_of_ones_own_brings_them_back(visit, tab, field):
    page = visit()
    open_tab(page, tab.title())
    words = "my first song, <i>rain</i>" if tab == "interpolate" else "my first song"
    page.locator(field).fill(words)
    page.locator(field).press("Enter")
    open_tab(page, "Generate")
    open_tab(page, tab.title())
    page.wait_for_function("location.search.includes('song')")
    page = visit(f"?{urlparse(page.url).query}")
    expect(page.locator(field)).to_have_value(words.replace(",", ";"))
    if tab == "upscale":
        expect(page.locator("#picture img[src*='song']")).to_be_visible()


def test_more_like_this_shows_neighbours(visit):
    page = visit()
    tile(page, 3).click()
    page.get_by_role("button", name="More like this").click()
    expect(page.get_by_text(f"Like {name_of(3)}", exact=True)).to_be_visible()
    wait_for_wall(page)
    names = list(look(page))
    assert names[0] == name_of(3)
    assert len(names) == 16
    pool = {name_of(seed) for seed in range(POOL)}
    assert set(names) <= pool


def test_more_like_typed_words_keeps_them(visit):
    page = visit()
    ask_for(page, "The Very Long Name")
    page.get_by_role("button", name="More like this").click()
    expect(page.get_by_text("Like The Very Long Name", exact=True)).to_be_visible()
    wait_for_wall(page)
    assert next(iter(look(page))) == "The Very Long Name"


def test_only_two_covers_are_compared(visit):
    page = visit("?seeds=3")
    compare = page.get_by_role("dialog").get_by_role("button", name="Compare")
    tile(page, 3).click()
    expect(compare).to_be_hidden()
    page.evaluate("albumGan.pinned('5')")
    expect(compare).to_be_visible()
    compare.click()
    expect(page.get_by_text(f"Left {name_of(3)}, right 5")).to_be_visible()


def test_undo_after_the_name_was_emptied_loses_no_edit(visit):
    page = visit("?tab=edit&seeds=3")
    expect(page.locator(".edit .stage img")).to_have_attribute("src", re.compile("/3.webp|edit/3"))
    for name in ("darker", "warmer"):
        page.get_by_role("slider", name=name).press("End")
    field = page.get_by_label("Cover, by name or seed")
    expect(field).to_have_attribute("maxlength", "200")  # as everywhere: cut words are another cover
    field.fill("")
    field.press("Enter")
    expect(page.get_by_text("Type a seed or a name.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    values = "[...document.querySelectorAll('.edit .direction input')].slice(0, 2).map(slider => slider.value)"
    assert page.evaluate(values) == ["3", "3"]
    expect(field).to_have_value("3")
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate(values) == ["3", "0"]


def test_a_name_typed_without_enter_is_the_one_enlarged(visit):
    page = visit("?tab=upscale&seeds=4")
    picture = page.locator("#picture img")
    expect(picture).to_be_visible()
    page.get_by_label("512", exact=True).check()
    page.locator("#which :is(textarea, input)").fill("a name of my own")
    page.locator("#enlarge").click()
    settings = read_settings(Image.open(downloaded(page, page.locator("#download-large")).path()))
    assert settings.get("typed") == "a name of my own", settings
    expect(picture).to_have_attribute("src", re.compile("a%20name"))


def test_a_near_miss_asks_and_the_answer_opens(visit):
    page = visit()
    ask_for(page, "velvt oter 42")
    page.get_by_role("button", name="Did you mean velvet-otter-042?").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("velvet-otter-042")
    page.keyboard.press("Escape")
    wait_for_wall(page)
    assert len(look(page)) == 16


@sizes("phone")
def test_words_are_set_in_type_and_stay_words(visit, size):
    page = visit("", *size)
    ask_for(page, "<i>Anna</i>")
    plain = downloaded(page, page.get_by_role("link", name="Download", exact=True)).path()
    page.get_by_text("Title and artist", exact=True).click()
    expect(page.get_by_label("Title")).to_have_value("<i>Anna</i>")
    page.get_by_label("Artist").fill("The Quiet")
    page.get_by_role("button", name="Add the text").click()
    page.wait_for_function("document.querySelector('dialog.cover .stage img').src.includes('artist=')")
    expect(page.get_by_alt_text("with the words <i>Anna</i> The Quiet")).to_be_visible()
    worded = downloaded(page, page.get_by_role("link", name="Download", exact=True)).path()
    plain, worded = Image.open(plain), Image.open(worded)
    assert read_settings(worded) == read_settings(plain)
    assert worded.size == (1024, 1024)


def test_a_link_shows_the_same_pixels_in_another_browser(visit):
    page = visit()
    page.get_by_role("button", name="New wall").click()
    page.wait_for_function("location.search.includes('seeds=')")
    wait_for_wall(page)
    before, query = look(page), urlparse(page.url).query
    after = look(visit(f"?{query}"))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_a_morph_can_be_cancelled(visit):
    page = visit("?tab=interpolate&seeds=1,2")
    page.get_by_label("512 pixels, for a projector").check()
    page.locator("#morph").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.wait_for_timeout(500)
    expect(page.locator("#loop video")).to_have_count(0)
    page.locator("#length input[type=range]").fill("2")
    page.get_by_label("double").check()
    page.get_by_label("32 pixels").check()
    page.locator("#morph").click()  # and the next one runs
    page.wait_for_function("document.querySelector('#loop video')?.readyState >= 2")
    assert page.eval_on_selector("#loop video", "video => video.duration") == pytest.approx(1, abs=0.1)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


@sizes("phone")
def test_a_cover_for_stores_has_words_and_says_what_one_may(visit, size):
    page = visit("?tab=upscale&seeds=4", *size)
    expect(page.locator("#picture img")).to_be_visible()
    open_accordion(page, "Title, artist, engine")
    page.get_by_label("lanczos").check()  # the network takes much longer; test_browser.py has it
    page.locator("#sleeve-title textarea, #sleeve-title input").fill("Velvet <b>Otter</b>")
    page.get_by_label("JPEG for stores, 3000").check()
    page.locator("#enlarge").click()
    expect(page.get_by_text("we cannot grant the right").first).to_be_visible()
    picture = Image.open(downloaded(page, page.locator("#download-large")).path())
    assert (picture.format, picture.size) == ("JPEG", (3000, 3000))
    assert read_settings(picture)["seed"] == 4


@sizes("projector")
def test_presenting_by_keyboard(visit, size):
    page = visit("", *size)
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    heading = stage.get_by_role("heading")
    expect(heading).to_have_text(name_of(0))
    for key, seed in (("PageDown", 1), ("ArrowRight", 2), (" ", 3), ("PageUp", 2)):
        page.keyboard.press(key)
        expect(heading).to_have_text(name_of(seed))
    page.keyboard.press("p")
    expect(stage.get_by_text("Pinned", exact=True)).to_be_visible()
    expect(stage.get_by_text("Start it with --lan to let phones in")).to_be_hidden()  # it is not for the audience
    page.keyboard.press("b")
    expect(heading).to_be_hidden()
    page.keyboard.press("b")
    page.keyboard.press("m")
    page.wait_for_function("document.querySelector('.present video').currentTime > 0")
    expect(heading).to_have_text(name_of(3))  # where the film leads
    page.keyboard.press("Escape")
    expect(stage).to_be_hidden()
    expect(page.locator("[data-shelf=pins] .tile")).to_have_text([f"A  {name_of(2)}"])


def test_tab_takes_no_key_from_the_stage(visit):
    page = visit()
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    heading = stage.get_by_role("heading")
    expect(heading).to_have_text(name_of(0))
    for seed, key in enumerate(("Tab", "Shift+Tab"), 1):
        page.keyboard.press(key)
        page.keyboard.press("PageDown")
        expect(heading).to_have_text(name_of(seed))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("PageUp")
    expect(heading).to_have_text(name_of(1))
    page.mouse.move(200, 200)
    page.mouse.move(300, 300)  # shows the way out
    page.keyboard.press("Tab")
    expect(stage.get_by_role("button", name="Leave")).to_be_focused()
    page.keyboard.press("Enter")
    expect(stage).to_be_hidden()
    expect(page.locator("#present-open")).to_be_focused()


@pytest.mark.slow
def test_a_key_on_stage_ends_what_was_going_on(visit):
    page = visit()
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    heading, hint = stage.get_by_role("heading"), stage.get_by_text("Five directions, from less to more")
    playing = "document.querySelector('.present').classList.contains('film')"
    page.keyboard.press("m")
    page.wait_for_function(playing)
    page.keyboard.press("x")
    page.wait_for_function(f"!{playing}")  # at once, so that the sheet can be seen
    expect(hint).to_be_visible()
    expect(heading).to_have_text(name_of(0))
    for key in ("0", "ArrowRight"):  # the mean cover comes too late
        page.keyboard.press(key)
    expect(heading).to_have_text(name_of(1))
    page.wait_for_load_state("networkidle")
    expect(heading).to_have_text(name_of(1))
    page.keyboard.press("q")
    expect(heading).to_be_hidden()
    page.keyboard.press("PageDown")
    expect(heading).to_have_text(name_of(2))
    expect(heading).to_be_visible()


@pytest.mark.slow
def test_left_alone_covers_morph_for_ever(visit):
    page = visit("?seeds=1,2")
    page.evaluate("albumGan.idleAfter = 100")
    page.get_by_role("button", name="Present").click()
    heading = page.get_by_role("dialog", name="Presenting").get_by_role("heading")
    expect(heading).to_have_text(name_of(2))
    expect(heading).not_to_have_text(name_of(2))  # on to covers that were dealt meanwhile


def test_a_wall_by_keyboard_alone(visit):
    page = visit()
    page.get_by_label("Type any name, get its cover").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#new-wall")).to_be_focused()
    page.keyboard.press("Tab")
    expect(tile(page, 0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name_of(1))
    page.keyboard.press("Escape")
    expect(tile(page, 0)).to_be_focused()


def test_covers_are_described_to_those_who_cannot_see_them(visit):
    texts = visit().eval_on_selector_all(".wall .tile img", "images => images.map(image => image.alt)")
    assert len(set(texts)) == 16
    assert all(text.startswith("Album cover ") and (", " in text) for text in texts)


def test_hues_have_their_names(visit):
    script = """colours => colours.map(colour => {
        const canvas = document.createElement("canvas");
        const context = canvas.getContext("2d");
        context.fillStyle = colour;
        context.fillRect(0, 0, canvas.width, canvas.height);
        return albumGan.describe(canvas, "").split(", ")[1];
    })"""
    names = {"#f00": "red", "#f80": "orange", "#ff0": "yellow", "#8f0": "green", "#0f0": "green", "#0f8": "turquoise",
             "#0ff": "turquoise", "#08f": "blue", "#00f": "blue", "#80f": "violet", "#f0f": "pink", "#f08": "pink",
             "#f02": "red", "#f20": "red", "#888": "grey"}  # fmt: skip
    assert dict(zip(names, visit().evaluate(script, list(names)), strict=True)) == names


@sizes("phone")
def test_axe_finds_nothing(visit, axe, size):
    page = visit("", *size)
    page.evaluate(axe)

    def check(where):
        assert axe_problems(page, where) == []

    check("wall")
    open_accordion(page, "Settings")
    check("More")
    tile(page, 0).click()
    page.get_by_text("Title and artist", exact=True).click()
    check("cover")
    page.keyboard.press("Escape")
    for tab in ("Interpolate", "Upscale", "Learn"):
        open_tab(page, tab)
        check(tab)
    page.get_by_role("button", name="Present").click()
    check("Presenting")


def test_light_and_dark_as_the_system_has_it_until_the_switch(visit):
    page = visit()
    ground = "getComputedStyle(document.body).backgroundColor"
    for scheme, colour in (("light", "rgb(250, 249, 246)"), ("dark", "rgb(11, 11, 12)")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"{ground} === '{colour}'")
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_function(f"{ground} === 'rgb(250, 249, 246)'")
    page.reload()
    page.wait_for_function(f"window.albumGan?.wall && {ground} === 'rgb(250, 249, 246)'")  # this browser remembers
    page.get_by_role("button", name="Present").click()  # the stage is dark all the same
    stage = page.get_by_role("dialog", name="Presenting").get_by_role("heading")
    assert stage.evaluate("heading => getComputedStyle(heading).color") == "rgb(243, 240, 234)"


@pytest.mark.slow
def test_a_full_queue_does_not_keep_the_page_shut(visit, server):
    """Hundreds of calls of one client, and then a link opened at the same computer. Last: the queue stays full."""
    visit()  # the server is there
    for number in range(420):
        body = json.dumps({"data": [f"{number},{number + 1}", 240, True, "webp"]}).encode()
        call = Request(f"{server.address}/gradio_api/call/interpolate", body, {"Content-Type": "application/json"})
        with contextlib.suppress(HTTPError):
            urlopen(call, timeout=60).close()
    page = visit("?seeds=5&tab=generate")
    assert list(look(page)) == [name_of(5)]
