"""The page: its tabs, and the events that connect them."""

import html
import os

import gradio as gr

from album_gan.page_style import opening_wall
from album_gan.space.errors import shows_errors
from album_gan.space.links import TABS
from album_gan.space.screen import wall_size_field
from album_gan.space.service import CoverService
from album_gan.space.tabs import edit, generate, interpolate, learn, upscale

TITLE = (
    '<h1>Album GAN</h1><p class="fine">{about}</p>'
    '<div class="corner"><button onclick="albumGan.switchTheme()" aria-label="Light or dark">◐</button>'
    '<button id="present-open" onclick="albumGan.present()">Present</button></div>'
)
UNREADABLE = "an input cannot be read; files must be uploaded, in Python with gradio_client.handle_file(path)"
SCRIPT = {"fn": None, "api_visibility": "private"}  # for events handled by the browser alone


class Page(gr.Blocks):
    """Blocks that accept more kinds of input, and report what is wrong with the rest; gradio's own say nothing."""

    async def preprocess_data(self, block_fn, inputs, state, explicit_call=False):
        """The handler's arguments. Raises gr.Error for unreadable ones."""
        inputs = [_readable(block, value) for block, value in zip(block_fn.inputs, inputs, strict=False)]
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except gr.Error:
            raise
        except (ValueError, OSError) as error:
            raise gr.Error(UNREADABLE, print_exception=False) from error


def _readable(block: gr.blocks.Block, value: object) -> object:
    """Turn a list given for a text into that text; a file deleted meanwhile into None, so the tab fetches it again."""
    if isinstance(block, gr.Textbox) and isinstance(value, list):
        return "; ".join(map(str, value))
    if isinstance(block, gr.Image) and isinstance(value, dict) and not os.path.isfile(str(value.get("path"))):
        return None
    return value


def build_page(service: CoverService, about: str, kinds: tuple[str, str]) -> gr.Blocks:
    """Build the page; `about` describes the model in one line, `kinds` are what its labels and mixtures are called."""
    first = opening_wall(service.pipe.fingerprint)[0]
    with Page(title="Album GAN", fill_width=True, analytics_enabled=False) as page:
        gr.HTML(TITLE.format(about=html.escape(about)), elem_id="title", apply_default_css=False)
        notice = gr.HTML(visible=False, elem_id="notice", apply_default_css=False)
        wall_size = wall_size_field()
        with gr.Tabs(selected=TABS[0], elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate") as generate_tab:
                wall = generate.lay_out(service, kinds)
            with gr.Tab("Interpolate", id="interpolate") as interpolate_tab:
                morph = interpolate.lay_out(first[:3], service.pipe.generator.config.resolution)
            with gr.Tab("Upscale", id="upscale") as upscale_tab:
                large = upscale.lay_out(service, first[0])
            with gr.Tab("Edit", id="edit") as edit_tab:
                edit.lay_out(service.editor, first[0])
            with gr.Tab("Learn", id="learn") as learn_tab:
                learn.lay_out()
        settings = [wall.truncation, wall.label]
        generate.wire(wall, service, wall_size)
        interpolate.wire(morph, service, settings)
        upscale.wire(large, service, settings)
        for tab in (generate, interpolate, upscale):
            tab.add_api(service)
        wire_links(page, tabs, wall, morph, large, notice)
        wire_wall_to_tabs(service, tabs, wall, morph, large)
        shown = {"generate": generate_tab, "interpolate": interpolate_tab, "upscale": upscale_tab, "edit": edit_tab}
        wire_address({**shown, "learn": learn_tab}, wall, morph, large)
        fill = upscale.Handlers(service).fill
        upscale_tab.select(fill, [large.picture, large.name, *settings], [large.picture, large.named], **generate.QUICK)
    return page


def wire_links(page: gr.Blocks, tabs, wall, morph, large, notice) -> None:
    """Show the view in the URL. The browser fetches it from /view.json, so the page opens even if the queue is full."""
    shown = [tabs, wall.truncation, wall.label, wall.wall, morph.seeds, large.name, notice]
    script = "(wall, pins) => albumGan.restoreLink(wall, pins)"
    page.load(inputs=[wall.wall, morph.seeds], outputs=shown, js=script, **SCRIPT)


def wire_wall_to_tabs(service: CoverService, tabs, wall, morph, large) -> None:
    """Connect a cover's buttons: Upscale and Edit open these tabs with it, Pin adds it to Interpolate."""
    handlers = upscale.Handlers(service)

    @shows_errors
    def send(event: gr.EventData, request: gr.Request):
        """The event has the cover's own settings: those of a kept cover may differ from the wall's."""
        name = str(event.name)[:200]
        shown = handlers.choose_cover(name, event.truncation, str(event.label or ""), request)
        return gr.Tabs(selected="upscale"), name, *shown

    wall.wall.send(send, None, [tabs, large.name, large.picture, large.named], **generate.QUICK)
    wall.wall.edit(lambda: gr.Tabs(selected="edit"), None, tabs, **generate.QUICK)
    wall.wall.pin(inputs=morph.seeds, outputs=morph.seeds, js="(pins) => albumGan.togglePin(pins)", **SCRIPT)
    morph.seeds.change(inputs=morph.seeds, outputs=None, js="(pins) => albumGan.pinned(pins)", **SCRIPT)


def wire_address(tabs: dict[str, gr.Tab], wall, morph, large) -> None:
    """Keep the URL in sync with what is shown, so that it can be shared."""
    seeds = {
        "generate": (wall.wall, "albumGan.wallNames(wall)"),
        "interpolate": (morph.seeds, "wall"),
        "upscale": (large.name, "wall"),
        "edit": (wall.wall, "[albumGan.editing]"),
        "learn": (wall.wall, "albumGan.wallNames(wall)"),
    }
    for name, tab in tabs.items():
        component, value = seeds[name]
        script = f"(wall) => albumGan.remember({name!r}, {value})"
        tab.select(inputs=component, outputs=None, js=script, **SCRIPT)
    for name, field in (("interpolate", morph.seeds), ("upscale", large.name)):
        script = f"(text) => albumGan.rememberTyped({name!r}, text)"
        gr.on([field.submit, field.blur], inputs=field, outputs=None, js=script, **SCRIPT)
