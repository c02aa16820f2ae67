# ruff: noqa: F811  fixtures come from browsing.py
"""The exported HTML file: what it holds, what is refused, and that it draws the pipeline's covers, in Chromium."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browsing import browser  # noqa: F401
from PIL import Image
from short_runs import wait_until

from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
from album_gan.inference.latents import classes_of, latents_of, name_of, read_seeds, seed_for_any_text
from album_gan.media.image_files import read_settings
from album_gan.networks.dcgan import DCGANGenerator
from album_gan.networks.lite_generator import LiteGenerator
from album_gan.page_style import opening_wall

pytest.importorskip("onnx", reason="exports need the extra export")
pytest.importorskip("onnxruntime", reason="exports need the extra export")
from album_gan.export import html_page
from album_gan.export.html_page import build_page, runtime_script, smallest_size
from album_gan.export.onnx_model import halves_to_onnx

pytestmark = pytest.mark.long

SEEDS = [0, 7, 42, 12_345_678, 99_999_999]
TEXTS = [
    *("0", " 0042 ", "99999999", "123456789", "velvet-otter-042", "Velvet Otter 042", "VELVET_otter-042"),
    *("", "velvet-otter-42", "Dark Side", "  dark \t side ", "Straße", "STRASSE", "Ωμέγας ΣΣΑΣ", "İstanbul"),
    *("e\u0301", "\u00e9", "ﬁne", "日本", "🎷 x", "a\x1cb\u2003c"),
]
LISTS = [
    *("1,2,7-9,velvet-otter-042", " 3 - 5 , VELVET OTTER 042, 3", "5-5", "007-0000000009", "42;", ";;42 ;\n", "1;2\n3"),
    *("The Flat Tyres; 1,2", "The  Flat \u2003 Tyres; Night Bus", "velvet-otter-042, Dark Side", "Tyler, The Creator"),
    *("10,000 Maniacs", "Blink-182", "1,nice-cat-007", "Straße, velvet-otter-042", "1,\xa02-\u20034"),
    *("42,", "1,,2", "9-7", " 9 - 7 ", "1 2 3", "1,2,123456789", "1-2-3", "-3", "a;;b", "velvet-otter-042, ", "- -"),
    *("", "  ", " ; ", "100000000", "0-100000000", "0-1000000", "5,0-999999", "1," * 40, "🎷; ,velvet-otter-042" * 4),
]


def test_the_page_is_one_small_file(file):
    page = file.read_text()
    assert len(page) < 30_000_000
    assert "{{" not in page.partition("<script")[0]
    assert "network whose training covers may be copyrighted" in page.partition("<script")[0]
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page.partition("<script")[0]) == []


def test_the_runtime_is_the_one_of_its_licence():
    folder = Path(__file__).parents[2] / "album_gan" / "export" / "onnxruntime-web"
    version = re.search(r"ONNX Runtime Web v([\d.]+)", (folder / "ort.wasm.bundle.min.mjs").read_text())[1]
    assert (folder / "LICENSE").read_text().startswith(f"onnxruntime-web {version},")
    assert "InferenceSession: " in runtime_script()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format html --out covers.onnx", "out must be a file that ends in .html, got covers.onnx"),
        ("--format zip --out covers.zip", "invalid choice: 'zip'"),
        ("--format onnx --out x.onnx --model nowhere", "model must be bundled, teaching, a folder or a Hub id"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words.split()]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


LARGE = """
import sys
from album_gan.cli.main import main
assert main(["export", "--model", sys.argv[1], "--format", "html", "--out", "x.html"]) == 2
assert not {"onnxscript", "onnx"} & set(sys.modules), "the model was exported before it was refused"
"""


def test_a_model_too_large_for_the_page_is_refused_before_it_is_exported(tmp_path):
    """A DCGAN of the default width."""
    AlbumCoverPipeline(DCGANGenerator()).save_pretrained(tmp_path / "model")
    words = [sys.executable, "-c", LARGE, str(tmp_path / "model")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the page must be at most 30,000,000 bytes, so that it can be emailed, got " in done.stderr
    assert "or use --format onnx" in done.stderr
    assert not (tmp_path / "x.html").exists()


def test_the_lower_bound_of_a_page_is_one(file, tiny_pipeline):
    assert 0.5 * file.stat().st_size < smallest_size(tiny_pipeline)
    assert smallest_size(tiny_pipeline) < file.stat().st_size


@pytest.mark.parametrize(
    ("room", "left_out"),
    [(300_000, ""), (150_000, "the model's history"), (50_000, "the model's upscaler and history")],
)
def test_what_is_left_out_for_want_of_room_is_said(
    tiny_model, tiny_pipeline, halves, tmp_path, monkeypatch, capsys, room, left_out
):
    noise = np.random.default_rng(0).bytes(100_000)
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model" / "history").mkdir()
    (tmp_path / "model" / "history" / "0.webp").write_bytes(noise)
    monkeypatch.setattr(html_page, "halves_to_onnx", lambda pipe: halves)
    monkeypatch.setattr(html_page, "upscaler_to_onnx", lambda pipe: noise)
    monkeypatch.setattr(html_page, "MAX_BYTES", len(build_page(tiny_pipeline, halves)) + room)
    words = ["export", "--model", str(tmp_path / "model"), "--format", "html", "--out", str(tmp_path / "covers.html")]
    assert main(words) == 0
    page, said = (tmp_path / "covers.html").read_text(), capsys.readouterr().out
    assert ("without" in said) == bool(left_out)
    assert left_out in said
    assert ("const HISTORY = [];" in page) == ("history" in left_out)
    assert ('"upscales": false' in page) == ("upscaler" in left_out)


GENRES = {"blues": [0, 1, 3], "ska": [0, 9, 1]}


@pytest.mark.slow
def test_mixtures_in_javascript(browser):
    """The menu's numbers after the classes are mixtures, from which seeds draw the classes that Python draws."""
    network = LiteGenerator(32, classes=("a", "b"), class_counts=[0, 1, 1], mixtures=GENRES).eval()
    network.label.weight.data[1:].normal_()
    pipe = AlbumCoverPipeline(network)
    page = browser.new_page()
    page.set_content(build_page(pipe, halves_to_onnx(pipe)))
    assert page.locator("#label option").all_text_contents() == ["any", "blues", "ska", "a", "b"]
    names = {"blues": 3, "ska": 4, "b": 2, None: 0}
    for name, number in names.items():
        theirs = page.evaluate("([seeds, n]) => seeds.map((seed) => albumGan.classUnder(seed, n))", [SEEDS, number])
        assert theirs == pipe.classes_of(SEEDS, name)
    data = page.evaluate("async () => Array.from((await albumGan.draw(7, 1, 4)).data)")
    ours = np.asarray(pipe(seeds=[7], truncation=1.0, label="ska").images[0], int)
    assert np.abs(np.array(data).reshape(32, 32, 4)[:, :, :3] - ours).max() <= 2
    page.close()


