"""Setting title and artist on a cover in real type, since the network draws only pictures of letters.

Type is placed where the cover is least busy, in a colour of the cover that is readable there (WCAG 2.1: a contrast of
at least 4.5 behind every glyph); if there is none, the background is shaded as far as needed.
"""

import bisect
import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CONTRAST = 4.5  # WCAG 2.1, success criterion 1.4.3, level AA
MARGIN = 0.06  # of the shorter side, on all sides
SMALLEST_SIDE = 128  # pixels
LONGEST_TEXT = 120  # characters
LEADING, BETWEEN = 1.2, 1.45  # line spacing within a block, and to the next block; in type sizes
WHITE, BLACK = (255, 255, 255), (12, 12, 12)
SHADES = {WHITE: 0.0, BLACK: 255.0}  # grey to shade the background with, for type of that colour
FONT_FILES = {
    "condensed": "BebasNeue-Bold.otf",
    "serif": "EBGaramond12-Regular.otf",
    "sans": "InterDisplay-Bold.otf",
    "geometric": "LeagueSpartan-Bold.otf",
}


@dataclass(frozen=True)
class Layout:
    """How title and artist are set: sizes relative to the shorter side, `width` relative to the cover's."""

    font: str
    places: tuple[tuple[float, float], ...]  # candidates: 0 is left or top, 1 right or bottom
    title_size: float  # at most; long titles are set smaller
    artist_size: float
    width: float = 1 - 2 * MARGIN
    capitals: bool = False


CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
LAYOUTS = {
    "headline": Layout("condensed", ((0.5, 0.0), (0.5, 1.0)), 0.2, 0.075, capitals=True),
    "poster": Layout("serif", ((0.5, 0.0), (0.5, 0.5), (0.5, 1.0)), 0.13, 0.06),
    "corner": Layout("sans", CORNERS, 0.08, 0.055, width=0.55),
    "modern": Layout("geometric", ((0.0, 0.0), (0.0, 0.5), (0.0, 1.0)), 0.12, 0.05, width=0.8),
}


@dataclass(frozen=True)
class Line:
    """One line of type, with its baseline starting at `place`, and its bounding `box` (left, top, right, bottom)."""

    text: str
    font: ImageFont.FreeTypeFont
    place: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class TypesetCover:
    """A cover prepared for type: its `background`, RGB, and the lines to draw on it in `colour`."""

    background: Image.Image
    lines: tuple[Line, ...]
    colour: tuple[int, int, int]

    def drawn(self) -> Image.Image:
        """The background with the lines on it."""
        image = self.background.copy()
        draw = ImageDraw.Draw(image)
        for line in self.lines:
            draw.text(line.place, line.text, font=line.font, fill=self.colour, anchor="ls")
        return image


def set_type(image: Image.Image, title: str = "", artist: str = "", layout: str = "headline") -> Image.Image:
    """The cover with title and artist on it, RGB; unchanged without either.

    `layout` is one of headline, poster, corner and modern. Raises ValueError for any other, for text of over 120
    characters or with letters that no bundled font has (they have Latin, Greek and Cyrillic), and for a cover of less
    than 128 pixels.
    """
    return compose(image, title, artist, layout).drawn()


def compose(image: Image.Image, title: str, artist: str, layout: str = "headline") -> TypesetCover:
    """Choose sizes, position, colour and shade; arguments and errors as in `set_type`."""
    from ..inference.pixels import on_white  # brings torch, and `check_type` is to answer before that is loaded

    check_sides(image.size)
    texts, style, image = check_type(title, artist, layout), LAYOUTS[layout], on_white(image)
    sizes = {"title": style.title_size, "artist": style.artist_size}
    blocks = [_fitted(text, font, sizes[name], style.width, image.size) for name, (text, font) in texts.items() if text]
    if not blocks:
        return TypesetCover(image, (), WHITE)
    place = min(style.places, key=lambda place: _busyness(image, _bounds(_placed(blocks, place, image.size))))
    lines = _placed(blocks, place, image.size)
    colour, background = _readable(image, _bounds(lines))
    return TypesetCover(background, tuple(lines), colour)


def contrast(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """WCAG contrast, 1 to 21, of colours (..., 3) in 0..255."""
    a, b = luminance(one), luminance(other)
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)


