"""Interpolate: a smooth animation through two to eight pinned covers."""

from dataclasses import dataclass

import gradio as gr

from album_gan.inference.latents import DEFAULT_TRUNCATION, name_of
from album_gan.media.video import write_animation
from album_gan.space.errors import shows_errors
from album_gan.space.job_button import JobButton, waiting
from album_gan.space.service import FILM_FRAMES, FPS, CoverService
from album_gan.space.temp_files import new_folder
from album_gan.space.validation import (
    FORMATS,
    LARGE_FRAME,
    MAX_FRAMES,
    MAX_PINS,
    check_format,
    check_frame_size,
    check_seeds,
    check_several,
    check_truncation,
    whole_number,
)

SPEEDS = {"half": 0.5, "normal": 1.0, "double": 2.0}
FRAMES_PER_UPDATE = 8  # of the progress, when the job can also be cancelled
UNCHANGED = (gr.skip(),) * 4


@dataclass(frozen=True)
class InterpolateTab:
    """The tab's components."""

    seeds: gr.Textbox
    seconds: gr.Slider
    speed: gr.Radio
    format: gr.Radio
    size: gr.Radio
    loop: gr.Checkbox
    make: JobButton
    strip: gr.HTML
    video: gr.Video
    scrub: gr.Slider
    download: gr.DownloadButton


def lay_out(first: list[int], resolution: int) -> InterpolateTab:
    """Create the tab, with the seeds `first` in its field; `resolution` is the model's, in pixels."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            seeds = gr.Textbox(
                ", ".join(map(name_of, first)),
                label=f"Pinned covers, 2 to {MAX_PINS}",
                info="Pin them on the wall, or type names, seeds or any words here, separated by semicolons.",
                lines=3,
                max_length=2000,
                elem_id="pinned",
            )
            longest = MAX_FRAMES // FPS
            seconds = gr.Slider(
                2, longest, longest, step=1, label="Length in seconds, at normal speed", buttons=[], elem_id="length"
            )
            speed = gr.Radio(list(SPEEDS), value="normal", label="Speed")
            format = gr.Radio(FORMATS, value="mp4", label="Download as")
            size = gr.Radio(
                [(f"{resolution} pixels", resolution), (f"{LARGE_FRAME} pixels, for a projector", LARGE_FRAME)],
                value=resolution,
                label="Size",
                visible=resolution < LARGE_FRAME,
                elem_id="film-size",
            )
            loop = gr.Checkbox(True, label="Back to the first cover, for an endless loop")
            make = JobButton("Morph", "morph")
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
    return InterpolateTab(seeds, seconds, speed, format, size, loop, make, strip, video, scrub, download)


def wire(tab: InterpolateTab, service: CoverService, settings: list) -> None:
    """`settings` are Generate's truncation and label."""
    inputs = [tab.seeds, tab.seconds, tab.speed, tab.loop, tab.format, tab.size, *settings]
    outputs = [tab.strip, tab.video, tab.scrub, tab.download]
    tab.make.wire(Handlers(service).morph, inputs, outputs, tab.video, also=(tab.seeds.submit,))
    # Scrubbing happens in the browser, which has the whole video.
    tab.scrub.input(None, tab.scrub, None, js="(frame) => albumGan.seek(frame)", api_visibility="private")


