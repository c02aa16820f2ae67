# ruff: noqa: F811  fixtures come from browsing.py
"""The Learn tab as visitors use it, on a phone and on a projector, with the small bundled model."""

import json
import re
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from browsing import axe, axe_problems, browser, expect, server, visit  # noqa: F401
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.inference.model_store import find_model

SIZES = [(1920, 1080), (390, 844)]
both_sizes = pytest.mark.parametrize("size", SIZES, ids=["projector", "phone"])
slow_projector = pytest.mark.parametrize(
    "size", [pytest.param(SIZES[0], marks=pytest.mark.slow), SIZES[1]], ids=["projector", "phone"]
)
PANELS = ["tour", "noise", "shapes", "critic", "game", "history", "wrong", "norm", "latent", "guide", "room", "lesson"]
# Texts that are smaller than 14 px, on the panel that is open.
SMALL = """() => {
    const walker = document.createTreeWalker(document.querySelector(".learn"), NodeFilter.SHOW_TEXT);
    const small = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.textContent.trim() || !parent.checkVisibility()) continue;
        const svg = parent.closest("svg");
        const scale = svg?.viewBox.baseVal?.width ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
        if (parent.tagName === "title") continue;
        const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
        if (size < 13.9) small.push(`${size} ${node.textContent.trim().slice(0, 40)}`);
    }
    return small;
}"""
BROKEN = """() => [...document.querySelectorAll(".learn img")]
    .filter(image => image.checkVisibility() && image.loading !== "lazy" && !image.naturalWidth)
    .map(image => image.src)"""


@pytest.fixture(scope="module")
def model():
    return "teaching"


def open_panel(page, name, more=""):
    page.evaluate(f"history.replaceState(null, '', '?tab=learn#panel={name}{more}')")
    page.reload()
    ready(page, name)


def ready(page, name):
    page.wait_for_selector(f".learn .panel[data-panel={name}][data-ready=yes]")
    page.wait_for_function(f"!({BROKEN})().length")


@pytest.mark.slow
def test_reduced_motion_is_respected(visit):
    page = visit("?tab=learn#panel=history")
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    ready(page, "history")
    slider = page.get_by_role("slider", name="Training progress")
    slider.fill("0")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.learn input[type=range]').value === '100'")  # in steps, no film
    moving = """() => document.getAnimations().filter(one => one.playState === "running").length"""
    assert page.evaluate(moving) == 0
    page.get_by_role("button", name="Stop").click()


@slow_projector
def test_every_panel_is_full_readable_and_clean(visit, axe, size):
    page = visit("?tab=learn", *size)
    ready(page, "tour")
    page.evaluate(axe)
    for name, button in zip(PANELS, page.locator(".learn > nav button").all(), strict=True):
        button.click()
        ready(page, name)
        assert len(page.locator(".learn .body").inner_text()) > 200, name
        assert page.locator(".learn .note", has_text=re.compile("must be|Error|does not answer")).count() == 0, name
        assert page.evaluate(SMALL) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert axe_problems(page, name) == []


def test_from_layer_to_channel_to_one_multiplication_and_muting(visit):
    page = visit("?tab=learn#panel=noise&seed=5")
    ready(page, "noise")
    before = page.locator(".pair img").evaluate(PIXELS)
    page.locator(".step", has_text="80 × 16 × 16").first.click()
    expect(page.get_by_text("(8 - 1) × 2 - 2 × 2 + 5 + 1 = 16")).to_be_visible()
    page.locator(".maps").click(position={"x": 5, "y": 5})
    expect(page.get_by_role("heading", name="Channel 0 of 80")).to_be_visible()
    page.locator("[data-do=product]").click()
    text = page.locator(".products p").first
    expect(text).to_contain_text("multiplications and one sum")
    total, computed = re.findall(r"(-?[\d.]+(?:e[+-]\d+)?)\. ", text.inner_text() + " ")
    assert float(total) == pytest.approx(float(computed), abs=2e-3)
    page.locator("[data-do=mute-step]").click()
    expect(page.locator("#muted-cover")).to_be_visible()
    page.wait_for_function("document.querySelector('#muted-cover').naturalWidth === 64")
    muted = page.locator("#muted-cover").evaluate(PIXELS)
    assert np.abs(np.subtract(before, muted)).mean() > 1
    # The link brings everything back.
    expect(page).to_have_url(re.compile("mute="))
    again = visit(page.url.rpartition("/")[2])
    ready(again, "noise")
    expect(again.locator("#muted-cover")).to_be_visible()
    expect(again.get_by_role("heading", name="Channel 0 of 80")).to_be_visible()
    again.get_by_role("button", name="Unmute all").click()
    expect(again.locator("#muted-cover")).to_have_count(0)


