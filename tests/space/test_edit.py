"""Edit: what a browser may ask for, and what it gets."""

import urllib.parse
import urllib.request
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from serving import free_port, serve

from album_gan.media.image_files import read_settings

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    with serve(tiny_model, free_port(), tmp_path_factory.mktemp("files")) as address:
        yield address


def fetch(address, path, **query):
    with urllib.request.urlopen(f"{address}/{path}?{urllib.parse.urlencode(query)}") as answer:
        return Image.open(BytesIO(answer.read()))


def test_an_edited_cover_is_darker_and_says_what_was_done(address):
    plain = fetch(address, "edit/3.png")
    darker = fetch(address, "edit/3.png", edits='{"darker": 2}', style="5", truncation="0.9")
    wanted = {"edits": {"darker": 2.0}, "seed": 3, "style": 5, "truncation": 0.9}
    assert wanted.items() <= read_settings(darker).items()
    assert np.asarray(fetch(address, "edit/3.png", edits='{"darker": 2}')).mean() < np.asarray(plain).mean()
    unchanged = fetch(address, "cover/3.png")
    assert np.abs(np.asarray(plain, int) - np.asarray(unchanged, int)).max() <= 1
    assert fetch(address, "edit/3.webp", size=512).size == (512, 512)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"darker": 4}', "from -3 to 3"),
        ('{"darker": NaN}', "from -3 to 3"),
        ('{"<b>": 1}', "edits must be of darker"),
        ("[1]", "must be JSON"),
        ('{"darker": "x"}', "must be JSON"),
        ("{" * 5000, "must be JSON"),
    ],
)
def test_wrong_edits_are_refused(text, words):
    from album_gan.space.validation import check_edits

    with pytest.raises(ValueError, match=words):
        check_edits(text, ["darker", "warmer"])
    assert check_edits("", ["darker"]) == {}
