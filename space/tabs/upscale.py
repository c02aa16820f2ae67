"""Upscale: a cover or an own picture, enlarged, before and after, with words on it in real type."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from album_gan.editing.typography import LAYOUTS, LONGEST_TEXT, check_type, set_type
from album_gan.inference.latents import name_of, seed_for_any_text
from album_gan.inference.upscaling import RIGHTS, check_upscale
from album_gan.media.image_files import STORE_SIZE, read_picture, read_settings, save_for_store, save_print
from album_gan.space.priority_lock import Lane
from album_gan.space.service import Studio, scratch
from album_gan.space.session import HeavyButton
from album_gan.space.validation import Cover, check_truncation, told, whole_number

MAX_SIZE = 2048  # pixels, but for shops
SIZES = {"512": 512, "1024": 1024, "2048": 2048}
STORE = "JPEG for shops, 3000"
PROMISE = "Your picture goes only to the computer running this page and is deleted within the hour."
ENGINES = {"bundled": "This model's own network", "lanczos": "Plain resizing (Lanczos)"}


@dataclass(frozen=True)
class UpscaleTab:
    name: gr.Textbox
    picture: gr.Image
    make: HeavyButton


def build(studio: Studio, first: int, look: list, visitor: gr.Textbox) -> UpscaleTab:
    """Lay out the tab, with the name of seed `first` in it, and wire it. `look` is Generate's truncation and label."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            name = gr.Textbox(
                name_of(first), label="A cover's name or seed, then Enter", max_length=200, elem_id="which"
            )
            own = gr.UploadButton("or a picture of your own", file_types=["image"], size="md", elem_id="own")
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
            size = gr.Radio([*SIZES, STORE], value="1024", label="Longer side in pixels", elem_id="size")
            with gr.Accordion("Title, artist, engine", open=False, elem_id="sleeve"):
                title = gr.Textbox(label="Title", max_length=LONGEST_TEXT, elem_id="sleeve-title")
                artist = gr.Textbox(label="Artist", max_length=LONGEST_TEXT, elem_id="sleeve-artist")
                layout = gr.Radio(list(LAYOUTS), value="headline", label="Layout")
                engines = [(ENGINES[engine], engine) for engine in studio.engines]
                engine = gr.Radio(engines, value=studio.engines[0], label="Enlarged by", elem_id="engine")
            make = HeavyButton("Upscale", "enlarge")
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

    @told
    def choose(text: str, truncation: float, label: str) -> str:
        if not text.strip():
            raise ValueError("the field is empty; type a seed, a name, or anything at all")
        studio.pipe.check_label(label)
        seed = seed_for_any_text(text)[0]
        return studio.save([Cover(seed, check_truncation(truncation), label or None)])[0]

    @told
    def check(file: str) -> str:
        """The upload, once it is known to be a picture: gr.Image itself would only say "Error"."""
        read_picture(file)
        return file

    def enlarged(image: str, size: int, engine: str | None, words: tuple, lane: Lane, store: bool = False) -> Path:
        """The file of an enlarged picture. Raises ValueError before anything is drawn."""
        if not image:
            raise ValueError("image is missing; choose a cover or upload a picture")
        check_type(*words)
        source = read_picture(image)
        settings = read_settings(source)
        check_upscale(source, size)
        if store and source.width != source.height:
            raise ValueError(f"covers for shops must be square, got {source.width}x{source.height}; crop it")
        large = set_words(studio.enlarge(source, size, engine, lane), words)
        stem = "".join(letter for letter in Path(image).stem if letter.isalnum() or letter in "-_ ")[:60] or "picture"
        file = scratch() / f"{stem}-{size}.{'jpg' if store else 'png'}"
        (save_for_store if store else save_print)(large, file, settings)
        return file

    @told
    def upscale(
        image: str,
        size: float,
        engine: str | None = None,
        title: str = "",
        artist: str = "",
        layout: str = "headline",
    ) -> str:
        """Enlarge a picture, keeping its proportions, and set title and artist on it in real type.

        Args:
            image: a picture file, for example a cover from /generate.
            size: the new longer side, from the picture's own to 2048 pixels.
            engine: "bundled", the model's own network where it has one, or "lanczos"; empty for the best there is.
            title: words to set on the picture; empty for none.
            artist: more words, smaller.
            layout: "headline", "poster", "corner" or "modern".

        Returns:
            The enlarged picture as a PNG file.
        """
        pixels = whole_number(size, "size", 1, MAX_SIZE, "try 1024")
        return str(enlarged(image, pixels, engine, (title or "", artist or "", layout), Lane.AUDIENCE))

    @told
    def upscale_and_compare(image, size, engine, title, artist, layout, lane: Lane, progress):
        if size not in (*SIZES, STORE):
            raise ValueError(f"size must be one of {', '.join(SIZES)} or {STORE!r}, got {str(size)[:20]!r}")
        progress(0.1, desc="Enlarging")
        yield (gr.skip(),) * 3
        store = size == STORE
        pixels = STORE_SIZE if store else SIZES[size]
        file = str(enlarged(image, pixels, engine, (title or "", artist or "", layout), lane, store))
        kind = "JPEG" if store else "PNG"
        yield (
            gr.ImageSlider((image, file), visible=True),
            gr.HTML(visible=store),
            gr.DownloadButton(f"Download {kind}", value=file, visible=True),
        )

    page = {"api_visibility": "private", "concurrency_limit": 8}
    name.submit(choose, [name, *look], picture, **page)
    own.upload(check, own, picture, **page)
    picture.change(None, js="() => albumGan.nameButtons()", api_visibility="private")
    inputs = [picture, size, engine, title, artist, layout, visitor]
    make.wire(upscale_and_compare, studio, inputs, [compare, rights, download], compare)
    with gr.Row(visible=False):
        asked = [
            gr.File(label="image"),
            gr.Number(1024, label="size"),
            gr.Textbox(None, label="engine"),
            gr.Textbox("", label="title"),
            gr.Textbox("", label="artist"),
            gr.Textbox("headline", label="layout"),
        ]
        gr.Button().click(
            upscale,
            asked,
            gr.File(label="picture"),
            api_name="upscale",
            concurrency_id="heavy-audience",
            concurrency_limit=2,
        )
    return UpscaleTab(name, picture, make)


def set_words(image, words: tuple[str, str, str]):
    return set_type(image, *words) if words[0] or words[1] else image