PIXELS = """async image => {
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
    canvas.drawImage(image, 0, 0);
    return [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""


def test_the_style_that_a_seed_draws_is_named(visit):
    pipe = AlbumCoverPipeline.from_pretrained()
    style = f"“{pipe.labels[pipe.classes_of([7])[0] - 1]}”"
    page = visit("?tab=learn#panel=noise&model=bundled&seed=7")
    ready(page, "noise")
    expect(page.locator(".pair")).to_contain_text(f"The style {style}, which the seed draws.")
    page.locator(".step", has_text="embedding").first.click()
    expect(page.locator(".detail")).to_contain_text(f"Looks up the learned vector of a label. Here: {style}.")


@pytest.mark.slow
def test_every_recipe_can_be_opened(visit):
    page = visit("?tab=learn#panel=noise")
    ready(page, "noise")
    select = page.get_by_label("Network")
    for name in ("vanilla", "infogan", "progressive"):
        select.select_option(name)
        expect(page.get_by_text(f"{name} at")).to_be_visible()
        expect(page.locator(".facts").first).to_be_visible()


def test_the_calculator_says_what_is_impossible(visit):
    page = visit("?tab=learn#panel=shapes")
    ready(page, "shapes")
    result = page.locator(".result")
    expect(result).to_contain_text("floor((64 - 5 + 2 × 2) / 2) + 1 = 32")
    page.get_by_label("transposed").check()
    expect(result).to_contain_text("(64 - 1) × 2 - 2 × 2 + 5 = 127")
    page.get_by_label("Output padding Q").fill("2")
    expect(result).to_contain_text("Output padding must be less than the stride 2")
    page.get_by_label("Recipe").select_option("infogan")
    expect(page.locator(".drawing svg")).to_contain_text("512 x 4 x 4")


@pytest.mark.slow
def test_the_critic_judges_an_uploaded_picture(visit, tmp_path):
    page = visit("?tab=learn#panel=critic&seed=3")
    ready(page, "critic")
    before = page.locator(".verdict strong").inner_text()
    Image.effect_noise((400, 300), 90).convert("RGB").save(tmp_path / "mine.jpg")
    page.get_by_label("Your own picture").set_input_files(tmp_path / "mine.jpg")
    expect(page.get_by_text("Your picture", exact=True)).to_be_visible()
    expect(page.get_by_label("Your own picture")).to_have_value("")  # the same file can be chosen again
    assert page.locator(".verdict strong").inner_text() != before
    assert page.locator(".heat span").count() == 16
    (tmp_path / "broken.png").write_bytes(b"nothing")
    page.get_by_label("Your own picture").set_input_files(tmp_path / "broken.png")
    expect(page.get_by_text("cannot be read as a picture")).to_be_visible()


@pytest.mark.slow
def test_the_game_goes_one_network_at_a_time_and_by_itself(visit):
    page = visit("?tab=learn#panel=game&data=two&loss=dcgan")
    ready(page, "game")
    page.locator("[data-do=step-d]").click()
    expect(page.get_by_text("No point has moved.")).to_be_visible()
    page.locator("[data-do=step-g]").click()
    expect(page.get_by_text("The generator moved its points uphill")).to_be_visible()
    page.locator("[data-do=run]").click()
    page.wait_for_function("Number(document.querySelector('.board').dataset.steps) > 40")
    page.locator("[data-do=run]").click()
    assert page.locator("svg.chart polyline").count() >= 3


def test_gradients_of_gradients_are_right(visit):
    """Against finite differences: of a loss, and of a penalty on a slope, which is itself a gradient."""
    page = visit("?tab=learn#panel=game")
    ready(page, "game")
    worst = page.evaluate(
        """async () => {
        const t = await import(new URL("learn/files/tensor.js", document.baseURI));
        const dice = t.random(4);
        const network = new t.Network([2, 5, 1], dice);
        const x = t.constant(7, 2, () => dice.normal());
        const bend = (x) => t.tanh(network.forward(x));  // smooth, so that differences are fair
        const loss = () => t.mean(t.softplus(bend(x)));
        const penalty = () => {
            const [slope] = t.gradients(t.sum(bend(x)), [x]);
            const off = t.shift(t.root(t.shift(t.rowSum(t.mul(slope, slope)), 1e-3)), -1);
            return t.mean(t.mul(off, off));
        };
        let worst = 0;
        for (const value of [loss, penalty]) {
            const slopes = t.gradients(value(), network.weights);
            network.weights.forEach((weight, k) => weight.data.forEach((before, i) => {
                const at = (shift) => ((weight.data[i] = before + shift), value().item());
                const difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                weight.data[i] = before;
                worst = Math.max(worst, Math.abs(difference - slopes[k].data[i]));
            }));
        }
        return worst;
    }"""
    )
    assert worst < 1e-6


def test_a_long_game_keeps_its_whole_course_in_few_points(visit):
    page = visit("?tab=learn#panel=game")
    ready(page, "game")
    rounds = page.evaluate(
        """async () => {
        const { Game } = await import(new URL("learn/files/toy.js", document.baseURI));
        const game = new Game({ data: "two", loss: "dcgan" });
        const series = game.losses.discriminator;
        for (let round = 0; round < 9000; round++) series.add(round, 0.7);
        return series.points.map((point) => point[0]);
    }"""
    )
    assert rounds == list(range(0, 9000, 8))


@pytest.mark.slow
def test_what_the_game_teaches_is_true(visit):
    """A penalised critic's loss follows the distance; a generator that steps too often collapses."""
    page = visit("?tab=learn#panel=game")
    ready(page, "game")
    found = page.evaluate(
        """async () => {
        const { Game, PRESETS: presets } = await import(new URL("learn/files/toy.js", document.baseURI));
        const play = (settings, rounds) => {
            const game = new Game(settings);
            const before = game.distance();
            for (let i = 0; i < rounds; i++) game.round();
            return [before, game.distance(), game.modes()];
        };
        const ranks = (values) => {
            const order = values.map((value, i) => [value, i]).sort((a, b) => a[0] - b[0]);
            const found = [];
            order.forEach(([, i], rank) => (found[i] = rank));
            return found;
        };
        const spread = ({ data, rows }) => {
            const deviation = (axis) => {
                const values = Array.from({ length: rows }, (_, i) => data[2 * i + axis]);
                const mean = values.reduce((a, b) => a + b) / rows;
                return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows;
            };
            return Math.sqrt(deviation(0) + deviation(1));
        };
        // The rank correlation of the discriminator's loss, mean of ten rounds, with the true distance.
        const told = (name) => {
            const game = new Game(presets[name]);
            for (let i = 0; i < 300; i++) game.round();
            const each = 10 * game.turns;
            const distances = game.distances.points.map((point) => point[1]);
            const total = (points) => points.reduce((sum, point) => sum + point[1], 0);
            const { points } = game.losses.discriminator;
            const losses = distances.map((_, i) => total(points.slice(i * each, (i + 1) * each)));
            const [a, b, middle] = [ranks(losses), ranks(distances), (distances.length - 1) / 2];
            const product = (u, v) => u.reduce((sum, value, i) => sum + (value - middle) * (v[i] - middle), 0);
            return product(a, b) / product(a, a);
        };
        const collapsed = new Game(presets["Collapse"]);
        const seen = [];
        for (let i = 0; i < 150; i++) {
            collapsed.round();
            if (i >= 50 && i % 10 === 0) seen.push([collapsed.modes(), spread(collapsed.drawn())]);
        }
        const [critic, classic] = [told("An informative loss"), told("An uninformative loss")];
        return [play({ data: "two", loss: "wgan_gp" }, 160), seen, critic, classic];
    }"""
    )
    (before, after, _), collapsed, critic, classic = found
    assert after < before / 2
    assert max(modes for modes, _ in collapsed) <= 2
    assert np.median([spread for _, spread in collapsed]) < 0.5  # the ring's own is 1.5
    assert critic < -0.5
    assert critic < classic - 0.25


