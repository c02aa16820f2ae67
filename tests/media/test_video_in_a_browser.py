# ruff: noqa: F811  fixtures come from browsing.py
"""Films have the colours of their frames where people see them."""

import base64

import numpy as np
import pytest
from browsing import browser  # noqa: F401
from PIL import Image

from album_gan.media.video import write_animation

COLOURS = [(200, 30, 40), (30, 180, 60), (40, 60, 200), (230, 200, 40), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
SHOWN = """async ([address, count]) => {
    const video = Object.assign(document.createElement("video"), { src: address, muted: true });
    document.body.append(video);
    await new Promise((done, failed) => { video.onloadeddata = done; video.onerror = failed; });
    await new Promise((done) => { video.onseeked = done; video.currentTime = 0.5; });
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const at = (place) => context.getImageData((place + 0.5) * canvas.width / count, canvas.height / 2, 1, 1).data;
    return Array.from({ length: count }, (_, place) => Array.from(at(place)).slice(0, 3));
}"""


@pytest.mark.parametrize("size", [128, 720])  # from 720 on browsers take an untagged film for HDTV
def test_colours_in_chromium(browser, tmp_path, size):
    columns = np.repeat(np.array(COLOURS, np.uint8), size // len(COLOURS) + 1, axis=0)
    frame = Image.fromarray(np.broadcast_to(columns, (size, *columns.shape)))
    write_animation([frame] * 30, tmp_path / "film.mp4", fps=30)
    film = base64.b64encode((tmp_path / "film.mp4").read_bytes()).decode()
    page = browser.new_page()
    shown = page.evaluate(SHOWN, [f"data:video/mp4;base64,{film}", len(COLOURS)])
    page.close()
    assert np.abs(np.array(shown) - COLOURS).max() <= 4
