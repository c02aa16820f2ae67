# ruff: noqa: F811  fixtures come from browsing.py
"""Learn where it is hardest: a whole class at one address, old browsers, another model, the keyboard alone."""

import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from browsing import browser, expect, server, visit  # noqa: F401
from PIL import Image

from album_gan.inference.latents import name_of
from album_gan.space.drawing_order import Lane
from album_gan.space.lan_address import Invitation
from album_gan.space.lessons import Lessons
from album_gan.space.room import Room
from album_gan.space.service import CoverService

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent.parent
STATIC = ROOT / "space" / "static"
# As Safari: the address may change 100 times in 30 s, then an error is thrown.
AS_SAFARI = """
    const change = history.replaceState.bind(history);
    const times = [];
    history.replaceState = (...where) => {
        while (times[0] < performance.now() - 30_000) times.shift();
        if (times.length === 100) throw new DOMException("more than 100 times in 30 seconds", "SecurityError");
        times.push(performance.now());
        change(...where);
    };
"""
# Newer than Safari 16.0: the iPhones 8 and X end with iOS 16. The exported file needs 16.4, for DecompressionStream.
TOO_NEW = {
    r"\b(query|search|parameters)\.size\b": "URLSearchParams.size, Safari 17",
    r"\.checkVisibility\(": "Safari 17.4",
    r"\bPromise\.(withResolvers|try)\b": "Safari 17.4",
    r"\b(Object|Map)\.groupBy\b": "Safari 17.4",
    r"\bArray\.fromAsync\b": "Safari 16.4",
    r"\bURL\.(canParse|parse)\b": "Safari 17",
    r"\bAbortSignal\.any\b": "Safari 17.4",
    r"\bpopover\b|Popover\(": "Safari 17",
    r"\bstartViewTransition\b": "Safari 18",
    r"\.(values|keys|entries)\(\)\.(map|filter|find|some|every|reduce|take|drop|toArray)\b": "iterators, Safari 18.4",
    r"\.(union|intersection|difference|isSubsetOf)\(": "methods of Set, Safari 17",
    r"\.bytes\(\)": "Safari 18",
    r"\(\?<[=!]": "looking behind in a regular expression, Safari 16.4",
    r"\bOffscreenCanvas\b": "Safari 16.4",
    r"\brequestIdleCallback\b": "no Safari",
}


@pytest.fixture(scope="module")
def model():
    return "teaching"


def refuse_first(page, pattern):
    """The first request for each address is refused as by a full queue, the second one is lost."""
    asked = Counter()

    def handle(route):
        asked[route.request.url] += 1
        if asked[route.request.url] == 1:
            route.fulfill(status=503, body="the queue is full; try again in a few seconds")
        elif asked[route.request.url] == 2:
            route.abort()
        else:
            route.continue_()

    page.route(re.compile(pattern), handle)


def go(page, address):
    page.goto(page.url.partition("?")[0] + address)
    page.wait_for_selector(".learn .panel[data-ready=yes]")


def drawn(page, selector):
    page.wait_for_function(
        """selector => {
        const images = [...document.querySelectorAll(selector)].filter(image => image.loading !== "lazy");
        return images.length && images.every(image => image.naturalWidth);
    }""",
        arg=selector,
    )


@pytest.mark.slow
def test_everything_comes_although_the_queue_was_full(visit):
    page = visit()
    refuse_first(page, r"/learn/(layers\.json|layer\.webp|cover\.webp)")
    page.goto(page.url.partition("?")[0] + "?tab=learn#panel=noise&seed=7")
    expect(page.locator(".learn .waiting")).to_contain_text("waiting for a turn")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    drawn(page, ".pair img")
    page.locator(".steps img").first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.steps img').naturalWidth")
    expect(page.locator(".learn .waiting")).to_be_empty()


def test_previews_of_an_edit_come_although_the_queue_was_full(visit):
    page = visit("?tab=edit&seeds=3")
    drawn(page, ".edit .stage img")
    refuse_first(page, r"/edit/3\.webp\?(?!.*size=)")
    page.get_by_role("slider", name="darker").focus()
    expect(page.locator(".edit .previews").first.locator("img")).to_have_count(5)
    drawn(page, ".edit .previews img")


