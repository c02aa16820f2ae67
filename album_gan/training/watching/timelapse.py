"""A video of a training run: the thumbnails of its history, each fading into the next."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from ...inference.model_store import history_sheets

HEIGHT = 768  # pixels of the pictures; the caption comes below
CAPTION = 48
LAST = 2.0  # seconds that the last frame is held


def moments_of(folder: Path) -> list[Path]:
    """The thumbnails in a run's or model's folder, first to last. Raises ValueError for fewer than two."""
    found = history_sheets(folder)
    if len(found) < 2:
        raise ValueError(f"{folder} must have a history of 2 or more snapshots, got {len(found)}; train for longer")
    return found


def frames_of(moments: list[Path], fps: int, seconds: float) -> Iterator[Image.Image]:
    """Frames of the video: each snapshot is held for half of `seconds`, and fades into the next in the other half."""
    still = fade = max(1, round(fps * seconds / 2))
    before: Image.Image | None = None
    for path in moments:
        picture = _with_caption(Image.open(path), int(path.stem))
        if before is not None:
            for number in range(fade):
                yield Image.blend(before, picture, (number + 1) / (fade + 1))
        yield from [picture] * still
        before = picture
    yield from [picture] * round(fps * LAST)


def _with_caption(picture: Image.Image, images: int) -> Image.Image:
    width = round(picture.width * HEIGHT / picture.height)
    frame = Image.new("RGB", (width, HEIGHT + CAPTION), (20, 22, 26))
    frame.paste(picture.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS))
    text = f"{images:,} covers seen"
    ImageDraw.Draw(frame).text((16, HEIGHT + 10), text, (232, 230, 225), font_size=22)
    return frame