@pytest.fixture(scope="module")
def page(browser, file):
    """The file as a double click opens it, with its first wall drawn. In the end: no request, no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True, accept_downloads=True)
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.locator("#wall button[data-drawn]").nth(11).wait_for(timeout=60_000)
    yield page
    context.close()
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert errors == []


def test_seeds_names_and_latents_in_javascript(page):
    found = page.evaluate("texts => texts.map(albumGan.seedForAnyText)", TEXTS)
    assert found == [seed_for_any_text(text)[0] for text in TEXTS]
    assert page.evaluate("seeds => seeds.map(albumGan.nameOf)", SEEDS) == [name_of(seed) for seed in SEEDS]
    for size in (128, 5):
        theirs = page.evaluate("([seeds, n]) => seeds.map(s => Array.from(albumGan.latentOf(s, n)))", [SEEDS, size])
        assert np.abs(np.array(theirs) - latents_of(SEEDS, size)).max() < 1e-6
    for counts in ([0, 300, 100, 600], [5, 1]):
        theirs = page.evaluate("([seeds, counts]) => seeds.map(s => albumGan.classOf(s, counts))", [SEEDS, counts])
        assert theirs == classes_of(SEEDS, counts)
    assert page.evaluate("albumGan.classOf(7, [])") == 0


READ = "text => { try { return albumGan.readSeeds(text) } catch (error) { return error.message } }"


@pytest.mark.parametrize("text", LISTS)
def test_lists_in_javascript(page, text):
    try:
        ours = [chosen._asdict() for chosen in read_seeds(text)]
    except ValueError as error:
        ours = str(error)
    assert page.evaluate(READ, text) == ours


def test_the_page_draws_the_pipelines_covers(page, tiny_pipeline):
    for seed, truncation in ((7, 1.0), (99_999_999, 0.5)):
        data = page.evaluate("async ([s, t]) => Array.from((await albumGan.draw(s, t)).data)", [seed, truncation])
        theirs = np.array(data).reshape(32, 32, 4)[:, :, :3]
        ours = np.asarray(tiny_pipeline(seeds=[seed], truncation=truncation).images[0], int)
        assert np.abs(theirs - ours).max() <= 2


def test_a_name_is_typed_enlarged_and_downloaded(page, tiny_pipeline, tmp_path):
    page.fill("#name", "Velvet Otter 042")
    page.press("#name", "Enter")
    tile = page.locator("#wall button").first
    assert tile.locator("span").text_content() == "velvet-otter-042"
    tile.and_(page.locator("[data-drawn]")).wait_for(timeout=20_000)
    assert page.locator("dialog h2").text_content() == "velvet-otter-042"
    with page.expect_download() as download:
        page.click("[data-do=save]")
    download.value.save_as(tmp_path / "cover.png")
    assert download.value.suggested_filename == "velvet-otter-042.png"
    picture = Image.open(tmp_path / "cover.png")
    assert read_settings(picture) == json.loads(json.dumps(tiny_pipeline.settings("velvet-otter-042")))
    ours = np.asarray(tiny_pipeline(seeds=["velvet-otter-042"]).images[0], int)
    assert np.abs(np.asarray(picture.convert("RGB"), int) - ours).max() <= 2
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog h2").text_content() == name_of(0)
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.locator("#wall button").nth(1).focus()
    page.keyboard.press("ArrowRight")  # arrow keys on the wall
    page.keyboard.press("Enter")
    assert page.locator("dialog h2").text_content() == name_of(1)
    page.keyboard.press("Escape")


def test_a_list_is_the_wall(page):
    page.fill("#name", f"1, 7-9; {name_of(2)}; The Flat Tyres")
    page.press("#name", "Enter")
    page.locator("#wall button[data-drawn]").nth(5).wait_for(timeout=20_000)
    names = [*(name_of(seed) for seed in (1, 7, 8, 9, 2)), "The Flat Tyres"]
    assert page.locator("#wall button span").all_text_contents() == names


def test_a_list_of_one_opens_it(page):
    page.fill("#name", "42;")
    page.press("#name", "Enter")
    assert page.locator("dialog h2").text_content() == name_of(42)
    page.keyboard.press("Escape")


def test_what_is_typed_stays_the_name(page, tmp_path):
    page.fill("#name", "The Flat Tyres")
    page.press("#name", "Enter")
    page.locator("#wall button[data-drawn]").first.wait_for(timeout=20_000)
    assert page.locator("dialog h2").text_content() == "The Flat Tyres"
    with page.expect_download() as download:
        page.click("[data-do=save]")
    download.value.save_as(tmp_path / "cover.png")
    assert download.value.suggested_filename == "The Flat Tyres.png"
    assert read_settings(Image.open(tmp_path / "cover.png"))["typed"] == "The Flat Tyres"
    page.keyboard.press("Escape")


def test_words_of_any_script_are_in_the_picture(page, tmp_path):
    page.fill("#name", "Ångström 日本 🎸")
    page.press("#name", "Enter")
    page.locator("#wall button[data-drawn]").first.wait_for(timeout=20_000)
    with page.expect_download() as download:
        page.click("[data-do=save]")
    download.value.save_as(tmp_path / "cover.png")
    assert read_settings(Image.open(tmp_path / "cover.png"))["typed"] == "Ångström 日本 🎸"
    page.keyboard.press("Escape")


def test_a_cover_saved_during_a_film_is_the_cover(page, tiny_pipeline, tmp_path):
    """Also if it was shown enlarged before."""
    page.locator("#wall button[data-drawn]").first.click()
    page.click("[data-do=enlarge]")
    page.locator("dialog canvas[width='128']").wait_for()
    page.keyboard.press("m")
    page.locator("dialog .note", has_text="Drawing").wait_for()
    page.locator("dialog .note:empty").wait_for(state="attached")  # the film plays
    with page.expect_download() as download:
        page.click("[data-do=save]")
    download.value.save_as(tmp_path / "cover.png")
    picture = Image.open(tmp_path / "cover.png")
    settings = read_settings(picture)
    ours = np.asarray(tiny_pipeline(seeds=[settings["seed"]], truncation=settings["truncation"]).images[0], int)
    assert np.abs(np.asarray(picture.convert("RGB"), int) - ours).max() <= 2
    page.keyboard.press("Escape")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100000000", "must be a number from 0 to 99999999 or a name, got '100000000'"),
        ("1,,2", "remove the empty item"),
        ("0-99", "must be at most 64 on a wall, got 100"),
    ],
)
def test_what_cannot_be_seeds_is_refused_at_the_field(page, text, message):
    before = page.locator("#wall span").all_text_contents()
    page.fill("#name", text)
    page.press("#name", "Enter")
    assert message in page.eval_on_selector("#name", "field => field.validationMessage")
    assert not page.locator("dialog").is_visible()
    assert page.locator("#wall span").all_text_contents() == before
    page.fill("#name", "")
    assert page.eval_on_selector("#name", "field => field.validationMessage") == ""


def test_covers_morph_and_the_stage_is_left_again(page):
    page.click("#present")
    first = page.locator("dialog h2").text_content()
    page.keyboard.press("m")
    page.locator("dialog .note", has_text="Drawing").wait_for()
    page.locator("dialog h2", has_text=page.locator("#wall button span").nth(1).text_content()).wait_for()
    page.keyboard.press("PageUp")
    assert page.locator("dialog h2").text_content() == first
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="hidden")


def test_the_history_of_the_training_is_shown(page):
    shown = page.locator("#history span")
    assert shown.text_content() == "After 1,000 covers seen"
    sheets = {page.locator("#history img").get_attribute("src")}
    page.get_by_role("slider", name="Training progress").fill("0")
    assert shown.text_content() == "Before training: noise"
    sheets.add(page.locator("#history img").get_attribute("src"))
    assert len(sheets) == 2
    page.wait_for_function("document.querySelector('#history img').naturalWidth === 384")


def test_the_switch_between_light_and_dark(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != light
    page.click("#theme")


@pytest.mark.parametrize(("upscaler", "note"), [(b"", r""), (b"no network", r"This browser cannot draw: .+")])
def test_no_cover_is_enlarged_for_ever(browser, tiny_pipeline, halves, upscaler, note):
    """By a page without an upscaler, or with one that fails."""
    page = browser.new_page()
    page.set_content(build_page(tiny_pipeline, halves, upscaler))
    page.locator("#wall button[data-drawn]").first.click()
    page.keyboard.press("e")
    page.locator("dialog .note", has_text="Enlarging").wait_for(state="detached", timeout=20_000)
    assert re.fullmatch(note, page.locator("dialog .note").text_content())
    assert page.locator("[data-do=enlarge]").is_visible() == bool(upscaler)
    assert page.locator("#history").is_hidden()  # it has none
    page.close()


# WebAssembly starts, and so covers are drawn, when the test says go(). Downloads are counted.
HELD = """
    const start = WebAssembly.instantiate;
    const told = new Promise((done) => (globalThis.go = done));
    WebAssembly.instantiate = async (...what) => (await told, start(...what));
    globalThis.saved = 0;
    HTMLAnchorElement.prototype.click = () => (saved += 1);
