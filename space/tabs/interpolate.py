"""Interpolate: a smooth loop through two to eight pinned covers."""

from dataclasses import dataclass

import gradio as gr

from album_gan.inference.latents import DEFAULT_TRUNCATION, name_of
from album_gan.media.video import write_animation
from album_gan.space.priority_lock import Lane
from album_gan.space.service import FPS, Studio, scratch
from album_gan.space.session import HeavyButton
from album_gan.space.validation import (
    FORMATS,
    MAX_FRAMES,
    MAX_PINS,
    check_seeds,
    check_truncation,
    seeds_of_anything,
    told,
    whole_number,
)

SPEEDS = {"half": 0.5, "normal": 1.0, "double": 2.0}
STEP = 24  # frames between two looks at whether the job was cancelled


@dataclass(frozen=True)
class InterpolateTab:
    seeds: gr.Textbox
    make: HeavyButton


def build(studio: Studio, first: list[int], look: list, visitor: gr.Textbox) -> InterpolateTab:
    """Lay out the tab, with the seeds `first` in its field, and wire it. `look` is Generate's truncation and label."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            seeds = gr.Textbox(
                ", ".join(map(name_of, first)),
                label=f"Pinned covers, two to {MAX_PINS}",
                info="Pin them on the wall, or write names, seeds or any words here, with commas between.",
                lines=3,
                max_length=2000,
                elem_id="way",
            )
            longest = MAX_FRAMES // FPS
            seconds = gr.Slider(2, longest, longest, step=1, label="Length in seconds", buttons=[], elem_id="length")
            speed = gr.Radio(list(SPEEDS), value="normal", label="Speed")
            kind = gr.Radio(FORMATS, value="mp4", label="Download as")
            loop = gr.Checkbox(True, label="Back to the first cover, for an endless loop")
            make = HeavyButton("Morph", "morph")
        with gr.Column(scale=2, min_width=280):
            strip = gr.HTML(
                '<div class="strip"></div>',
                js_on_load="albumGan.showStrip()",
                apply_default_css=False,
                elem_id="strip",
            )
            video = gr.Video(
                label="The loop",
                show_label=False,
                autoplay=True,
                loop=True,
                buttons=[],
                interactive=False,
                visible=False,
                elem_id="loop",
            )
            scrub = gr.Slider(
                1, 90, 1, step=1, label="Frame", visible=False, elem_id="scrub", buttons=[], interactive=True
            )
            download = gr.DownloadButton("Download", visible=False, elem_id="download-loop")

    @told
    def morph(text, seconds, speed, loop, kind, truncation, label, lane: Lane, progress):
        numbers = seeds_of_anything(text)
        if len(numbers) > MAX_PINS:
            raise ValueError(f"a loop must have at most {MAX_PINS} covers, got {len(numbers)}; take some out")
        count = whole_number(seconds, "length", 1, MAX_FRAMES // FPS, "8 seconds is the longest") * FPS
        check_format(kind)
        if speed not in SPEEDS:
            raise ValueError(f"speed must be one of {', '.join(SPEEDS)}, got {str(speed)[:20]!r}")
        fps = round(FPS * SPEEDS[speed])
        drawn, hold = [], (gr.skip(),) * 4
        for frame in studio.frames(numbers, count, bool(loop), check_truncation(truncation), label or None, lane):
            drawn.append(frame)
            if len(drawn) % STEP == 0:
                progress(len(drawn) / count, desc=f"Frame {len(drawn)} of {count}")
                yield hold
        shown = scratch() / "loop.mp4"  # browsers can seek in a video only, so it is shown whatever is asked for
        write_animation(drawn, shown, fps)
        wanted = shown.with_suffix(f".{kind}")
        if wanted != shown:
            progress(1, desc=f"Writing {kind}")
            yield hold
            write_animation(drawn, wanted, fps)
        yield (
            gr.HTML(visible=False),
            gr.Video(str(shown), visible=True),
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
        numbers = check_seeds(seeds)
        count = whole_number(frames, "frames", 2, MAX_FRAMES, "90 is three seconds")
        check_format(format)
        way = studio.frames(numbers, count, bool(loop), DEFAULT_TRUNCATION)
        file = scratch() / f"loop.{format}"
        write_animation(progress.tqdm(way, total=count, desc="frames"), file, FPS)
        return str(file)

    asked = [seeds, seconds, speed, loop, kind, *look, visitor]
    make.wire(morph, studio, asked, [strip, video, scrub, download], video, also=(seeds.submit,))
    # Frames are scrubbed in the browser: the video is there already.
    script = f"(frame, speed) => albumGan.seek(frame, {FPS} * {{half: 0.5, normal: 1, double: 2}}[speed])"
    scrub.input(None, [scrub, speed], None, js=script, api_visibility="private")
    with gr.Row(visible=False):
        asked = [
            gr.Textbox(label="seeds"),
            gr.Number(60, label="frames"),
            gr.Checkbox(True, label="loop"),
            gr.Textbox("mp4", label="format"),
        ]
        gr.Button().click(
            interpolate,
            asked,
            gr.File(label="animation"),
            api_name="interpolate",
            concurrency_id="heavy-audience",
            concurrency_limit=2,
        )
    return InterpolateTab(seeds, make)


def check_format(kind: str) -> None:
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {str(kind)[:20]!r}")
