# ruff: noqa: F811  fixtures come from browsing.py
"""The menu of a model with styles, in Chromium."""

import re
from urllib.parse import urlparse

import numpy as np
import pytest
import torch
from browsing import browser, expect, look, open_accordion, same, server, visit, wait_for_wall  # noqa: F401

from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.networks.lite_generator import LiteGenerator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tiny_pipeline, tmp_path_factory):
    """The tiny model, with two styles."""
    folder = tmp_path_factory.mktemp("styles")
    network = LiteGenerator(resolution=32, classes=["jazz", "metal"]).eval()
    network.load_state_dict(tiny_pipeline.generator.state_dict(), strict=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network.label.weight.data.normal_()
    AlbumCoverPipeline(network).save_pretrained(folder)
    return folder


def test_a_chosen_style_redraws_the_wall_and_stays_in_its_link(visit, model):
    page = visit("?seeds=0-3")
    plain = look(page)
    open_accordion(page, "Settings")
    page.locator("#label input").click()
    expect(page.get_by_role("option")).to_have_text([re.compile(name) for name in ("Any", "jazz", "metal")])
    page.get_by_role("option", name="metal").click()
    page.wait_for_function("location.search.includes('label=metal')")
    page.wait_for_function("document.querySelector('.wall .tile[data-url*=\"label=metal\"][data-name]')")
    wait_for_wall(page)
    metal = look(page)
    drawn = AlbumCoverPipeline.from_pretrained(model)(seeds="0-3", label="metal").images
    assert metal.keys() == plain.keys()
    for name, cover in zip(metal, drawn, strict=True):
        pixels = metal[name].reshape(32, 32, 4)[:, :, :3].astype(int)
        assert np.abs(pixels - np.asarray(cover)).max() <= 1
        assert np.abs(metal[name].astype(int) - plain[name]).max() > 8
    shared = visit(f"?{urlparse(page.url).query}")
    assert same(metal, look(shared))
    shared.locator(".wall .tile").first.click()
    shared.get_by_text("The numbers behind it").click()
    expect(shared.get_by_text("And the style “metal”.")).to_be_visible()
    assert "label=metal" in shared.get_by_role("link", name="Download 32 px").get_attribute("href")
