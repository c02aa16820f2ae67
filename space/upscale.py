"""Upscale: a cover or an own picture, enlarged, before and after."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from PIL import Image

from album_gan.latents import DEFAULT_TRUNCATION, name_of, seed_for_any_text
from album_gan.pictures import read_settings, save_png
from album_gan.space.studio import MAX_SIZE, Studio, check_truncation, scratch, told

SIZES = (256, 512, 1024, 2048)
PROMISE = "Your picture goes only to the computer running this page and is deleted within the hour."


@dataclass(frozen=True)
class UpscaleTab:
    name: gr.Textbox
    picture: gr.Image


def build(studio: Studio, first: int, truncation: gr.Slider) -> UpscaleTab:
    """Lay out the tab, with the cover of seed `first` in it, and wire it. `truncation` is Generate's."""
    with gr.Row(elem_classes="split"):
        with gr.Column(scale=1, min_width=280):
            name = gr.Textbox(
                name_of(first), label="A cover's name or seed, then Enter", max_length=200, elem_id="which"
            )
            own = gr.UploadButton("or a picture of your own", file_types=["image"], size="md", elem_id="own")
            gr.HTML(PROMISE, elem_classes="fine", apply_default_css=False)
            picture = gr.Image(
                studio.save([first], DEFAULT_TRUNCATION)[0],
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
            size = gr.Radio(SIZES, value=1024, label="Longer side in pixels")
            enlarge = gr.Button("Upscale", variant="primary", elem_id="enlarge")
        with gr.Column(scale=2, min_width=280):
            compare = gr.ImageSlider(
                label="Before and after",
                show_label=False,
                type="filepath",
                format="png",
                interactive=False,
                buttons=[],
                max_height=720,
                elem_id="compare",
            )
            download = gr.DownloadButton("Download PNG", visible=False, elem_id="download-large")

    @told
    def choose(text: str, truncation: float) -> str:
        if not text.strip():
            raise ValueError("the field is empty; type a seed, a name, or anything at all")
        return studio.save([seed_for_any_text(text)[0]], check_truncation(truncation))[0]

    @told
    def check(file: str) -> str:
        """The upload, once it is known to be a picture: gr.Image itself would only say "Error"."""
        open_picture(file).close()
        return file

    @told
    def upscale(image: str, size: float) -> str:
        """Enlarge a picture, keeping its proportions.

        Args:
            image: a picture file, for example a cover from /generate.
            size: the new longer side, from the picture's own to 2048 pixels.

        Returns:
            The enlarged picture as a PNG file.
        """
        if not image:
            raise ValueError("image is missing; choose a cover or upload a picture")
        if size is None or not 1 <= size <= MAX_SIZE:
            raise ValueError(f"size must be from 1 to {MAX_SIZE} pixels, got {size}; try 1024")
        with open_picture(image) as source:
            settings = read_settings(source)
            enlarged = studio.pipe.upscale(source, int(size))
        file = scratch() / f"{Path(image).stem[:60]}-{int(size)}.png"
        save_png(enlarged, file, settings)
        return str(file)

    def upscale_and_compare(image: str, size: float):
        file = upscale(image, size)
        return (image, file), gr.DownloadButton(value=file, visible=True)

    page = {"api_visibility": "private", "concurrency_id": "draw"}
    name.submit(choose, [name, truncation], picture, **page)
    own.upload(check, own, picture, **page)
    enlarge.click(upscale_and_compare, [picture, size], [compare, download], show_progress_on=compare, **page)
    with gr.Row(visible=False):
        asked = [gr.File(label="image"), gr.Number(1024, label="size")]
        gr.Button().click(upscale, asked, gr.File(label="picture"), api_name="upscale", concurrency_id="draw")
    return UpscaleTab(name, picture)


def open_picture(file: str) -> Image.Image:
    """The picture in a file, read; ValueError for anything else."""
    try:
        picture = Image.open(file)
        picture.load()
        return picture
    except Exception as error:  # decoders raise all sorts: OSError, SyntaxError, struct.error, ...
        raise ValueError("image must be a picture such as PNG or JPEG; this file is none that opens") from error