"""


def test_a_cover_is_saved_and_enlarged_only_when_it_is_drawn(browser, file):
    page = browser.new_page()
    page.add_init_script(HELD)
    page.goto(file.as_uri())
    page.locator("#wall button").first.click()
    note = page.locator("dialog .note")
    buttons = [page.locator(f"[data-do={action}]") for action in ("save", "enlarge")]
    for button in buttons:
        assert button.is_disabled()
        button.dispatch_event("click")
    page.keyboard.press("e")
    page.wait_for_timeout(300)
    assert (note.text_content(), page.evaluate("saved")) == ("Not drawn yet", 0)
    page.evaluate("go()")
    page.locator("#wall button[data-drawn]").first.wait_for()
    assert note.text_content() == ""
    for button in buttons:
        button.click()  # waits until it is enabled
    page.locator("dialog canvas[width='128']").wait_for()
    wait_until(lambda: page.evaluate("saved") == 1)
    page.close()


def test_on_a_phone(browser, file):
    """Two covers abreast, nothing to scroll sideways, everything large enough for a thumb, and taps work."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator("#wall button[data-drawn]").nth(3).wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, second, third = (page.locator("#wall button").nth(n).bounding_box() for n in range(3))
    assert first["y"] == second["y"] < third["y"]
    for selector in ("#name", "#new-wall"):
        assert page.locator(selector).bounding_box()["height"] >= 44
    page.locator("#wall button").nth(1).tap()
    box = page.locator("dialog canvas").bounding_box()
    assert 300 < box["width"] <= 390
    page.locator("[data-do=close]").tap()
    before = page.locator("#wall span").all_text_contents()
    page.locator("#new-wall").tap()
    page.locator("#wall button[data-drawn]").nth(5).wait_for(timeout=20_000)
    assert not set(before) & set(page.locator("#wall span").all_text_contents())
    context.close()


