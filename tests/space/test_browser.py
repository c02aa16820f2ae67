# ruff: noqa: F811  fixtures come from browsing.py
"""The page as a person uses it, in Chromium: clicks, and a look at the pixels that came back."""

import re
from urllib.parse import urlparse

import numpy as np
import pytest
from browsing import ask_for, browser, downloaded, expect, look, model, open_tab, same, server, visit, wait_for_wall  # noqa: F401
from PIL import Image

from album_gan.inference.latents import name_of, seed_for_any_text
from album_gan.media.image_files import read_settings

pytestmark = pytest.mark.long


def test_the_wall_is_there_when_the_page_opens(visit):
    wall = look(visit())
    assert list(wall) == [name_of(seed) for seed in range(16)]
    for pixels in wall.values():
        assert pixels.reshape(-1, 4)[:, :3].std() > 5  # not blank
    assert len({pixels.tobytes() for pixels in wall.values()}) == 16


def test_a_new_wall_and_its_link(visit):
    page = visit()
    before = look(page)
    page.get_by_role("button", name="New wall").click()
    page.wait_for_function("location.search.includes('seeds=')")
    wait_for_wall(page)
    after = look(page)
    assert len(after) == 16
    assert not before.keys() & after.keys()
    assert same(after, look(visit(f"?{urlparse(page.url).query}")))


def test_a_name_gets_its_cover(visit, tiny_pipeline):
    page = visit()
    ask_for(page, name_of(31415))
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name_of(31415))
    expect(page.get_by_text("Seed 31415")).to_be_visible()
    expect(page.locator("dialog .note")).to_be_empty()
    download = downloaded(page, page.get_by_role("link", name="Download 32 px"))
    assert download.suggested_filename == f"{name_of(31415)}.png"
    with Image.open(download.path()) as image:
        assert read_settings(image) == tiny_pipeline.settings(31415)
        drawn = tiny_pipeline(seeds=[31415]).images[0]
        assert np.abs(np.asarray(image, int) - np.asarray(drawn, int)).max() <= 1


def test_the_presenters_key_is_in_no_address(visit):
    """People copy the addresses of pictures and downloads, and share them."""
    page = visit("?presenter=a+secret")
    sent = []
    page.on("request", lambda request: sent.append(request))
    page.get_by_role("button", name="New wall").click()
    page.wait_for_function("location.search.includes('seeds=')")
    wait_for_wall(page)
    ask_for(page, "5")
    links = page.evaluate(
        "[...document.querySelectorAll('[href], [src]')].map((element) => element.href || element.src)"
    )
    assert any("/cover/5.png" in link for link in links)
    assert not [url for url in [page.url, *links, *(request.url for request in sent)] if "secret" in url]
    covers = [request.all_headers()["cookie"] for request in sent if "/cover/" in request.url]
    assert covers
    assert all(re.search(r"album_gan_presenter\d+=a%20secret", cookies) for cookies in covers)
    page.goto(page.url.partition("?")[0] + "?presenter=")  # an empty key is forgotten
    wait_for_wall(page)
    assert page.context.cookies() == []


