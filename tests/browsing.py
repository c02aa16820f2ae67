"""Chromium looking at the real page: what the tests of the page in a browser share."""

import importlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlparse

import numpy as np
import pytest
from serving import free_port, serve

# Set where they must run, as on GitHub: there a missing browser is a failure.
NEEDED = bool(os.environ.get("ALBUM_GAN_NEED_BROWSER"))
PLAYWRIGHT = "playwright.sync_api"
playwright = (
    importlib.import_module(PLAYWRIGHT)
    if NEEDED
    else pytest.importorskip(PLAYWRIGHT, reason="browser tests need playwright")
)
expect = playwright.expect
# Debian's shell is Chromium without windows, and opens a page with three quarters of the work.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
AXE_VERSION = "4.14.1"
PATIENCE = 60_000  # ms; only what hangs takes it all, and a busy machine is slow
# What the page shows, not what the server sent: each cover drawn on a canvas, as [name, pixels].
LOOK = """tiles => tiles.map(tile => {
    const image = tile.querySelector("img");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
    return [tile.querySelector("span").textContent, pixels];
})"""
# Resolves once no element has been added or removed for 0.2 seconds, at the latest after 5.
QUIET = """() => new Promise((done) => {
    setTimeout(done, 5000);
    let timer = setTimeout(done, 200);
    const wait = () => (clearTimeout(timer), (timer = setTimeout(done, 200)));
    new MutationObserver(wait).observe(document.body, { childList: true, subtree: true });
})"""


def missing(what: str) -> NoReturn:
    """Skip the test; fail where browser tests must run."""
    (pytest.fail if NEEDED else pytest.skip)(f"browser tests need {what}")


@contextmanager
def chromium() -> Iterator:
    """Playwright's Browser."""
    if CHROMIUM is None:
        missing("Chromium: apt-get install chromium-headless-shell")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Server:
    """The page's process, which a test may restart at the same address."""

    def __init__(self, model, files):
        self.model, self.files, self.port = model, files, free_port()

    def start(self):
        self.running = serve(self.model, self.port, self.files)
        self.address = self.running.__enter__()

    def stop(self):
        self.running.__exit__(None, None, None)


@pytest.fixture(scope="module")
def model(tiny_model):
    """What the page draws with; a file of tests may have another."""
    return tiny_model


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    server = Server(model, tmp_path_factory.mktemp("files"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The text of axe-core, as npm has it."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        missing("axe-core from npm, which is not installed")
    words = ["npm", "pack", f"axe-core@{AXE_VERSION}", "--silent"]
    fetched = subprocess.run(words, cwd=folder, capture_output=True, timeout=90)
    if fetched.returncode:
        missing("axe-core from npm's registry, which cannot be reached")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def axe_problems(page, where: str = "") -> list[str]:
    """What axe-core, which the page has been given, finds wrong: WCAG 2.2, levels A and AA; contrast in light too."""
    page.wait_for_timeout(400)  # until things have faded in
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    problems = []
    for scheme, run_only in (("light", ["color-contrast"]), ("dark", rules)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours change at once
        found = page.evaluate("runOnly => axe.run({ runOnly }).then(result => result.violations)", run_only)
        problems += [
            f"{where}, {scheme}: {problem['id']}: {node['html'][:160]}: {node['failureSummary'][:200]}"
            for problem in found
            for node in problem["nodes"]
        ]
    return problems


@pytest.fixture
def visit(browser, server):
    """Opens the page in a fresh browser. In the end no request has left the machine, no script has failed."""
    contexts, requests, errors = [], [], []

    def visit(query="", width=1280, height=720):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.address}/{query}")
        page.wait_for_function("window.albumGan?.wall")
        wait_for_wall(page)
        if "tab=" in query:
            wait_for_quiet(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    outside = [
        url
        for url in requests
        if urlparse(url).scheme not in ("data", "blob") and urlparse(url).hostname != "127.0.0.1"
    ]
    assert outside == []
    assert errors == []


def wait_for_wall(page):
    """Until every cover asked for is there."""
    page.wait_for_function(
        "document.querySelector('.tile') && !document.querySelector('.wall .tile:is([aria-busy], :not([data-name]))')"
    )


def wait_for_quiet(page):
    """As long as a person would take to look for a field or a button that has just appeared.

    Gradio makes the components of a tab or an accordion when it is opened for the first time. Frames after they can be
    seen it gives them their values: what was typed is lost, and a download button does nothing before it has its file.
    """
    page.evaluate(QUIET)


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()
    wait_for_quiet(page)


def open_accordion(page, name):
    page.get_by_text(name, exact=True).click()
    wait_for_quiet(page)


def downloaded(page, button):
    """What a click on the button downloads, Playwright's Download."""
    button.wait_for()
    wait_for_quiet(page)
    with page.expect_download() as download:
        button.click()
    return download.value


def look(page) -> dict[str, np.ndarray]:
    """Names of the covers on the wall, with their pixels."""
    return {name: np.array(pixels, np.uint8) for name, pixels in page.eval_on_selector_all(".wall .tile", LOOK)}


def same(first, second) -> bool:
    """Up to 1 of 255: batches of another size round otherwise."""
    return first.keys() == second.keys() and all(
        np.abs(first[name].astype(int) - second[name]).max() <= 1 for name in first
    )


def ask_for(page, text):
    field = page.get_by_label("Type any name, get its cover")
    field.fill(text)
    field.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
