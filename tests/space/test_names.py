# ruff: noqa: F811  fixtures come from browsing.py
"""Names that are typed, pinned and kept stay those of their covers, whatever characters they have; in Chromium."""

import re

import pytest
from browsing import ask_for, browser, downloaded, expect, model, open_accordion, open_tab, server, visit, wait_for_wall  # noqa: F401

from album_gan.inference.latents import name_of, seed_for_any_text

pytestmark = pytest.mark.long

PINNED = "#pinned :is(textarea, input)"


@pytest.mark.parametrize("name", ["Tyler, The Creator", "Studio Session 808"])
def test_a_typed_name_is_one_name_in_links_and_pins(visit, name):
    """A comma within it, or the form of a readable name, does not make another cover of it."""
    page = visit()
    ask_for(page, name)
    page.get_by_role("dialog").get_by_role("button", name="Pin").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Unpin A")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("albumGan.pins") == [name]
    wait_for_wall(page)
    page.locator(".wall .tile", has_text=name_of(0)).click()
    page.get_by_role("dialog").get_by_role("button", name="Pin").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Unpin B")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("albumGan.pins") == [name, name_of(0)]
    shown = page.locator(".wall .tile span").all_text_contents()
    page.reload()
    page.wait_for_function("window.albumGan?.wall")
    wait_for_wall(page)
    assert page.locator(".wall .tile span").all_text_contents() == shown
    assert page.evaluate("albumGan.wall.seeds[0]") == seed_for_any_text(name)[0]
    assert page.evaluate("albumGan.pins") == [name, name_of(0)]


def test_a_range_is_shown_as_the_covers_of_the_film(visit):
    page = visit("?tab=interpolate")
    field = page.locator(PINNED)
    field.fill("1-3")
    field.blur()
    expect(page.locator("#strip figcaption")).to_have_text(["A  1", "B  2", "C  3"])


def test_a_typed_name_kept_from_the_pins_can_be_downloaded_and_compared(visit):
    page = visit()
    ask_for(page, "The Flat Tyres")
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    page.get_by_role("dialog").get_by_role("button", name="Pin").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Unpin A")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("[data-shelf=pins] .tile").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Forget")).to_be_visible()  # it is the kept one
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    page.keyboard.press("Escape")
    open_accordion(page, "Settings")
    page.get_by_role("link", name="Download all (ZIP)").hover()
    assert downloaded(page, page.get_by_role("link", name="Download kept (ZIP)")).suggested_filename == "covers.zip"
    page.locator("[data-shelf=kept] .tile").click()
    page.get_by_role("dialog").get_by_role("button", name="More like this").click()
    expect(page.get_by_text("Like The Flat Tyres", exact=True)).to_be_visible()


def test_a_refused_archive_leaves_the_page(visit):
    page = visit()
    page.route("**/covers.zip*", lambda route: route.fulfill(status=503, body="the queue is full"))
    open_accordion(page, "Settings")
    page.get_by_role("link", name="Download all (ZIP)").click()
    expect(page.locator(".wall-note")).to_have_text("the queue is full")


def test_a_finger_moves_the_slider_of_two_compared_covers(visit):
    page = visit("", 390, 844)
    page.locator(".wall .tile").first.click()
    card = page.get_by_role("dialog")
    card.get_by_role("button", name="Compare").click()
    page.evaluate("""() => {
        const target = document.querySelector("dialog.cover .stage input");
        const touch = (x) => new Touch({ identifier: 1, target, clientX: x, clientY: 300 });
        target.dispatchEvent(new TouchEvent("touchstart", { bubbles: true, touches: [touch(300)] }));
        target.dispatchEvent(new TouchEvent("touchend", { bubbles: true, changedTouches: [touch(100)] }));
    }""")
    expect(card.get_by_role("heading")).to_have_text(name_of(0))
    expect(card.locator(".other")).to_be_visible()


def test_truncation_by_keyboard(visit):
    page = visit()
    open_accordion(page, "Settings")
    page.locator("#truncation input[type=range]").press("ArrowLeft")
    page.wait_for_function("albumGan.wall.truncation === 0.95")


def test_a_sliders_handle_is_whole_on_a_phone(visit):
    page = visit("?tab=interpolate", 390, 844)
    box = page.locator("#length .slider_input_container")
    assert box.evaluate("box => box.getBoundingClientRect().height") >= 24


def test_the_stage_opens_once(visit):
    page = visit()
    page.get_by_role("button", name="Present").click()
    page.keyboard.press("t")
    page.keyboard.press("Shift+F5")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Presenting")).to_be_hidden()
    expect(page.get_by_role("button", name="Present")).to_be_focused()


def test_upscale_draws_a_picture_again_that_was_swept_away(visit, server):
    """Files are deleted within the hour; a speaker opens the tab well before her talk."""
    page = visit("?tab=upscale")
    picture = page.locator("#picture img")
    expect(picture).to_be_visible()
    before = picture.get_attribute("src")
    for file in server.files.rglob("*.png"):
        file.unlink()
    page.locator("#enlarge").click()
    expect(page.get_by_text(re.compile("mage is missing: choose a cover, or upload a picture"))).to_be_visible()
    open_tab(page, "Generate")
    open_tab(page, "Upscale")
    expect(picture).not_to_have_attribute("src", before)  # it is drawn again
    page.get_by_label("512").check()
    page.locator("#enlarge").click()
    page.wait_for_function("document.querySelectorAll('#compare img')[1]?.naturalWidth === 512")