def test_any_text_gets_a_cover_and_the_truth_about_it(visit):
    page = visit()
    text = "<b>My Grandmother's</b> polka"
    for _ in range(2):  # asking again answers again
        ask_for(page, text)
        expect(page.get_by_text(f"Seed {seed_for_any_text(text)[0]}")).to_be_visible()
        expect(page.get_by_text("Your words choose the seed; the network cannot read.")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
    wait_for_wall(page)
    assert len(look(page)) == 16


def test_truncation_redraws_the_same_seeds(visit):
    ordinary, tame = look(visit()), look(visit("?seeds=0-15&truncation=0.3"))
    assert ordinary.keys() == tame.keys()
    assert not any((ordinary[name] == tame[name]).all() for name in tame)


def test_links_that_make_no_sense_open_the_page_all_the_same(visit):
    page = visit("?tab=nope&seeds=1,,9-1&truncation=NaN&model=%3Cb%3E&what=1")
    assert len(look(page)) == 16
    page = visit("?seeds=5&model=0badf00d")
    expect(page.get_by_text("This link is from another model (0badf00d)")).to_be_visible()
    assert list(look(page)) == [name_of(5)]


def test_covers_morph_in_a_video_that_plays_and_scrubs(visit):
    page = visit()
    for seed in (4, 7):
        page.locator(".wall .tile", has_text=name_of(seed)).click()
        page.get_by_role("button", name="Pin", exact=True).click()
        expect(page.get_by_role("button", name="Unpin")).to_be_visible()
        page.keyboard.press("Escape")
    expect(page.locator("[data-shelf=pins] .tile")).to_have_text([f"A  {name_of(4)}", f"B  {name_of(7)}"])
    open_tab(page, "Interpolate")
    expect(page.locator("#pinned textarea")).to_have_value("; ".join(map(name_of, (4, 7))))
    expect(page.locator("#strip img")).to_have_count(2)
    page.locator("#length input[type=range]").fill("3")
    page.get_by_label("gif").check()
    page.get_by_role("button", name="Morph").click()
    page.wait_for_function("document.querySelector('#loop video')?.readyState >= 2")
    duration, width = page.eval_on_selector("#loop video", "video => [video.duration, video.videoWidth]")
    assert duration == pytest.approx(3, abs=0.1)
    assert width == 32
    page.wait_for_function("document.querySelector('#loop video').currentTime > 0")
    page.get_by_label("double").check()  # the next film's speed
    page.locator("#scrub input[type=range]").fill("45")
    page.wait_for_function("Math.abs(document.querySelector('#loop video').currentTime - 44.5 / 30) < 0.01")
    button = page.get_by_role("button", name="Download gif").or_(page.get_by_role("link", name="Download gif"))
    with Image.open(downloaded(page, button).path()) as animation:
        assert (animation.format, animation.n_frames) == ("GIF", 90)


def test_one_cover_cannot_morph_and_nothing_breaks(visit):
    page = visit("?tab=interpolate&seeds=7")
    expect(page.locator("#pinned textarea")).to_have_value(name_of(7))
    page.get_by_role("button", name="Morph").click()
    expect(page.get_by_text("Pin or type two covers.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    open_tab(page, "Generate")
    page.get_by_role("button", name="New wall").click()
    page.wait_for_function("location.search.includes('tab=generate')")


def test_upscale_a_cover_and_an_own_picture(visit, tmp_path):
    page = visit()
    page.locator(".wall .tile", has_text=name_of(4)).click()
    page.get_by_role("dialog").get_by_role("button", name="Upscale").click()
    expect(page.locator("#which textarea, #which input")).to_have_value(name_of(4))
    expect(page.locator(f"#picture img[src*='{name_of(4)}']")).to_be_visible()
    page.get_by_label("512").check()
    page.locator("#enlarge").click()
    page.wait_for_function("document.querySelectorAll('#compare img')[1]?.naturalWidth === 512")
    with Image.open(downloaded(page, page.locator("#download-large")).path()) as image:
        assert image.size == (512, 512)
        assert np.asarray(image).std() > 5
        assert read_settings(image)["seed"] == 4

    own = tmp_path / "own.jpg"
    Image.effect_noise((40, 20), 60).save(own)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="or upload a picture of your own").click()
    chooser.value.set_files(own)
    expect(page.locator("#picture img[src*='own']")).to_be_visible()
    page.get_by_label("1024").check()
    page.locator("#enlarge").click()
    page.wait_for_function("document.querySelectorAll('#compare img')[1]?.naturalWidth === 1024")


def test_a_phone_shows_two_columns_and_never_scrolls_sideways(visit):
    page = visit(width=360, height=740)
    assert page.locator(".wall .tile").count() == 4
    lefts = page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => tile.getBoundingClientRect().left)")
    assert len(set(lefts)) == 2
    for tab in ("Generate", "Interpolate", "Upscale"):
        open_tab(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_the_same_seeds_are_the_same_pictures_after_a_restart(visit, server):
    before = look(visit("?seeds=100-115"))
    server.stop()
    server.start()
    assert same(before, look(visit("?seeds=100-115")))


def test_what_is_typed_stays_the_name(visit):
    """On the card, its file, its settings, the wall, the link, and for whoever opens the link."""
    page = visit()
    ask_for(page, "The Flat Tyres")
    seed = seed_for_any_text("The Flat Tyres")[0]
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("The Flat Tyres")
    expect(page.locator("dialog .seed")).to_have_text(f"{name_of(seed)} · Seed {seed}")
    download = downloaded(page, page.get_by_role("link", name="Download 32 px"))
    assert download.suggested_filename == "The Flat Tyres.png"
    with Image.open(download.path()) as image:
        assert read_settings(image)["typed"] == "The Flat Tyres"
    page.get_by_role("button", name="Set the name in type").click()
    expect(page.get_by_alt_text("with the words The Flat Tyres")).to_be_visible()
    page.keyboard.press("Escape")
    page.wait_for_function("location.search.includes('The+Flat+Tyres')")
    other = visit(f"?{urlparse(page.url).query}")
    wait_for_wall(other)
    expect(other.locator(".wall .tile").first).to_contain_text("The Flat Tyres")


def test_a_list_in_the_field_is_the_wall(visit):
    page = visit()
    field = page.locator("#name :is(input, textarea)")
    field.fill("1,2,7-9")
    field.press("Enter")
    expect(page.locator(".wall .tile")).to_have_count(5)
    wait_for_wall(page)
    assert list(look(page)) == [name_of(seed) for seed in (1, 2, 7, 8, 9)]


@pytest.mark.parametrize(("size", "rows"), [((1440, 900), 3), ((1920, 1080), 3), ((390, 844), 2)])
def test_the_first_screen_is_full_of_covers(visit, size, rows):
    page = visit("", *size)
    tops = page.eval_on_selector_all(".wall .tile", "tiles => tiles.map(tile => tile.getBoundingClientRect().top)")
    assert len(set(tops)) == rows
    bottom = page.eval_on_selector(".wall", "wall => wall.getBoundingClientRect().bottom")
    assert 0.75 * size[1] < bottom < size[1]
    expect(page.locator("#title .fine")).to_contain_text("million parameters")


def pinned(page, *seeds):
    for seed in seeds:
        page.locator(".wall .tile", has_text=name_of(seed)).click()
        page.get_by_role("button", name="Pin", exact=True).click()
        expect(page.get_by_role("button", name="Unpin")).to_be_visible()
        page.keyboard.press("Escape")


def test_pinning_what_was_suggested_pins_it(visit):
    """And the pins of a link are pins: one more does not take them away."""
    page = visit()
    pinned(page, 0, 1, 2)
    tiles = page.locator("[data-shelf=pins] .tile")
    expect(tiles).to_have_count(3)
    tiles.nth(1).click()
    page.get_by_role("button", name="Unpin B").click()
    expect(tiles).to_have_text([f"A  {name_of(0)}", f"B  {name_of(2)}"])
    page = visit("?tab=interpolate&seeds=5,6")
    open_tab(page, "Generate")
    pinned(page, 7)
    expect(page.locator("[data-shelf=pins] .tile")).to_have_count(3)


def test_edits_stay_in_the_link_and_over_a_reload(visit):
    page = visit("?tab=edit&seeds=3")
    slider = page.get_by_role("slider", name="darker")
    expect(page.locator(".edit .direction")).to_have_count(5)
    expect(page.locator(".edit .ends").first).to_have_text("lighterdarker")
    slider.focus()
    expect(page.locator(".edit .previews").first.locator("img")).to_have_count(5)
    slider.fill("1.5")
    page.wait_for_function("location.search.includes('edits=')")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("!location.search.includes('edits=')")
    slider.fill("1.5")
    page.wait_for_function("location.search.includes('edits=')")
    for _ in range(2):
        page.reload()
        expect(page.get_by_role("slider", name="darker")).to_have_value("1.5")
        page.wait_for_function(
            "decodeURIComponent(document.querySelector('.edit img')?.src).includes('\"darker\":1.5')"
        )
        assert page.get_by_label("Cover, by name or seed").input_value() == "3"


def test_the_card_compares_two_covers_and_shows_the_numbers(visit):
    page = visit()
    page.locator(".wall .tile").first.click()
    card = page.get_by_role("dialog")
    card.get_by_role("button", name="Compare").click()
    expect(card.get_by_text(f"Left {name_of(0)}, right {name_of(1)}")).to_be_visible()
    card.get_by_role("slider", name="Compare").fill("20")
    assert "20%" in card.locator(".other").evaluate("other => getComputedStyle(other).clipPath")
    card.get_by_text("The numbers behind it").click()
    expect(card.locator(".bars i")).to_have_count(128)


SWIPE = """([selector, from, to]) => {
    const target = document.querySelector(selector);
    const touch = (x) => new Touch({ identifier: 1, target, clientX: x, clientY: 300 });
    const how = { bubbles: true, cancelable: true };
    const send = (type, options) => target.dispatchEvent(new TouchEvent(type, { ...how, ...options }));
    send("touchstart", { touches: [touch(from)] });
    send("touchend", { changedTouches: [touch(to)] });
}"""


def test_a_finger_leafs_through_the_card_and_the_stage(visit):
    page = visit("", 390, 844)
    page.locator(".wall .tile").first.click()
    heading = page.get_by_role("dialog").get_by_role("heading")
    page.evaluate(SWIPE, ["dialog.cover .stage", 300, 100])
    expect(heading).to_have_text(name_of(1))
    page.evaluate(SWIPE, ["dialog.cover .stage", 100, 300])
    expect(heading).to_have_text(name_of(0))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Present").click()
    page.evaluate(SWIPE, [".present .screen", 300, 100])
    expect(page.get_by_role("dialog", name="Presenting").get_by_role("heading")).to_have_text(name_of(1))
    page.mouse.move(100, 100)
    page.mouse.move(160, 140)  # on a touch screen the way out is always there
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("dialog", name="Presenting")).to_be_hidden()


@pytest.mark.slow
def test_directions_and_sums_on_stage(visit):
    page = visit()
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    page.keyboard.press("x")
    expect(stage.locator(".labels span")).to_have_text(
        ["darker", "warmer", "more colourful", "busier", "more symmetric"]
    )
    page.keyboard.press("a")
    expect(stage.get_by_text("Pin three covers for A − B + C.")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("p")
        expect(stage.get_by_text("Pinned", exact=True)).to_be_visible()
        page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    expect(stage.get_by_role("heading")).to_have_text("A − B + C")
    expect(stage.locator(".seed")).to_have_text(f"{name_of(0)} − {name_of(1)} + {name_of(2)}")


def test_a_name_typed_on_stage(visit):
    """The audience sees no keys; the name stands on its cover; the browser's Back closes the stage, not the site."""
    page = visit()
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    expect(stage.locator(".help")).to_be_hidden()
    page.mouse.move(300, 300)
    page.mouse.move(360, 340)
    expect(stage.locator(".help")).to_be_visible()
    expect(stage.locator(".help")).to_be_hidden(timeout=8000)
    page.keyboard.press("t")
    page.keyboard.type("The Flat Tyres")
    page.keyboard.press("Enter")
    expect(stage.get_by_role("heading")).to_have_text("The Flat Tyres")
    page.wait_for_function("document.querySelector('.present img.cover').src.includes('title=The+Flat+Tyres')")
    page.keyboard.press("t")
    page.keyboard.type("123456789012")
    page.keyboard.press("Enter")
    expect(stage.locator(".pin")).to_contain_text("from 0 to 99999999")
    expect(stage.get_by_role("heading")).to_have_text("The Flat Tyres")
    page.keyboard.press("t")
    page.keyboard.insert_text("Maria 🎸")  # no bundled font can set it, so its cover is shown without type
    page.keyboard.press("Enter")
    expect(stage.get_by_role("heading")).to_have_text("Maria 🎸")
    expect(stage.locator(".pin")).to_contain_text("no bundled font")
    page.wait_for_function("/size=512(?!.*title)/.test(document.querySelector('.present img.cover').src)")
    page.keyboard.press("0")
    expect(stage.get_by_role("heading")).to_have_text("The mean cover")
    page.go_back()
    expect(stage).to_be_hidden()
    expect(page.locator(".wall .tile").first).to_be_visible()


def test_what_was_typed_and_pinned_survives_reloading(visit):
    page = visit("?tab=interpolate")
    field = page.locator("#pinned textarea, #pinned input").first
    field.focus()
    field.blur()  # puts the suggestion into the address
    page.wait_for_function("location.search.includes('seeds=')")
    page.reload()
    page.wait_for_function("window.albumGan?.wall")
    assert page.evaluate("albumGan.pins") == []  # nobody has pinned it
    field.fill("4711; Maria")
    field.blur()
    page.wait_for_function("location.search.includes('seeds=4711;Maria') || location.search.includes('4711%3BMaria')")
    page.reload()
    expect(field).to_have_value(f"{name_of(4711)}; Maria")
    open_tab(page, "Generate")
    page.wait_for_function("location.search.includes('tab=generate')")
    page.reload()
    page.wait_for_function("window.albumGan?.pins.length === 2")

    open_tab(page, "Upscale")
    field = page.locator("#which textarea, #which input").first
    field.fill("Maria")
    field.press("Enter")
    page.wait_for_function("/tab=upscale&.*&seeds=Maria/.test(location.search)")


def test_a_shared_address_is_one_that_phones_can_open(visit):
    page = visit()
    page.evaluate("albumGan.setup.invitation = { url: 'http://192.0.2.2:7860/' }")
    assert page.evaluate("albumGan.shared('/?tab=learn#panel=room')") == "http://192.0.2.2:7860/?tab=learn#panel=room"
    page.evaluate("albumGan.setup.invitation = {}")
    assert page.evaluate("albumGan.shared(location.href)") == page.url


def test_an_empty_field_of_edit_says_what_to_do(visit):
    page = visit("?tab=edit&seeds=5")
    field = page.locator("[name=cover]")
    expect(field).to_have_value(re.compile("."))
    field.fill("")
    field.blur()
    expect(page.get_by_text("Type a seed or a name.")).to_be_visible()
