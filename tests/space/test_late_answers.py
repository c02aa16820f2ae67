# ruff: noqa: F811  fixtures come from browsing.py
"""The page when answers come late or not at all, or another tab is open: it shows what was asked for last."""

import re
import time

import pytest
from browsing import browser, expect, model, server, visit, wait_for_wall  # noqa: F401

from album_gan.inference.latents import name_of

pytestmark = pytest.mark.long

DROP = """async where => {
    const answer = await fetch(albumGan.coverUrl({ seed: 77 }));
    const files = new DataTransfer();
    files.items.add(new File([await answer.blob()], "cover.png", { type: "image/png" }));
    document.querySelector(where).dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files }));
}"""  # noqa: E501

# At once, before the first name's card is there.
TYPE = """async names => {
    const field = document.querySelector("#name :is(textarea, input)");
    for (const name of names) {
        field.value = name;
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise(done => setTimeout(done));
        field.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
        if (names.length > 1) await new Promise(done => setTimeout(done, 300)); // the request is under way
    }
}"""


def tab(page, name):
    return page.get_by_role("tab", name=name)


def open_card(page, seed):
    page.locator(".wall .tile", has_text=name_of(seed)).click()
    return page.get_by_role("dialog")


def delay_first(page, pattern, seconds=1.0):
    """The first request that matches takes so long; the others are answered at once."""
    waits = [seconds]

    def handle(route):
        if waits:
            time.sleep(waits.pop())
        route.continue_()

    page.route(pattern, handle)


def test_a_dropped_picture_opens_where_it_can_be_seen(visit):
    page = visit("?tab=learn#panel=shapes")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    page.evaluate(DROP, ".learn")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(name_of(77))
    expect(tab(page, "Generate")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    tab(page, "Learn").click()
    expect(page.get_by_role("heading", name="Shapes")).to_be_visible()  # the panel that was left
    expect(page).to_have_url(re.compile("tab=learn.*#panel=shapes$"))


def test_a_card_asked_for_before_the_tab_was_left_does_not_lock_the_page(visit):
    page = visit()
    page.evaluate(TYPE, ["Late Song"])
    page.evaluate("document.querySelector('[role=tab][data-tab-id=edit]').click()")
    page.wait_for_function("albumGan.wall.typed?.[0] === 'Late Song'")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile("tab=edit"))
    tab(page, "Generate").click()  # which a dialog that cannot be seen would prevent
    expect(page.locator(".wall .tile").first).to_have_text("Late Song")


def test_covers_kept_in_two_tabs_of_the_browser(visit):
    first = visit("?seeds=1,2")
    second = first.context.new_page()
    second.goto(first.url)
    wait_for_wall(second)
    for page, seed in ((first, 1), (second, 2)):
        open_card(page, seed).get_by_role("button", name="Keep").click()
    for page in (first, second):
        expect(page.locator("[data-shelf=kept] .tile")).to_have_text([name_of(1), name_of(2)])


def test_the_last_name_typed_is_the_one_shown(visit):
    page = visit()
    delay_first(page, "**/queue/join*")
    page.evaluate(TYPE, ["First Name", "Second Name"])
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Second Name")


def test_edit_tries_again_until_the_picture_is_there(visit):
    page = visit("?tab=edit&seeds=3")
    refusals = ["full", "full"]
    page.route("**/edit/*darker*size=512*", lambda route: (
        route.fulfill(status=503, body="the queue is full") if refusals and refusals.pop() else route.continue_()
    ))  # fmt: skip
    page.get_by_role("slider", name="darker").fill("2")
    page.get_by_role("slider", name="darker").dispatch_event("change")
    expect(page.get_by_text("the queue is full")).to_be_visible()
    page.wait_for_function("decodeURIComponent(document.querySelector('.edit .stage img').src).includes('darker')")
    expect(page.get_by_text("the queue is full")).to_be_hidden()


def test_a_covers_own_settings_go_along_to_edit_and_back(visit):
    page = visit("?seeds=2,3&truncation=0.5")
    open_card(page, 2).get_by_role("button", name="Keep").click()
    page.goto(page.url.replace("0.5", "1"))
    wait_for_wall(page)
    picture = "document.querySelector('.edit .stage img')?.src"
    page.locator("[data-shelf=kept] .tile").click()
    page.get_by_role("dialog").get_by_role("button", name="Edit").click()
    page.wait_for_function(f"{picture}?.includes('truncation=0.5')")
    field = page.get_by_label("Cover, by name or seed")
    field.fill("3")
    field.press("Tab")
    page.wait_for_function(f"{picture}.includes('edit/3') && {picture}.includes('truncation=1&')")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function(f"{picture}.includes('truncation=0.5')")
    page.locator(".edit [name=style]").fill("9")
    page.locator(".edit [name=style]").press("Tab")
    page.wait_for_function("location.search.includes('style=9')")
    expect(page).to_have_url(re.compile("truncation=0.5"))
    page.reload()
    page.wait_for_function(f"{picture}?.includes('truncation=0.5') && {picture}.includes('style=9')")


@pytest.mark.slow
def test_the_stage_stays_blank_and_a_typed_name_goes_to_its_own_show(visit):
    page = visit()
    page.get_by_role("button", name="Present").click()
    stage = page.get_by_role("dialog", name="Presenting")
    heading = stage.get_by_role("heading")
    page.keyboard.press("m")
    page.wait_for_function("document.querySelector('.present').classList.contains('film')")
    page.keyboard.press("b")
    page.evaluate("document.querySelector('.present video').dispatchEvent(new Event('ended'))")
    page.wait_for_function(f"document.querySelector('.present h2').textContent === '{name_of(1)}'")
    expect(heading).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text(name_of(2))

    delay_first(page, "**/view.json*")
    page.keyboard.press("t")
    page.keyboard.type("Too Late")
    page.keyboard.press("Enter")
    page.evaluate("document.querySelector('.present .out').click()")
    page.get_by_role("button", name="Present").click()
    page.wait_for_load_state("networkidle")
    expect(heading).to_have_text(name_of(0))


def test_learn_shows_the_newest_answer_and_says_what_failed(visit):
    page = visit("?tab=learn#panel=shapes")
    kernel = page.get_by_label("Kernel F")
    page.wait_for_selector(".learn .result strong")
    delay_first(page, "**/convolution.json*")
    for size in ("1", "3"):
        kernel.fill(size)
    expect(page.locator(".learn .result")).to_contain_text("(64 - 3 ")
    page.wait_for_load_state("networkidle")
    expect(page.locator(".learn .result")).to_contain_text("(64 - 3 ")
    page.route("**/models.json*", lambda route: route.fulfill(status=507, body="the disk is full"))
    page.get_by_role("button", name="Noise to cover").click()
    expect(page.locator(".learn .panel")).to_contain_text("the disk is full")