def luminance(colours: np.ndarray) -> np.ndarray:
    """WCAG relative luminance, 0 to 1, of sRGB colours (..., 3) in 0..255."""
    colours = np.asarray(colours)
    linear = LINEAR[colours] if colours.dtype == np.uint8 else _linear(colours)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def _linear(values: np.ndarray) -> np.ndarray:
    share = np.asarray(values, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


LINEAR = _linear(np.arange(256))  # a table, because a large cover has millions of pixels behind its title


def check_type(title: str, artist: str, layout: str) -> dict[str, tuple[str, str]]:
    """Both texts in their final form, each with its font; raises the ValueErrors of `set_type`."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    texts = {}
    for name, text in (("title", title), ("artist", artist)):
        text = " ".join(unicodedata.normalize("NFC", text or "").split())
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"{name} must be at most {LONGEST_TEXT} characters, got {len(text)}; shorten it")
        text = _capitals(text) if LAYOUTS[layout].capitals else text
        texts[name] = text, _font_for(name, text, LAYOUTS[layout].font)
    return texts


def check_sides(sides: tuple[int, int]) -> None:
    """Raise ValueError for a cover too small for type."""
    if min(sides) < SMALLEST_SIDE:
        raise ValueError(f"covers must be {SMALLEST_SIDE} pixels or more for type, got {sides[0]}x{sides[1]}")


def _capitals(text: str) -> str:
    """The text in upper case, without the combining marks that `upper` adds; Greek capitals do without them anyway.

    Unicode has no capital "ΐ": `upper` gives "Ϊ" and a mark, which basic layout would set on the next letter.
    """
    capitals = ((letter, unicodedata.normalize("NFC", letter.upper())) for letter in text)
    return "".join(one for letter, many in capitals for one in many if one == letter or not unicodedata.combining(one))


def _font_for(name: str, text: str, preferred: str) -> str:
    """The preferred font, or else the first one that has all letters."""
    for font in (preferred, *FONT_FILES):
        if all(_has(font, letter) for letter in text):
            return font
    strange = next(letter for letter in text if not any(_has(font, letter) for font in FONT_FILES))
    raise ValueError(f"{name} has a character that no bundled font has, {strange!r}; write Latin, Greek or Cyrillic")


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    file = Path(__file__).parent / "fonts" / FONT_FILES[name]
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _has(font: str, letter: str) -> bool:
    """Whether a font has a letter: a missing one looks like a code point that no font has."""
    if letter == " ":
        return True
    drawn, missing = (_font(font, 32).getmask(text) for text in (letter, "\U0010fffe"))
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def _fitted(text: str, font: str, share: float, width: float, size: tuple[int, int]) -> list[tuple]:
    """Lines and their font, as large as fits into one to four lines; else small, with broken words."""
    side = min(size)  # the width of a wide picture would give type higher than the picture
    widest = min(width * size[0], size[0] - 2 * round(MARGIN * side))
    tallest = 0.38 * size[1]
    for pixels in np.unique(np.geomspace(max(6, 0.025 * side), share * side, 16).astype(int))[::-1]:
        face = _font(font, int(pixels))
        lines = _wrapped(text, face, widest)
        if lines and len(lines) <= 4 and len(lines) * pixels * 1.15 <= tallest:
            return [(line, face) for line in _balanced(text, face, widest, len(lines))]
    face = _font(font, int(max(6, 0.025 * side)))
    return [(line, face) for line in _wrapped(text, face, widest, breaking=True)]


def _wrapped(text: str, face: ImageFont.FreeTypeFont, widest: float, breaking: bool = False) -> list[str]:
    """Lines that fit, broken between words; `breaking` also breaks words. Empty if a word is too wide."""
    lines, line = [], ""
    for word in text.split():
        while breaking and _width(word, face) > widest:
            cut = next(n for n in range(len(word), 0, -1) if n == 1 or _width(word[:n], face) <= widest)
            lines += [line] * bool(line) + [word[:cut]]
            line, word = "", word[cut:]
        joined = f"{line} {word}".strip()
        if _width(joined, face) <= widest:
            line = joined
        elif _width(word, face) > widest:
            return []
        else:
            lines.append(line)
            line = word
    return [*lines, line] if line else lines


def _balanced(text: str, face: ImageFont.FreeTypeFont, widest: float, count: int) -> list[str]:
    """The text in `count` lines, the longest as short as possible, instead of full lines and a short last one."""

    def enough(width: int) -> bool:
        return 0 < len(_wrapped(text, face, width)) <= count

    narrowest = bisect.bisect_left(range(int(widest)), True, key=enough)
    return _wrapped(text, face, min(narrowest, widest))


def _placed(blocks: list[list[tuple]], place: tuple[float, float], size: tuple[int, int]) -> list[Line]:
    """Stack the lines as one group, at `place` within the margins."""
    margin, baseline = round(MARGIN * min(size)), 0
    rows: list[tuple] = []  # text, font, baseline, ink
    for block in blocks:
        for number, (text, face) in enumerate(block):
            ink = _ink(text, face)
            if rows:  # enough for accents below descenders, whatever the sizes
                leading = round(face.size * (LEADING if number else BETWEEN))
                baseline += max(leading, rows[-1][3][3] - ink[1] + round(0.1 * face.size) + 1)
            rows.append((text, face, baseline, ink))
    highest = min(baseline + ink[1] for _, _, baseline, ink in rows)
    lowest = max(baseline + ink[3] for _, _, baseline, ink in rows)
    first = margin + round(place[1] * (size[1] - 2 * margin - (lowest - highest))) - highest
    lines = []
    for text, face, baseline, ink in rows:
        left = margin + round(place[0] * (size[0] - 2 * margin - (ink[2] - ink[0]))) - ink[0]
        top = first + baseline
        lines.append(Line(text, face, (left, top), (left + ink[0], top + ink[1], left + ink[2], top + ink[3])))
    return lines


@functools.lru_cache(4_096)  # takes most of the time, and one title is set in many places on many covers
def _ink(text: str, face: ImageFont.FreeTypeFont) -> tuple[int, int, int, int]:
    """The bounding box of a text's ink when its baseline starts at the origin."""
    left, top, right, bottom = face.getbbox(text, anchor="ls")
    return int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))


