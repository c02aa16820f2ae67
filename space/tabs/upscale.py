"""Upscale: enlarge a cover or an uploaded picture, compare before and after, and set title and artist in real type."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from PIL import Image

from album_gan.editing.typography import LAYOUTS, LONGEST_TEXT, check_sides, check_type, compose
from album_gan.inference.latents import name_of
from album_gan.inference.pixels import on_white
from album_gan.inference.upscaling import RIGHTS, check_upscale, enlarged_size
from album_gan.media.image_files import (
    STORE_SIZE,
    check_store,
    read_picture,
    read_settings,
    save_for_store,
    save_print,
)
from album_gan.space.drawing_order import Lane
from album_gan.space.errors import shows_errors
from album_gan.space.job_button import JobButton, waiting
from album_gan.space.service import CoverService
from album_gan.space.tabs.generate import check_text
from album_gan.space.temp_files import new_folder
from album_gan.space.validation import MAX_SIDE, Cover, check_seed, check_truncation, whole_number

MAX_SIZE = 2048  # pixels of the result, except for stores
MAX_SMALL_SIZE = 1024  # pixels; larger results are large jobs, which take seconds
SIZES = {"512": 512, "1024": 1024, "2048": 2048}
STORE = "JPEG for stores, 3000"
PROMISE = "Your picture goes only to the computer running this page and is deleted within the hour."
ENGINES = {"bundled": "This model's own network", "lanczos": "Plain resizing (Lanczos)"}
UNCHANGED = (gr.skip(),) * 5


@dataclass(frozen=True)
class UpscaleTab:
    """The tab's components."""

    name: gr.Textbox
    upload: gr.UploadButton
    picture: gr.Image
    named: gr.Textbox
    size: gr.Radio
    title: gr.Textbox
    artist: gr.Textbox
    layout: gr.Radio
    engine: gr.Radio
    make: JobButton
    compare: gr.ImageSlider
    rights: gr.HTML
    download: gr.DownloadButton


def lay_out(service: CoverService, first: int) -> UpscaleTab:
    """Create the tab, with the name of seed `first` in its field."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            name = gr.Textbox(
                name_of(first), label="A cover's name or seed, then Enter", max_length=200, elem_id="which"
            )
            upload = gr.UploadButton("or upload a picture of your own", file_types=["image"], size="md", elem_id="own")
            gr.HTML(PROMISE, elem_classes="fine", apply_default_css=False)
            picture = gr.Image(
                label="The picture to enlarge",
                show_label=False,
                type="filepath",
                format="png",
                image_mode=None,
                interactive=False,
                buttons=[],
                height=160,
                elem_id="picture",
            )
            # What the field said when the picture came. A gr.State would keep a connection open for every visitor.
            named = gr.Textbox("", visible=False, label="named")
            size = gr.Radio([*SIZES, STORE], value="1024", label="Longer side in pixels", elem_id="size")
            with gr.Accordion("Title, artist, engine", open=False, elem_id="sleeve"):
                title = gr.Textbox(label="Title", max_length=LONGEST_TEXT, elem_id="sleeve-title")
                artist = gr.Textbox(label="Artist", max_length=LONGEST_TEXT, elem_id="sleeve-artist")
                layout = gr.Radio(list(LAYOUTS), value="headline", label="Layout")
                engines = [(ENGINES[engine], engine) for engine in service.engines]
                engine = gr.Radio(engines, value=service.engines[0], label="Enlarged by", elem_id="engine")
            make = JobButton("Upscale", "enlarge")
        with gr.Column(scale=2, min_width=280):
            compare = gr.ImageSlider(
                label="Before and after",
                show_label=False,
                type="filepath",
                format="png",
                interactive=False,
                buttons=[],
                max_height=720,
                visible=False,
                elem_id="compare",
            )
            rights = gr.HTML(RIGHTS, visible=False, elem_classes="fine", elem_id="rights", apply_default_css=False)
            download = gr.DownloadButton("Download", visible=False, elem_id="download-large")
    return UpscaleTab(
        name, upload, picture, named, size, title, artist, layout, engine, make, compare, rights, download
    )  # fmt: skip


def wire(tab: UpscaleTab, service: CoverService, settings: list) -> None:
    """`settings` are Generate's truncation and label."""
    handlers, options = Handlers(service), {"api_visibility": "private", "concurrency_limit": None}
    shown = [tab.picture, tab.named]
    tab.name.submit(handlers.choose_cover, [tab.name, *settings], shown, **options)
    tab.upload.upload(handlers.check_upload, [tab.upload, tab.name], shown, **options)
    tab.picture.change(None, js="() => albumGan.nameButtons()", api_visibility="private")
    inputs = [*shown, tab.name, *settings, tab.size, tab.engine, tab.title, tab.artist, tab.layout]
    tab.make.wire(handlers.enlarge, inputs, [*shown, tab.compare, tab.rights, tab.download], tab.compare)


