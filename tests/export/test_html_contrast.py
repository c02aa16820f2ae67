# ruff: noqa: F811  fixtures come from browsing.py
"""The HTML file can be read by everybody, in light and dark."""

import pytest
from browsing import axe, axe_problems, browser  # noqa: F401

from album_gan.cli.main import main

pytest.importorskip("onnx", reason="exports need the extra export")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["laptop", "phone"])
def test_axe_finds_nothing_in_the_file(browser, axe, size, tmp_path):
    assert main(["export", "--format", "html", "--out", str(tmp_path / "covers.html")]) == 0
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto((tmp_path / "covers.html").as_uri())
    page.locator("#wall button[data-drawn]").nth(5).wait_for(timeout=60_000)
    page.evaluate(axe)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_text("Settings", exact=True).click()
    assert axe_problems(page, "wall") == []
    page.locator("#wall button").first.click()
    assert axe_problems(page, "cover") == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Present").click()
    assert axe_problems(page, "stage") == []
    page.close()