def test_a_cover_depends_on_its_neighbours_in_training_mode_only(server, visit):
    def first(mode, neighbours):
        url = f"{server.address}/learn/norm.webp?seeds=7,{neighbours}&mode={mode}"
        with urllib.request.urlopen(url) as answer:
            return np.asarray(Image.open(BytesIO(answer.read())).convert("RGB"), int)[:, :64]

    assert np.abs(first("training", "1,2,3") - first("training", "4,5,6")).max() > 10
    assert np.abs(first("evaluation", "1,2,3") - first("evaluation", "4,5,6")).max() <= 1


@pytest.mark.slow
def test_the_time_machine(visit):
    page = visit("?tab=learn#panel=history")
    ready(page, "history")
    slider = page.get_by_role("slider", name="Training progress")
    slider.fill("0")
    expect(page.get_by_text("Untrained: noise").first).to_be_visible()
    slider.fill("1000")
    for name in ("bundled", "teaching"):
        last = max((find_model(name) / "history").glob("[0-9]*.webp"))
        expect(page.get_by_text(f"{int(last.stem):,} covers seen")).to_be_visible()
    ready(page, "history")


def test_what_went_wrong_is_told_after_a_guess(visit):
    page = visit("?tab=learn#panel=wrong")
    ready(page, "wrong")
    expect(page.locator(".answer")).to_be_empty()
    page.get_by_role("button", name="Collapse").click()
    expect(page.get_by_text("No: Pixels in the wrong range.")).to_be_visible()
    expect(page.get_by_text("lie in [0.00, 1.00]")).to_be_visible()
    page.get_by_role("button", name="Next run").click()
    page.get_by_role("button", name="Duplicates left in").click()
    expect(page.get_by_text("Yes. Duplicates left in.")).to_be_visible()