class Handlers:
    """Event handlers: values of components in, values of components out."""

    def __init__(self, service: CoverService):
        self.service = service

    @shows_errors
    def choose_cover(self, text: str, truncation: float, label: str, request: gr.Request) -> tuple[str, str]:
        """The cover's file for a name, a seed or any words; and that text."""
        self.service.pipe.check_label(label)
        cover = self._cover(text, truncation, label)
        return self.service.save([cover], self.service.client(request))[0], text

    def _cover(self, text: str, truncation: float, label: str) -> Cover:
        seed, typed = check_seed(check_text(text))
        return Cover(seed, check_truncation(truncation), label or None, typed)

    @shows_errors
    def fill(self, picture: str | None, text: str, truncation: float, label: str, request: gr.Request):
        """The cover named in the field, if the tab shows no picture yet."""
        if picture or not text.strip():
            return gr.skip(), gr.skip()
        return self.choose_cover(text, truncation, label, request)

    @shows_errors
    def check_upload(self, file: str, text: str, request: gr.Request) -> tuple[str, str]:
        """The upload, checked to be a picture: gr.Image itself would only say "Error"; and the field's text."""
        with self.service.jobs.join(self.service.client(request), "upload") as job:
            job.wait()
            read_picture(file, MAX_SIDE, "the picture")
        return file, text

    @shows_errors
    def enlarge(
        self,
        image: str | None,
        named: str,
        text: str,
        truncation: float,
        label: str,
        size: str,
        engine: str,
        title: str,
        artist: str,
        layout: str,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ):
        """Enlarge the picture, or the cover named in the field since it came, and set title and artist on it."""
        if size not in (*SIZES, STORE):
            raise ValueError(f"size must be one of {', '.join(SIZES)} or {STORE!r}, got {str(size)[:20]!r}")
        if text.strip() and text != named:
            image, named = self.choose_cover(text, truncation, label, request)
        is_store = size == STORE
        order = Order(image, STORE_SIZE if is_store else SIZES[size], engine, (title, artist, layout), is_store)
        order.check()
        client = self.service.client(request)
        with self.service.jobs.join(client, "enlarge", order.is_large) as job:
            for _ in waiting(job, progress):
                yield UNCHANGED
            progress(0.1, desc="Enlarging")
            yield UNCHANGED
            made = order.make(self.service, client.lane)
        file = str(made.file)
        yield (
            image,
            named,
            gr.ImageSlider((str(made.before), file), visible=True),
            gr.HTML(visible=is_store),
            gr.DownloadButton(f"Download {'JPEG' if is_store else 'PNG'}", value=file, visible=True),
        )


class Enlarged(NamedTuple):
    """The enlarged picture's file, and the file that it is compared with: the original, with the same words on it."""

    file: Path
    before: Path


@dataclass(frozen=True)
class Order:
    """A requested enlargement: a file, the longer side in pixels, and (title, artist, layout)."""

    image: str | None
    size: int
    engine: str | None
    words: tuple[str, str, str]
    is_store: bool = False

    @property
    def is_large(self) -> bool:
        """Whether smaller jobs overtake it in the queue."""
        return self.size > MAX_SMALL_SIZE

    def check(self) -> None:
        """Raise ValueError if `make` would fail. Reads only the picture's header."""
        if not self.image:
            raise ValueError("image is missing: choose a cover, or upload a picture")
        check_type(*self.words)
        try:
            header = Image.open(self.image)
        except Exception:
            return  # `read_picture` reports it
        with header:
            if self.is_store:
                check_store(header.size)
            check_upscale(header, self.size)
            if self.words[0] or self.words[1]:
                check_sides(enlarged_size(header.size, self.size))

    def make(self, service: CoverService, lane: Lane) -> Enlarged:
        """Enlarge the picture. Raises ValueError for a picture that cannot be read, OSError."""
        source = read_picture(self.image, MAX_SIDE, "the picture")
        large, before = service.enlarge(source, self.size, self.engine, lane), Path(self.image)
        stem = "".join(letter for letter in before.stem if letter.isalnum() or letter in "-_ ")[:60] or "picture"
        folder = new_folder()
        if self.words[0] or self.words[1]:
            typeset = compose(large, *self.words)
            large = typeset.drawn()
            # The same words in the same place, so that the slider compares only the pictures.
            pixels = on_white(source).resize(large.size, Image.Resampling.NEAREST)
            small = dataclasses.replace(typeset, background=pixels).drawn()
            small.thumbnail((MAX_SMALL_SIZE, MAX_SMALL_SIZE))
            before = folder / f"{stem}-before.png"
            small.save(before)
        file = folder / f"{stem}-{self.size}.{'jpg' if self.is_store else 'png'}"
        (save_for_store if self.is_store else save_print)(large, file, read_settings(source))
        return Enlarged(file, before)


def add_api(service: CoverService) -> None:
    """The endpoint /upscale."""

    @shows_errors
    def upscale(
        image: str,
        size: float,
        engine: str | None = None,
        title: str = "",
        artist: str = "",
        layout: str = "headline",
        request: gr.Request = None,  # gradio's
    ) -> str:
        """Enlarge a picture, keeping its proportions, and set title and artist on it in real type.

        Args:
            image: a picture file, for example a cover from /generate.
            size: the new longer side, from the picture's own to 2048 pixels.
            engine: "bundled", the model's own network if it has one, or "lanczos"; empty for the best available.
            title: words to set on the picture; empty for none.
            artist: more words, smaller.
            layout: "headline", "poster", "corner" or "modern".

        Returns:
            The enlarged picture as a PNG file.
        """
        pixels = whole_number(size, "size", 1, MAX_SIZE, "try 1024")
        order = Order(image, pixels, engine, (title or "", artist or "", layout))
        order.check()
        client = service.client(request)
        with service.jobs.join(client, "enlarge", order.is_large) as job:
            job.wait()
            return str(order.make(service, client.lane).file)

    with gr.Row(visible=False):
        inputs = [
            gr.File(label="image"),
            gr.Number(1024, label="size"),
            gr.Textbox(None, label="engine"),
            gr.Textbox("", label="title"),
            gr.Textbox("", label="artist"),
            gr.Textbox("headline", label="layout"),
        ]
        gr.Button().click(
            upscale,
            inputs,
            gr.File(label="picture"),
            api_name="upscale",
            concurrency_limit=None,  # `JobQueue` has the limits
        )
