"""Frames -> a video file: .mp4 (H.264), or .gif or .webp, which loop forever."""

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from PIL import Image

from ..inference.atomic import atomic_path

ENDINGS = (".mp4", ".gif", ".webp")
MAX_FPS = 60
# Of an mp4, in the numbers of ITU-T H.273: sRGB, converted by FFmpeg with the matrix of BT.601 to the range 16-235.
# Without them, Chromium assumes BT.709 from a height of 720 px on, and colours are wrong by up to 21 of 255.
COLOURS = {"colorspace": 5, "color_range": 1, "color_primaries": 1, "color_trc": 13}


def check_ending(path: str | Path) -> str:
    """The ending of `path` in lower case; ValueError unless `write_animation` can write such a file.

    Raises ImportError, with a remedy, for an mp4 without the package av.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"the video's name must end in .mp4, .gif or .webp, got {str(path)!r}; try loop.mp4")
    if ending == ".mp4" and not can_write_mp4():
        raise ImportError("mp4 needs av, which is not installed; run: pip install 'album-gan[video]', or write a .webp")
    return ending


def can_write_mp4() -> bool:
    """Whether the package av is there: GIF and WebP need Pillow alone."""
    return find_spec("av") is not None


def check_fps(fps: int) -> None:
    """Raise ValueError unless `fps`, frames per second, is from 1 to 60."""
    if not 1 <= fps <= MAX_FPS:
        raise ValueError(f"fps must be from 1 to {MAX_FPS}, got {fps}; 30 is usual")


def write_animation(frames: Iterable[Image.Image], path: str | Path, fps: int) -> None:
    """Write frames of one size atomically; they are consumed one by one and may come from a generator.

    `fps` is 1 to 60 frames per second. GIF counts in hundredths of a second and shows at most 50 frames per second:
    above that some are dropped, so that the film keeps its length. MP4 needs even sizes and drops an odd last row or
    column. Raises ValueError for an unknown ending, fps out of range or no frames, before the first frame is taken,
    and OSError if the file cannot be written.
    """
    path, ending = Path(path), check_ending(path)
    check_fps(fps)
    write = {".mp4": _write_mp4, ".gif": _write_gif, ".webp": _write_webp}[ending]
    with atomic_path(path) as temporary:
        write(frames, temporary, fps)


def _timed(frames: Iterable[Image.Image], fps: int, ticks: int, shortest: int = 1) -> Iterator[tuple[Image.Image, int]]:
    """Frames, and for how many milliseconds each is shown, in whole ticks of which a second has `ticks`.

    Each frame's rounding error is carried over to the next, so the total is exact to a tick. Frames that would be shown
    for less than `shortest` ticks are dropped. Raises ValueError if there are no frames.
    """
    shown, start, number = None, 0, 0
    for number, frame in enumerate(frames, start=1):
        now = round((number - 1) * ticks / fps)
        if shown is None:
            shown = frame
        elif now - start >= shortest:
            yield shown, (now - start) * 1000 // ticks
            shown, start = frame, now
    if shown is None:
        raise ValueError("a video must have at least one frame, got none; pass 2 or more")
    yield shown, max(shortest, round(number * ticks / fps) - start) * 1000 // ticks


def _write_gif(frames: Iterable[Image.Image], path: Path, fps: int) -> None:
    def with_duration() -> Iterator[Image.Image]:
        # Players slow down what claims to be faster than 2 hundredths of a second per frame.
        for frame, duration in _timed(frames, fps, ticks=100, shortest=2):
            copy = frame.copy()
            copy.info["duration"] = duration  # where Pillow looks for it, frame by frame
            yield copy

    timed = with_duration()
    next(timed).save(path, format="GIF", save_all=True, append_images=timed, loop=0)


def _write_webp(frames: Iterable[Image.Image], path: Path, fps: int) -> None:
    pictures, durations = zip(*_timed(frames, fps, ticks=1000), strict=True)
    options = {"duration": list(durations), "loop": 0, "quality": 90}
    pictures[0].save(path, format="WEBP", save_all=True, append_images=pictures[1:], **options)


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: int) -> None:
    import av  # 0.2 s that GIF and WebP need not pay

    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("a video must have at least one frame, got none; pass 2 or more")
    width, height = first.width // 2 * 2, first.height // 2 * 2
    # +faststart puts the index first: a page can play the file before all of it has arrived.
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "17", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for name, code in COLOURS.items():
            setattr(stream.codec_context, name, code)
        for frame in chain([first], frames):
            picture = frame.convert("RGB").crop((0, 0, width, height))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
