"""Type on covers, by measurement: it can be read, stays inside, does not overlap."""

import itertools
import random
import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from album_gan.editing.typography import (
    CONTRAST,
    LAYOUTS,
    LONGEST_TEXT,
    MARGIN,
    compose,
    contrast,
    luminance,
    set_type,
)

COVERS = 500
NAMES = [
    "", "A", "i", "Velvet Otter", "LOUD", "mIxEd CaSe", "Live at the Municipal Swimming Pool of Castrop-Rauxel",
    "Übermäßig laute Kapelle & Friends", "Ça va? Ĝis la revido, žluťoučký kůň", "Тихий океан", "Ψυχή καὶ σῶμα",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 2, "x" * LONGEST_TEXT, "  spaced   out  ",
    "Nº 5 — “quotes” (1999)", unicodedata.normalize("NFD", "décomposé"), "W " * 50,
]  # fmt: skip


def cover(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Flat fields, shapes, noise or stripes: what covers do to type."""
    colour = lambda: tuple(rng.randrange(256) for _ in range(3))  # noqa: E731
    image = Image.new("RGB", size, rng.choice([colour(), (0, 0, 0), (255, 255, 255), (127, 127, 127)]))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randrange(12)):
        box = [sorted(rng.randrange(side) for _ in range(2)) for side in size]
        draw.rectangle((box[0][0], box[1][0], box[0][1], box[1][1]), fill=colour())
    if rng.random() < 0.3:
        noise = Image.effect_noise(size, rng.randrange(200)).convert("RGB")
        image = Image.blend(image, noise, rng.random())
    return image.filter(ImageFilter.GaussianBlur(rng.random() * 2))


def check_type_on(image: Image.Image, title: str, artist: str, layout: str, what: str) -> None:
    """It can be read, stays within the margins, does not overlap, and is complete."""
    typeset = compose(image, title, artist, layout)
    drawn, background = np.asarray(typeset.drawn(), int), np.asarray(typeset.background, int)
    changed = (drawn != background).any(-1)
    if not (title + artist).strip():
        assert np.array_equal(drawn, np.asarray(image, int)), what
        return
    assert changed.any(), what
    assert contrast(np.array(typeset.colour), background[changed]).min() >= CONTRAST, what
    edge = round(MARGIN * min(image.size))
    assert not np.delete(changed, np.s_[edge : image.height - edge], 0).any(), what
    assert not np.delete(changed, np.s_[edge : image.width - edge], 1).any(), what
    for line in typeset.lines:  # what would stand outside is not drawn, and so not seen above
        left, top, right, bottom = line.box
        assert 0 <= left < right <= image.width, what
        assert 0 <= top < bottom <= image.height, what
    for one, other in itertools.combinations(typeset.lines, 2):
        apart = one.box[3] <= other.box[1] or other.box[3] <= one.box[1]
        assert apart, f"{what}: {one.text!r} {one.box} and {other.text!r} {other.box}"
    written, expected = (
        "".join(letter for letter in text.replace(" ", "").casefold() if not unicodedata.combining(letter))
        for text in ("".join(line.text for line in typeset.lines), unicodedata.normalize("NFC", title + artist))
    )
    assert sorted(written.replace("ß", "ss")) == sorted(expected.replace("ß", "ss")), what


def test_type_can_be_read_stays_inside_and_does_not_overlap():
    rng = random.Random(0)
    for number in range(COVERS):
        size = rng.choice([128, 160, 200])
        title, artist, layout = rng.choice(NAMES), rng.choice(NAMES), rng.choice(list(LAYOUTS))
        what = f"cover {number}: {title!r}, {artist!r}, {layout}"
        check_type_on(cover(rng, (size, size)), title, artist, layout, what)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(2000, 128), (4096, 128), (700, 200), (300, 200), (200, 300), (128, 2000)], ids=str)
def test_type_stays_inside_of_wide_and_tall_pictures(size, layout):
    rng = random.Random(0)
    for title, artist in itertools.product(NAMES[:4] + NAMES[6:13:2], NAMES[3:8:2]):
        check_type_on(cover(rng, size), title, artist, layout, f"{title!r}, {artist!r}")


def test_type_avoids_the_busiest_part():
    rng = np.random.default_rng(0)
    for busy in (slice(0, 100), slice(156, 256)):
        pixels = np.full((256, 256, 3), 90, np.uint8)
        pixels[busy] = rng.integers(0, 256, (100, 256, 3))
        for layout in LAYOUTS:
            typeset = compose(Image.fromarray(pixels), "Title", "Artist", layout)
            assert all(line.box[3] <= busy.start or line.box[1] >= busy.stop for line in typeset.lines), layout


def test_type_on_a_transparent_picture_stands_on_white():
    picture = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    typeset = set_type(picture, "Bus")
    assert typeset.mode == "RGB"
    assert typeset.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lines_of_a_title_are_balanced(layout):
    """Filling each line in turn would give "A Letter From" and "the Sea"; its longest line is as short as can be."""
    lines = compose(Image.new("RGB", (512, 512)), "A Letter From the Sea", "", layout).lines
    assert [line.text.lower() for line in lines] == ["a letter", "from the sea"]


def test_greek_capitals_carry_no_mark_onto_the_next_letter():
    """Letters that have no capital of their own, so that Unicode's is a letter with marks behind it."""
    lines = compose(Image.new("RGB", (512, 512)), "Μαΐου ψῦχος, ǰ", "", "headline").lines
    assert " ".join(line.text for line in lines) == "ΜΑΪΟΥ ΨΥΧΟΣ, J"


def test_a_calm_cover_is_not_shaded():
    image = Image.new("RGB", (256, 256), (20, 60, 40))
    typeset = compose(image, "Title", "Artist")
    assert np.array_equal(np.asarray(typeset.background), np.asarray(image))


def test_wcag_numbers():
    assert luminance(np.array([255, 255, 255])) == pytest.approx(1)
    assert contrast(np.array([255, 255, 255]), np.array([0, 0, 0])) == pytest.approx(21)
    assert contrast(np.array([119, 119, 119]), np.array([255, 255, 255])) == pytest.approx(4.48, abs=0.01)  # WCAG's own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"title": "夜のバス"}, "title has a character that no bundled font has, '夜'; write Latin, Greek or Cyrillic"),
        ({"artist": "Fire 🔥"}, "artist has a character that no bundled font has, '🔥'"),
        ({"title": "x" * (LONGEST_TEXT + 1)}, "title must be at most 120 characters, got 121"),
        (
            {"title": "x", "layout": "vertical"},
            "layout must be one of headline, .* got 'vertical'",
        ),
    ],
)
def test_what_cannot_be_set_is_explained(options, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        set_type(Image.new("RGB", (256, 256)), **options)


def test_a_cover_too_small_for_type():
    with pytest.raises(ValueError, match="128 pixels or more for type, got 64x64"):
        set_type(Image.new("RGB", (64, 64)), "Title")