ACTIONS = {
    "game": lambda page, lit: page.locator("[data-do=run]").click(),
    "noise": lambda page, lit: page.locator(".learn .lit :is(button):visible, .learn .lit:is(button)").last.click(),
    "shapes": lambda page, lit: page.get_by_label("Stride S").fill("1"),
    "critic": lambda page, lit: page.get_by_role("button", name="Another cover").click(),
    "history": lambda page, lit: page.get_by_role("slider", name="Training progress").fill("500"),
    "norm": lambda page, lit: page.locator("[data-do=neighbours]").click(),
    "latent": lambda page, lit: page.locator("[data-do=others]").click(),
    "wrong": lambda page, lit: page.locator(".bets button").nth(1).click(),
    "guide": lambda page, lit: None,
}


LIT_IS_IN_SIGHT = """() => {
    const box = (name) => document.querySelector(`.learn ${name}`).getBoundingClientRect();
    const [lit, card] = [box(".lit"), box(".card")];
    const beside = lit.right <= card.left || lit.left >= card.right;
    return lit.top >= 0 && lit.top + Math.min(lit.height, 40) <= (beside ? innerHeight : card.top);
}"""


@pytest.mark.slow
@both_sizes
def test_the_whole_tour(visit, size):
    page = visit("?tab=learn", *size)
    ready(page, "tour")
    page.locator("[data-do=start]").click()
    card = page.locator(".learn .card")
    for number in range(1, 16):
        expect(card).to_contain_text(f"{number} of 15")
        if card.locator(".bet").count():
            expect(page.locator(".learn .body > :not(.lead)").first).to_be_hidden()
            card.locator(".bet button").first.click()
        panel = page.locator(".learn .panel").get_attribute("data-panel")
        ready(page, panel)
        if number == 1:
            page.locator("[data-do=step-d]").click()
            page.locator("[data-do=step-g]").click()
        else:
            if panel != "guide":
                expect(page.locator(".learn .lit").first).to_be_visible()
                page.wait_for_function(LIT_IS_IN_SIGHT)
            expect(card).to_be_in_viewport()
            ACTIONS[panel](page, None)
        expect(card.locator(".see")).not_to_be_empty()
        expect(page).to_have_url(re.compile(f"tour={number}"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        card.locator("[data-do=next]").click()
    ready(page, "tour")
    expect(page.get_by_text(re.compile("You have made 8 bets;"))).to_be_visible()
    expect(page).to_have_url(re.compile("#panel=tour$"))


@pytest.mark.slow
def test_a_link_opens_a_page_of_the_tour_and_it_can_be_left(visit):
    page = visit("?tab=learn#panel=critic&seed=7&tour=7")
    ready(page, "critic")
    expect(page.locator(".learn .card")).to_contain_text("7 of 15")
    page.locator(".learn .card").get_by_role("button", name="Leave the tour").click()
    expect(page.locator(".learn .card")).to_have_count(0)
    expect(page.get_by_role("heading", name="Guided tour")).to_be_visible()


ROOT = Path(__file__).parent.parent.parent


def test_the_healthy_run_is_described_as_its_losses_are():
    learn = ROOT / "space" / "static" / "learn"
    run = json.loads((learn / "spoiled" / "runs.json").read_text(encoding="utf-8"))["sound"]
    assert "The discriminator is far ahead at first, then the generator catches up" in (learn / "wrong.js").read_text()
    assert min(run["discriminator"][:10]) < 0.1 < 0.4 < min(run["discriminator"][-10:])
    assert max(run["generator"][:10]) > 2 * max(run["generator"][-10:])


def test_the_strong_discriminator_is_described_as_its_loss_is():
    learn = ROOT / "space" / "static" / "learn"
    run = json.loads((learn / "spoiled" / "runs.json").read_text(encoding="utf-8"))["strong"]
    later = dict(list(zip(run["images"], run["discriminator"], strict=True))[1:])
    spike = max(later, key=later.get)
    assert later[spike] > 0.5
    assert (
        f"almost never wrong, so its gradients tell the generator little about how to improve. Once, near {spike:,}"
        in (learn / "wrong.js").read_text(encoding="utf-8")
    )
    assert max(sorted(later.values())[:-2]) < 0.02  # all but the spike and its end


def test_the_written_lesson_has_the_acts_of_the_stage():
    acts = (ROOT / "space" / "static" / "learn" / "acts.js").read_text(encoding="utf-8")
    titles, minutes = re.findall(r'title: "([^"]+)", minutes: (\d+)', acts), 0
    text = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
    for number, (title, length) in enumerate(titles, 1):
        assert f"## Act {number}: {title} (minutes {minutes} to {minutes + int(length)})" in text
        minutes += int(length)
    assert (len(titles), minutes) == (5, 45)


@pytest.mark.slow
@both_sizes
def test_the_lesson_on_the_stage_by_clicker(visit, size):
    page = visit("?tab=learn#panel=lesson", *size)
    ready(page, "lesson")
    page.locator("[data-do=lesson]").click()
    card = page.locator(".learn .card")
    expect(card).to_contain_text("45 minutes left")
    expect(page.locator(".learn > nav")).to_be_hidden()
    shown = 0
    while True:
        expect(card.locator(".question")).not_to_be_empty()
        question = card.locator(".question").inner_text()
        expect(card.locator(".see")).to_be_empty()
        page.keyboard.press("PageDown")
        expect(card.locator(".see")).not_to_be_empty()
        assert page.evaluate("document.querySelector('.learn').scrollWidth <= innerWidth")
        shown += 1
        if question == "Five questions.":
            break
        page.keyboard.press("PageDown")
        expect(card.locator(".question")).not_to_have_text(question)
    assert shown == 16
    page.keyboard.press("PageDown")
    expect(card).to_have_count(0)
    for index, right in enumerate((1, 1, 2, 1, 1)):  # the last one is wrong
        page.locator(f"input[name=question-{index}]").nth(right).check()
    page.locator("[data-do=grade]").click()
    expect(page.get_by_text("4 of 5")).to_be_visible()
    page.get_by_role("button", name="For the speaker").click()
    page.locator("[data-do=make-link]").click()
    link = page.locator("[data-do=did]").get_attribute("href")
    again = visit(link.rpartition("/")[2], *size)  # another browser, with no memory
    expect(again.get_by_text("4 of 5 right.")).to_be_visible()


def test_the_handout_prints_on_one_page(server, visit):
    page = visit("?tab=learn#panel=lesson")
    ready(page, "lesson")
    page.goto(page.get_by_role("link", name="Handout to print").get_attribute("href"))
    expect(page.get_by_role("heading", name="How GANs work, on one page")).to_be_visible()
    assert page.evaluate("document.fonts.check('16px Inter Text')")
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) == 1