@pytest.mark.slow
def test_the_bundled_models_file_is_the_pages_sibling(browser, tmp_path):
    """Its picked wall, its history, and its enlargements, in a file that can be mailed."""
    pipe = AlbumCoverPipeline.from_pretrained()
    assert main(["export", "--format", "html", "--out", str(tmp_path / "covers.html")]) == 0
    size = (tmp_path / "covers.html").stat().st_size
    assert size < 30_000_000
    root, stated = Path(__file__).parents[2], f"{size / 1e6:.0f} MB"
    assert f"{stated} file that draws" in " ".join((root / "README.md").read_text().split())
    assert f"The HTML file ({stated})" in (root / "docs/loading.md").read_text()
    page = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True).new_page()
    page.goto((tmp_path / "covers.html").as_uri())
    page.locator("#wall button[data-drawn]").nth(15).wait_for(timeout=60_000)
    picked = opening_wall(pipe.fingerprint)[0]
    assert page.locator("#wall span").all_text_contents() == [name_of(seed) for seed in picked[:24]]
    page.get_by_role("slider", name="Training progress").fill("0")
    assert page.locator("#history span").text_content() == "Before training: noise"
    seed = picked[0]
    data = page.evaluate("async s => Array.from((await albumGan.enlarged(await albumGan.draw(s, 1))).data)", seed)
    theirs = np.array(data).reshape(512, 512, 4)[:, :, :3]
    ours = np.asarray(pipe.upscale(pipe(seeds=[seed]).images[0], 512), int)
    assert np.abs(theirs - ours).max() <= 4  # the cover may differ by 1, and is enlarged with that
    page.context.close()