def test_the_stage_shows_the_large_cover_although_the_queue_was_full(visit):
    page = visit()
    refuse_first(page, r"/cover/.*size=512")
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("document.querySelector('.present img.cover').src.includes('size=512')")
    drawn(page, ".present img.cover")


def test_pinned_and_kept_covers_are_shown_although_the_queue_was_full(visit):
    page = visit("?seeds=1,2")
    refuse_first(page, r"/cover/5\.png")
    page.evaluate("albumGan.store([{ name: '5', seed: 5, truncation: 1, label: '', model: albumGan.setup.model }])")
    drawn(page, "[data-shelf=kept] img")


def test_a_link_to_another_panel_opens_it_also_in_the_same_tab(visit):
    page = visit("?tab=learn&presenter=x#panel=shapes")
    expect(page.locator(".learn .panel h2")).to_have_text("Shapes")
    page.evaluate("location.hash = '#panel=guide'")
    expect(page.locator(".learn .panel h2")).to_have_text("Field guide")


def test_without_the_size_of_search_parameters(visit):
    page = visit()
    page.add_init_script("delete URLSearchParams.prototype.size")
    go(page, "?tab=learn#panel=noise&seed=5")
    expect(page.locator(".pair img")).to_have_attribute("src", re.compile("seed=5"))
    page.goto(page.url.partition("?")[0] + "?tab=generate&seeds=5&presenter=")
    expect(page.locator(".wall .tile").first).to_have_text(name_of(5))
    expect(page.locator(".wall .tile")).to_have_count(1)


