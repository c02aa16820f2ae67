"""Frames -> a video file: .mp4 (H.264), .gif or .webp, the latter two looping for ever."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from PIL import Image

from ..inference.atomic import atomic_path

ENDINGS = (".mp4", ".gif", ".webp")
MAX_FPS = 60


def check_ending(path: str | Path) -> str:
    """The ending of `path` in lower case; ValueError when it is no video that `write_animation` can write."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"the video's name must end in .mp4, .gif or .webp, got {str(path)!r}; try loop.mp4")
    return ending


def check_fps(fps: int) -> None:
    """ValueError unless `fps`, frames a second, is from 1 to 60."""
    if not 1 <= fps <= MAX_FPS:
        raise ValueError(f"fps must be from 1 to {MAX_FPS}, got {fps}; 30 is smooth")


def write_animation(frames: Iterable[Image.Image], path: str | Path, fps: int) -> None:
    """Write frames of one size, whole or not at all; they are taken one by one and may come from a generator.

    fps is 1 to 60 frames a second; GIF knows hundredths of a second only and shows at most 50. MP4 needs even
    sizes and drops an odd last row or column. Raises ValueError for an unknown ending, fps out of range or no
    frames, before the first frame is taken, and OSError where it cannot write.
    """
    path, ending = Path(path), check_ending(path)
    check_fps(fps)
    write = _write_mp4 if ending == ".mp4" else _write_with_pillow
    with atomic_path(path) as temporary:
        write(frames, temporary, fps, ending)


def _first(frames: Iterable[Image.Image]) -> tuple[Image.Image, Iterable[Image.Image]]:
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("a video must have at least one frame, got none; ask for 2 or more")
    return first, frames


def _write_with_pillow(frames: Iterable[Image.Image], path: Path, fps: int, ending: str) -> None:
    first, rest = _first(frames)
    # GIF players slow down what claims to be faster than 2 hundredths of a second a frame.
    duration = max(20, round(100 / fps) * 10) if ending == ".gif" else round(1000 / fps)
    options = {"duration": duration, "loop": 0, "quality": 90}  # GIF knows no quality and ignores it
    first.save(path, format=ending[1:].upper(), save_all=True, append_images=rest, **options)


def _write_mp4(frames: Iterable[Image.Image], path: Path, fps: int, _: str) -> None:
    import av  # 0.2 s that GIF and WebP need not pay

    first, rest = _first(frames)
    width, height = first.width // 2 * 2, first.height // 2 * 2
    # +faststart puts the index first: a page can play before it has everything.
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in chain([first], rest):
            picture = frame.convert("RGB").crop((0, 0, width, height))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
