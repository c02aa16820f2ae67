"""Interpolate: a smooth loop through two or more covers."""

from dataclasses import dataclass

import gradio as gr

from album_gan.animation import write_animation
from album_gan.latents import DEFAULT_TRUNCATION, name_of
from album_gan.space.studio import (
    MAX_FRAMES,
    Studio,
    check_seeds,
    check_truncation,
    scratch,
    seeds_of_anything,
    told,
)

FPS = 30
FORMATS = ("mp4", "gif", "webp")


@dataclass(frozen=True)
class InterpolateTab:
    seeds: gr.Textbox


def build(studio: Studio, first: list[int], truncation: gr.Slider) -> InterpolateTab:
    """Lay out the tab, with the seeds `first` in its field, and wire it. `truncation` is Generate's."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            seeds = gr.Textbox(
                ", ".join(map(name_of, first)),
                label="Covers, two or more, separated by commas",
                lines=3,
                max_length=2000,
                elem_id="way",
            )
            frames = gr.Slider(24, MAX_FRAMES, 90, step=6, label=f"Frames ({FPS} a second)", buttons=[])
            kind = gr.Radio(FORMATS, value="mp4", label="Download as")
            loop = gr.Checkbox(True, label="Back to the first cover, for an endless loop")
            make = gr.Button("Morph", variant="primary", elem_id="morph")
        with gr.Column(scale=2, min_width=280):
            video = gr.Video(
                label="The loop",
                show_label=False,
                autoplay=True,
                loop=True,
                buttons=[],
                interactive=False,
                elem_id="loop",
            )
            scrub = gr.Slider(
                1, 90, 1, step=1, label="Frame", visible=False, elem_id="scrub", buttons=[], interactive=True
            )
            download = gr.DownloadButton("Download", visible=False, elem_id="download-loop")

    def check(frames: float, kind: str) -> int:
        if not 2 <= frames <= MAX_FRAMES or frames != int(frames):
            raise ValueError(f"frames must be from 2 to {MAX_FRAMES}, got {frames:g}; 90 is three seconds")
        if kind not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {str(kind)[:20]!r}")
        return int(frames)

    def draw(seeds: list[int], frames: int, loop: bool, truncation: float, progress: gr.Progress):
        way = studio.frames(seeds, frames, loop, truncation)
        for number, frame in enumerate(way, 1):
            progress(number / frames, desc=f"Frame {number} of {frames}")
            yield frame

    @told
    def morph(text: str, frames: float, loop: bool, kind: str, truncation: float, progress=gr.Progress()):  # noqa: B008
        count = check(frames, kind)
        drawn = list(draw(seeds_of_anything(text), count, bool(loop), check_truncation(truncation), progress))
        shown = scratch() / "loop.mp4"  # browsers can seek in a video only, so it is shown whatever is asked for
        write_animation(drawn, shown, FPS)
        wanted = shown.with_suffix(f".{kind}")
        if wanted != shown:
            write_animation(drawn, wanted, FPS)
        return (
            str(shown),
            gr.Slider(value=1, maximum=count, visible=True),
            gr.DownloadButton(f"Download {kind}", value=str(wanted), visible=True),
        )

    @told
    def interpolate(
        seeds: str,
        frames: float = 60,
        loop: bool = True,
        format: str = "mp4",
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        """Make a smooth animation from album cover to album cover.

        Args:
            seeds: two or more seeds as text, such as "1,2,7-9"; numbers from 0 to 99999999 or covers' names.
            frames: from 2 to 240; 30 are shown in a second.
            loop: whether it leads back to the first cover.
            format: "mp4", "gif" or "webp".

        Returns:
            The animation's file.
        """
        count = check(frames, format)
        drawn = draw(check_seeds(seeds), count, bool(loop), DEFAULT_TRUNCATION, progress)
        file = scratch() / f"loop.{format}"
        write_animation(drawn, file, FPS)
        return str(file)

    gr.on(
        [make.click, seeds.submit],
        morph,
        [seeds, frames, loop, kind, truncation],
        [video, scrub, download],
        api_visibility="private",
        concurrency_id="draw",
        show_progress_on=video,
    )
    # Frames are scrubbed in the browser: the video is there already.
    scrub.input(None, scrub, None, js=f"(frame) => albumGan.seek(frame, {FPS})", api_visibility="private")
    with gr.Row(visible=False):
        asked = [
            gr.Textbox(label="seeds"),
            gr.Number(60, label="frames"),
            gr.Checkbox(True, label="loop"),
            gr.Textbox("mp4", label="format"),
        ]
        gr.Button().click(interpolate, asked, gr.File(label="animation"), api_name="interpolate", concurrency_id="draw")
    return InterpolateTab(seeds)