def test_no_script_uses_what_old_browsers_lack():
    scripts = [*STATIC.rglob("*.js"), *(ROOT / "album_gan" / "export").glob("*.js")]
    assert len(scripts) > 20
    found = [
        f"{script.name}: {why}"
        for script in scripts
        for pattern, why in TOO_NEW.items()
        if re.search(pattern, re.sub(r"(?m)//\s.*$", "", script.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_time_machine_follows_a_long_drag(visit):
    page = visit()
    page.add_init_script(AS_SAFARI)
    go(page, "?tab=learn#panel=history&models=teaching&at=0")
    expect(page.get_by_text("Untrained: noise")).to_be_visible()
    page.evaluate(
        """async () => {
        const slider = document.querySelector(".learn .controls input[type=range]");
        for (let at = 0; at <= 1000; at += 4) {
            slider.value = at;
            slider.dispatchEvent(new Event("input"));
            if (at % 100 === 0) await new Promise(done => setTimeout(done));
        }
    }"""
    )
    expect(page.get_by_text("covers seen")).to_be_visible()
    last = page.evaluate("fetch('learn/course.json?model=teaching').then(answer => answer.json())")["moments"]
    expect(page.locator(".machine img")).to_have_attribute("src", re.compile(rf"/{len(last) - 1}\.webp"))
    expect(page).to_have_url(re.compile("at=1000"))


def test_a_time_machine_of_one_model_goes_back_to_two(visit):
    page = visit("?tab=learn#panel=history&models=bundled")
    expect(page.locator(".machine")).to_have_count(1)
    models = page.get_by_label("Models")
    assert models.evaluate("select => select.selectedOptions[0].textContent") == "bundled"
    models.select_option(label="side by side")
    expect(page.locator(".machine h3")).to_have_text(["teaching", "bundled"])


def test_texts_state_the_numbers_of_the_model(visit):
    page = visit("?tab=learn#panel=noise&seed=7&tour=2")
    expect(page.locator(".card .bet button")).to_have_text(["3", "100", "4,096"])
    texts = page.evaluate(
        """async () => {
        const [{ PAGES }, { ACTS }] = await Promise.all(["pages", "acts"].map(name => import(new URL(`learn/files/${name}.js`, document.baseURI))));
        return [PAGES[2].text, ACTS[1].steps[0].reveal];
    }"""  # noqa: E501
    )
    assert "three of 64 × 64" in texts[0]
    assert texts[1].startswith("100.")
    expect(page.locator("#title")).not_to_contain_text("100")  # the answer to the bet
    texts = page.evaluate(
        """async () => {
        albumGan.setup.styles = 32;
        const { ACTS } = await import(new URL("learn/files/acts.js?with-styles", document.baseURI));
        return ACTS[1].steps[0].reveal;
    }"""
    )
    assert texts.startswith("100 numbers and one of 32 styles, both chosen by the seed.")
    page = visit()
    page.locator(".wall .tile").first.click()
    expect(page.get_by_role("link", name="Download 64 px")).to_be_visible()


def test_the_room_sees_again_what_it_voted_on(visit):
    """A model without a usable discriminator plays with another network's covers, and so do its results."""
    page = visit()
    answer = {"is_real": False, "name": name_of(3), "index": None, "critic": True, "real": 3, "drawn": 1}
    score = {"room": 0, "critic": 0, "of": 1}
    view = {"phase": "over", "round": 0, "players": 4, "score": score, "source": "", "network": "bundled"}
    page.route("**/learn/room.json*", lambda route: route.fulfill(json={**view, "results": [answer]}))
    go(page, "?tab=learn#panel=room")
    expect(page.locator(".results img")).to_have_attribute("src", re.compile("model=bundled"))
    link = page.locator("[data-do=replay]").get_attribute("href")
    again = visit(link[link.index("?") :])
    expect(again.locator(".results img")).to_have_attribute("src", re.compile("model=bundled"))


def test_a_game_says_which_network_draws(tiny_model, tiny_pipeline):
    room = Room(Lessons(CoverService(tiny_pipeline), str(tiny_model)), Invitation())
    assert len(room._prepare(room._game, 2, Lane.AUDIENCE)) == 2
    assert room._view(None)["network"] == "teaching"


def focused(page) -> str:
    return page.evaluate(
        "(({ dataset, ariaLabel, textContent }) => dataset.do ?? ariaLabel ?? textContent)(document.activeElement)"
    )


def press(page, locator, key="Enter"):
    locator.focus()
    page.keyboard.press(key)


def test_the_tour_by_keyboard(visit):
    page = visit("?tab=learn#panel=tour")
    card = page.locator(".learn .card")
    press(page, page.locator("[data-do=start]"))
    for number in (1, 2):
        expect(card).to_contain_text(f"{number} of 15")
        page.wait_for_function("document.activeElement.dataset.do === 'next'")
        if number == 1:
            page.keyboard.press("Enter")
    press(page, card.locator(".bet button").first)
    assert focused(page) == "next"
    press(page, card.get_by_role("button", name="Leave the tour"))
    page.wait_for_function("document.activeElement.textContent === 'Guided tour'")


def test_noise_to_cover_by_keyboard(visit):
    page = visit("?tab=learn#panel=noise&step=middle&channel=0")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    assert page.locator(".steps").get_by_role("listitem").get_by_role("button").count() > 5
    expect(page.locator(".steps [aria-current=true]")).to_have_count(1)
    expect(page.locator(".learn > nav [aria-current=true]")).to_have_text("Noise to cover")
    for name in ("mute-step", "mute-channel"):
        press(page, page.locator(f"[data-do={name}]"))
        expect(page.locator(f"[data-do={name}]")).to_contain_text("Unmute")
        page.wait_for_timeout(300)
        assert focused(page) == name
    press(page, page.get_by_label("Channel", exact=True), "ArrowUp")
    expect(page.get_by_role("heading", name="Channel 1 of")).to_be_visible()
    assert focused(page) == "Channel"
    press(page, page.get_by_role("button", name="Unmute all"))
    expect(page.locator("#muted-cover")).to_have_count(0)
    assert page.evaluate("document.activeElement.classList.contains('step')")


def test_any_value_is_broken_down_by_keyboard(visit):
    page = visit("?tab=learn#panel=noise&step=kernel&channel=0")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    press(page, page.locator("[data-do=product]"))
    expect(page.get_by_role("heading", name="The value at row 4, column 4")).to_be_visible()
    press(page, page.get_by_label("Row", exact=True), "ArrowUp")
    expect(page.get_by_role("heading", name="The value at row 5, column 4")).to_be_visible()
    assert focused(page) == "Row"
    page.get_by_label("Column", exact=True).fill("99")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The value at row 5, column 7")).to_be_visible()
    expect(page.get_by_label("Column", exact=True)).to_have_value("7")
    expect(page).to_have_url(re.compile("y=5&x=7"))


def test_a_panel_that_does_not_arrive_says_so(visit):
    page = visit("?tab=learn#panel=shapes")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    page.route("**/learn/files/wrong.js", lambda route: route.abort())
    page.get_by_role("button", name="What went wrong?").click()
    expect(page.locator(".learn .panel h2")).to_have_text("What went wrong?")
    expect(page.get_by_text("This panel could not be loaded; reload the page.")).to_be_visible()


def on_stage(visit, step, panel):
    page = visit(f"?tab=learn#panel={panel}&lesson={step}&end=99999999999999", 1280, 800)
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    expect(page.locator(".learn .card .question")).not_to_be_empty()
    return page


@pytest.mark.parametrize(
    ("step", "panel", "answer"),
    [(4, "noise&seed=7", ".steps"), (13, "norm&seeds=7,11", ".batches"), (15, "guide", ".cards")],
)
def test_the_stage_hides_what_would_give_the_answer_away(visit, step, panel, answer):
    page = on_stage(visit, step, panel)
    for part in (".lead", answer):
        expect(page.locator(f".learn .body {part}").first).to_be_hidden()
    page.keyboard.press("PageDown")
    for part in (".lead", answer):
        expect(page.locator(f".learn .body {part}").first).to_be_visible()
    page.get_by_role("button", name="Previous").click()  # back to the question
    expect(page.locator(f".learn .body {answer}").first).to_be_hidden()
    page.get_by_role("button", name="End the lesson").click()
    expect(page.locator(".learn .panel h2")).to_have_text("For the speaker")
    expect(page.locator(".learn .body .lead")).to_be_visible()


@pytest.mark.parametrize(
    ("number", "panel", "answer"), [(12, "norm&seeds=7,11,12,13", "neighbours"), (15, "guide", "projected")]
)
def test_the_tour_shows_no_answer_beside_its_bet(visit, number, panel, answer):
    page = visit(f"?tab=learn#panel={panel}&tour={number}")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    expect(page.locator(".learn .card .bet")).to_be_visible()
    expect(page.locator(".learn .body .lead")).to_be_visible()
    expect(page.locator(".learn .body .lead")).not_to_contain_text(answer)


BELOW_THE_CARD = """selector => document.querySelector(`.learn ${selector}`).getBoundingClientRect().bottom
    > document.querySelector(".learn .card").getBoundingClientRect().top"""


def test_the_card_on_stage_covers_no_control(visit):
    page = on_stage(visit, 6, "noise&seed=7&step=middle")
    expect(page.locator("[data-do=mute-step]")).to_be_in_viewport()
    assert not page.evaluate(BELOW_THE_CARD, "[data-do=mute-step]")
    page.keyboard.press("PageDown")
    assert not page.evaluate(BELOW_THE_CARD, "[data-do=mute-step]")


@pytest.mark.parametrize(
    ("width", "height"),
    [(1280, 720), *(pytest.param(*size, marks=pytest.mark.slow) for size in ((1280, 800), (1920, 1080)))],
)
def test_the_card_on_stage_covers_no_verdict_of_the_room(visit, width, height):
    picture = BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "WEBP")
    answer = {"is_real": False, "critic": True}
    score = {"room": 1, "critic": 0, "of": 1}
    view = {"phase": "revealed", "game": "x", "round": 0, "rounds": 4, "players": 9, "score": score, "source": ""}
    view |= {"answer": answer, "tally": {"real": 4, "drawn": 5}}
    page = visit()
    page.context.route("**/learn/room.json*", lambda route: route.fulfill(json=view))
    page.context.route("**/learn/room/x/*", lambda route: route.fulfill(body=picture.getvalue()))
    page.set_viewport_size({"width": width, "height": height})
    go(page, "?tab=learn#panel=room&lesson=1&end=99999999999999")
    expect(page.locator(".learn .card .question")).not_to_be_empty()
    page.keyboard.press("PageDown")
    expect(page.locator(".learn .card .see")).not_to_be_empty()
    for part in (".round img", ".tally", ".outcome"):
        expect(page.locator(f".learn {part}")).to_be_in_viewport()
        assert not page.evaluate(BELOW_THE_CARD, part)


def test_the_critic_and_the_game_have_one_threshold(visit):
    page = visit()
    verdict = {"score": 0.32, "scales": [{"name": "whole picture", "mean": 0.32, "scores": [[0.32]]}]}
    page.route("**/learn/critic.json*", lambda route: route.fulfill(json=verdict))
    go(page, "?tab=learn#panel=critic&seed=7")
    expect(page.locator(".verdict")).to_contain_text("looks real, but only just")


def test_the_room_says_when_the_server_is_gone(visit):
    page = visit("?tab=learn#panel=room")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    expect(page.get_by_role("link", name="/vote")).to_have_attribute("href", re.compile("/vote$"))
    page.route("**/learn/room.json*", lambda route: route.abort())
    expect(page.get_by_text("The page's server does not answer.")).to_be_visible()
    page.unroute("**/learn/room.json*")
    expect(page.get_by_text("The page's server does not answer.")).to_be_hidden()


def test_runs_by_keyboard(visit):
    page = visit("?tab=learn#panel=wrong")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    press(page, page.get_by_role("button", name="Run 2"))
    assert focused(page) == "Run 2"
    expect(page.locator(".body [aria-current=true]")).to_have_text("Run 2")
    press(page, page.get_by_role("button", name="Duplicates left in"))
    assert focused(page) == "Next run"
    page.keyboard.press("Enter")
    assert focused(page) == "Run 3"


def test_the_lesson_by_keyboard(visit):
    page = visit("?tab=learn#panel=lesson")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    press(page, page.locator("[data-do=lesson]"))
    page.wait_for_function("document.activeElement.dataset.do === 'forward'")
    for text in ("Next", "Answer"):
        page.keyboard.press("Enter")
        expect(page.locator("[data-do=forward]")).to_have_text(text)
        assert focused(page) == "forward"


def test_a_clicker_works_whatever_has_the_focus_and_a_reload_changes_nothing(visit):
    page = visit("?tab=learn#panel=lesson")
    page.wait_for_selector(".learn .panel[data-ready=yes]")
    page.locator("[data-do=lesson]").click()
    answer, question = page.locator("[data-do=forward]"), page.locator(".learn .card .question")
    expect(answer).to_have_text("Answer")
    first, seen = question.inner_text(), []
    page.evaluate("window.isSame = true")
    for control in ("select", "input[type=range]", "input[type=text]"):
        page.evaluate(
            """selector => {
            const element = document.createElement(selector.split("[")[0]);
            if (selector.includes("type=")) element.type = selector.split("=")[1].slice(0, -1);
            document.querySelector(".learn .card").append(element);
            element.focus();
        }""",
            control,
        )
        page.keyboard.press("F5")
        expect(answer).to_have_text("Next")
        page.keyboard.press("PageUp")
        expect(answer).to_have_text("Answer")
        seen.append(question.inner_text())
    assert seen == [first] * 3
    for key in ("PageDown", "F5"):
        page.keyboard.press(key)
    expect(question).not_to_have_text(first)
    expect(answer).to_have_text("Answer")
    assert page.evaluate("window.isSame")
    second = question.inner_text()
    page.wait_for_function("location.hash.includes('lesson=2&')")
    later = "location.href.replace(/end=[0-9]+/, `end=${Date.now() + 7 * 60_000}`)"
    page.evaluate(f"history.replaceState(null, '', {later})")
    page.reload()
    expect(question).to_have_text(second)
    expect(page.locator(".learn .card .clock")).to_contain_text("7 minutes left")
    page.keyboard.press("Escape")
    expect(page.locator(".learn .card")).to_have_count(0)
    page.wait_for_function("!location.hash.includes('lesson=')")


@pytest.mark.parametrize("file", ["learn/vote.html", "style.css", "../../album_gan/export/page.css"])
def test_nothing_of_a_full_screen_lies_below_the_toolbar_of_a_phone(file):
    """100vh is the height without the toolbar; 100dvh is what can be seen."""
    text = (STATIC / file).read_text(encoding="utf-8")
    full = re.findall(r"[a-z-]+: (?:min\()?100vh[^;]*;.*", text)
    assert full
    for line in full:
        own, _, rest = line.partition("; ")
        assert rest.startswith(own.replace("100vh", "100dvh")), line