class Handlers:
    """Event handlers: values of components in, values of components out."""

    def __init__(self, service: CoverService):
        self.service = service

    @shows_errors
    def morph(
        self,
        text: str,
        seconds: float,
        speed: str,
        loop: bool,
        format: str,
        size: int,
        truncation: float,
        label: str,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ):
        """The animation as a seekable mp4 for the browser, and in the download format."""
        seeds, count, fps = check_loop(text, seconds, speed)
        check_format(format)
        frame_size = check_frame_size(size, self.service.pipe.generator.config.resolution)
        client = self.service.client(request)
        with self.service.jobs.join(client, "film", is_large(count, frame_size)) as job:
            for _ in waiting(job, progress):
                yield UNCHANGED
            frames = []
            by, label = check_truncation(truncation), label or None
            for frame in self.service.frames(seeds, count, bool(loop), by, label, client.lane, frame_size):
                frames.append(frame)
                if len(frames) % FRAMES_PER_UPDATE == 0:
                    progress(len(frames) / count, desc=f"Frame {len(frames)} of {count}")
                    yield UNCHANGED
            shown = new_folder() / "loop.mp4"
            write_animation(frames, shown, fps)
            file = shown.with_suffix(f".{format}")
            if file != shown:
                progress(1, desc=f"Writing {format}")
                yield UNCHANGED
                write_animation(frames, file, fps)
        yield (
            gr.HTML(visible=False),
            gr.Video(str(shown), visible=True),
            gr.Slider(value=1, maximum=count, visible=True),
            gr.DownloadButton(f"Download {format}", value=str(file), visible=True),
        )


def check_loop(text: str, seconds: float, speed: str) -> tuple[list[int], int, int]:
    """Parse the inputs: seeds, number of frames, and frames per second. Raises ValueError."""
    seeds = [seed for seed, _ in check_several(text)] if str(text or "").strip() else []
    if len(seeds) < 2:
        raise ValueError("Pin or type two covers.")
    if len(seeds) > MAX_PINS:
        raise ValueError(f"a loop must have at most {MAX_PINS} covers, got {len(seeds)}; remove some")
    longest = MAX_FRAMES // FPS
    count = whole_number(seconds, "length", 1, longest, f"{longest} seconds is the longest") * FPS
    if speed not in SPEEDS:
        raise ValueError(f"speed must be one of {', '.join(SPEEDS)}, got {str(speed)[:20]!r}")
    return seeds, count, round(FPS * SPEEDS[speed])


def is_large(count: int, frame_size: int | None) -> bool:
    """Whether a film of `count` frames, enlarged to `frame_size` pixels if given, is a large job."""
    return count > FILM_FRAMES or frame_size is not None


def add_api(service: CoverService) -> None:
    """The endpoint /interpolate."""

    @shows_errors
    def interpolate(
        seeds: str,
        frames: float = 60,
        loop: bool = True,
        format: str = "mp4",
        size: float | None = None,
        request: gr.Request = None,  # gradio's
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        """Make a smooth animation from album cover to album cover.

        Args:
            seeds: two or more seeds as text, such as "1,2,7-9"; numbers from 0 to 99999999 or covers' names.
            frames: from 2 to 240, at 30 per second.
            loop: whether it returns to the first cover.
            format: "mp4", "gif" or "webp".
            size: of the frames in pixels, up to 512, enlarged by the model's upscaler; empty for the model's own size.

        Returns:
            The animation's file.
        """
        numbers = [seed for seed, _ in check_seeds(seeds)]
        count = whole_number(frames, "frames", 2, MAX_FRAMES, "90 is three seconds")
        check_format(format)
        frame_size = check_frame_size(size, service.pipe.generator.config.resolution)
        client = service.client(request)
        with service.jobs.join(client, "film", is_large(count, frame_size)) as job:
            job.wait()
            drawn = service.frames(numbers, count, bool(loop), DEFAULT_TRUNCATION, None, client.lane, frame_size)
            file = new_folder() / f"loop.{format}"
            write_animation(progress.tqdm(drawn, total=count, desc="frames"), file, FPS)
        return str(file)

    with gr.Row(visible=False):
        inputs = [
            gr.Textbox(label="seeds"),
            gr.Number(60, label="frames"),
            gr.Checkbox(True, label="loop"),
            gr.Textbox("mp4", label="format"),
            gr.Number(None, label="size"),
        ]
        gr.Button().click(
            interpolate,
            inputs,
            gr.File(label="animation"),
            api_name="interpolate",
            concurrency_limit=None,  # `JobQueue` has the limits
        )