def _width(text: str, face: ImageFont.FreeTypeFont) -> int:
    left, _, right, _ = _ink(text, face)
    return right - left


def _bounds(lines: list[Line]) -> tuple[int, int, int, int]:
    boxes = np.array([line.box for line in lines])
    return (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())


def _busyness(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    """How busy a part of a picture is: mean difference between neighbours at 64 px."""
    small = image.convert("L").resize((64, 64), Image.Resampling.BOX)
    across, down = 64 / image.width, 64 / image.height
    left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    top, left = min(int(top), 62), min(int(left), 62)  # two rows and columns at least
    part = np.asarray(small, float)[top : int(bottom) + 2, left : int(right) + 2]
    return float(np.abs(np.diff(part, axis=0)).mean() + np.abs(np.diff(part, axis=1)).mean())


def _readable(image: Image.Image, box: tuple[int, int, int, int]) -> tuple[tuple[int, int, int], Image.Image]:
    """A colour for type in `box`, and the picture, shaded there only as far as needed."""
    pad = round(0.02 * min(image.size))
    outer = (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad)  # the margin has room for it
    behind = np.asarray(image.crop(outer))
    palette = (image.resize((32, 32), Image.Resampling.BOX).quantize(6).getpalette() or [])[: 6 * 3]
    own = list(zip(palette[::3], palette[1::3], palette[2::3], strict=True))
    # The most colourful readable one, else white or black, whichever needs less shading.
    readable = [colour for colour in (WHITE, BLACK, *own) if contrast(np.array(colour), behind).min() >= CONTRAST]
    if readable:
        return max(readable, key=lambda colour: max(colour) - min(colour)), image
    shares = {colour: _share(behind, colour, shade) for colour, shade in SHADES.items()}
    colour = min(shares, key=lambda colour: shares[colour] * np.abs(SHADES[colour] - behind).mean())
    return colour, _shaded(image, outer, SHADES[colour], shares[colour])


def _share(behind: np.ndarray, colour: tuple[int, int, int], shade: float) -> float:
    """The smallest opacity of `shade`, in 64ths, that makes `colour` readable on all of `behind`."""

    def readable(step: int) -> bool:
        shaded = np.rint(behind + (shade - behind) * step / 64).astype(np.uint8)
        return contrast(np.array(colour), shaded).min() >= CONTRAST

    return bisect.bisect_left(range(64), True, key=readable) / 64  # more shade never makes it less readable


def _shaded(image: Image.Image, box: tuple[int, int, int, int], shade: float, share: float) -> Image.Image:
    """The picture with the box shaded at opacity `share`, fading out around it."""
    fade = max(1.0, 0.12 * min(image.size))
    x, y = np.arange(image.width)[None], np.arange(image.height)[:, None]
    across = np.maximum(np.maximum(box[0] - x, x - box[2] + 1), 0)
    down = np.maximum(np.maximum(box[1] - y, y - box[3] + 1), 0)
    weight = share * np.clip(1 - np.hypot(across, down) / fade, 0, 1)[:, :, None] ** 1.5
    pixels = np.asarray(image, float)
    return Image.fromarray(np.rint(pixels + (shade - pixels) * weight).astype(np.uint8))
