"""Starts the page: `album-gan demo` in a terminal, `python app.py` on a Hugging Face Space.

The tabs are imported as `album_gan.space...`, never as neighbours: that name holds in a wheel, in an editable
install and on a Space, which needs only this file, README.md and requirements.txt, because the wheel of
album_gan that it installs carries the rest.
"""

import dataclasses
import errno
import os
import re
import socket
import threading
from pathlib import Path

# Before gradio and huggingface_hub are imported, which read these: nothing leaves this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from starlette.middleware import Middleware

from album_gan import AlbumCoverPipeline
from album_gan.editing.typography import LAYOUTS
from album_gan.inference.latents import DEFAULT_TRUNCATION, name_of
from album_gan.inference.model_store import find_model
from album_gan.space.lan_address import invitation
from album_gan.space.routes import ByQueueOnly, routes
from album_gan.space.service import Studio
from album_gan.space.session import SIGNED, read_visitor, visitor_field
from album_gan.space.tabs import edit, generate, interpolate, learn, upscale
from album_gan.space.temp_files import keep_clean
from album_gan.space.theme import head, theme
from album_gan.space.validation import MAX_PINS, Cover, check_seeds, check_truncation, told
from album_gan.training.watching.timelapse import moments_of

TABS = ("generate", "interpolate", "upscale", "edit", "learn")
TITLE = '<h1>Album GAN</h1><button id="present-open" onclick="albumGan.present()">Present</button>'


def launch(
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    lan: bool = False,
    public_url: str | None = None,
) -> None:
    """Serve the page until Ctrl-C. `lan` listens on the network and prints the address and its QR code.

    `public_url` is what the audience is told instead. Raises OSError when the port is taken or there is no such model,
    ValueError when it is none of ours or public_url is no address.
    """
    host = "0.0.0.0" if lan else host
    way_here = invitation(port, lan, public_url)
    check_port(host, port)
    keep_clean()
    studio = Studio(AlbumCoverPipeline.from_pretrained(model))
    first = generate.first_wall(studio.pipe.fingerprint)[0]
    studio.ask(map(Cover, first))  # the first visitor waits for nothing
    moments = history_of(model)
    page = build(studio, moments)
    page.queue(max_size=400)
    invited = {**dataclasses.asdict(way_here), "qr": way_here.qr}
    page.launch(
        server_name=host,
        server_port=port,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        max_file_size="20mb",
        ssr_mode=False,
        show_error=False,
        mcp_server=has_mcp(),
        theme=theme(),
        head=head({"model": studio.pipe.fingerprint, "layouts": list(LAYOUTS), "invitation": invited}),
        app_kwargs={"routes": routes(studio, moments), "middleware": [Middleware(ByQueueOnly)]},
    )
    studio.pngs(map(Cover, first))
    threading.Thread(target=studio.neighbours.prepare, daemon=True).start()
    local = f"http://{'127.0.0.1' if lan else host}:{port}"
    print(f"The page is at {local} (Ctrl-C stops it).", flush=True)
    if way_here.url:
        print(way_here.printed())
        print(f"For the presenter, whose covers come first: {local}/?presenter={studio.presenter_key}", flush=True)
    elif lan:
        print(way_here.printed(), flush=True)
    page.block_thread()


def build(studio: Studio, moments: list[Path]) -> gr.Blocks:
    """The whole page. Tabs without anything to show are left out."""
    with gr.Blocks(title="Album GAN", fill_width=True, analytics_enabled=False) as page:
        gr.HTML(TITLE, elem_id="title", apply_default_css=False)
        notice = gr.HTML(visible=False, elem_id="notice", apply_default_css=False)
        visitor = visitor_field()
        first = generate.first_wall(studio.pipe.fingerprint)[0]
        with gr.Tabs(selected=TABS[0], elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate") as generate_tab:
                wall = generate.build(studio, visitor)
            look = [wall.truncation, wall.label]
            with gr.Tab("Interpolate", id="interpolate") as interpolate_tab:
                morph = interpolate.build(studio, first[:3], look, visitor)
            with gr.Tab("Upscale", id="upscale") as upscale_tab:
                large = upscale.build(studio, first[0], look, visitor)
            with gr.Tab("Edit", id="edit") as edit_tab:
                edit.build(studio, first[0])
            if moments:
                with gr.Tab("Learn", id="learn") as learn_tab:
                    learn.build(moments)

        def restore(said: str):
            """The view that a link asks for; what is unknown or wrong in it is ignored."""
            who = read_visitor(said, studio)
            query = who.query
            tab = query.get("tab") if query.get("tab") in TABS else TABS[0]
            truncation, seeds = DEFAULT_TRUNCATION, []
            label = query.get("label") if query.get("label") in studio.pipe.labels else ""
            try:
                truncation = check_truncation(query.get("truncation", DEFAULT_TRUNCATION))
                seeds = check_seeds(query["seeds"]) if "seeds" in query else []
            except ValueError:
                pass
            ours, theirs = studio.pipe.fingerprint, query.get("model", "")
            foreign = re.fullmatch(r"[0-9a-f]{8}", theirs) and theirs != ours
            warning = f"This link is from another model ({theirs}). This one, {ours}, draws other covers."
            opening, picked = generate.first_wall(ours)
            on_wall = seeds if seeds and tab == "generate" else opening[: who.count]
            note = "Picked by eye" if picked and on_wall is not seeds and truncation == DEFAULT_TRUNCATION else ""
            return {
                tabs: gr.Tabs(selected=tab),
                wall.truncation: truncation,
                wall.label: label,
                wall.wall: generate.wall_of(studio, on_wall, truncation, label, note),
                morph.seeds: ", ".join(map(name_of, seeds[:MAX_PINS])) if seeds and tab == "interpolate" else gr.skip(),
                large.name: name_of(seeds[0]) if seeds and tab == "upscale" else gr.skip(),
                large.picture: studio.save([Cover(seeds[0], truncation, label or None)])[0]
                if seeds and tab == "upscale"
                else gr.skip(),
                notice: gr.HTML(warning, visible=True) if foreign else gr.skip(),
                **morph.make.for_visitor(who),
                **large.make.for_visitor(who),
            }

        @told
        def send(truncation: float, label: str, event: gr.EventData):
            """Take a cover from the wall to Upscale."""
            seed = check_seeds(str(event.seed))[0]
            studio.pipe.check_label(label)
            picture = studio.save([Cover(seed, check_truncation(truncation), label or None)])[0]
            return gr.Tabs(selected="upscale"), name_of(seed), picture

        quick = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
        shown = [tabs, *look, wall.wall, morph.seeds, large.name, large.picture, notice]
        shown += [*morph.make.buttons.values(), *large.make.buttons.values()]
        restored = page.load(restore, [visitor], shown, js=SIGNED, **quick)
        script = "(wall, way) => { albumGan.wall = wall; albumGan.pinned(way); albumGan.openEdit() }"
        restored.then(None, [wall.wall, morph.seeds], None, js=script, api_visibility="private")
        wall.wall.edit(lambda: gr.Tabs(selected="edit"), None, tabs, **quick)
        wall.wall.send(send, look, [tabs, large.name, large.picture], **quick)

        script = {"fn": None, "api_visibility": "private"}
        way = {"inputs": morph.seeds, **script}
        wall.wall.pin(outputs=morph.seeds, js="(way) => albumGan.togglePin(way)", **way)
        morph.seeds.change(outputs=None, js="(way) => albumGan.pinned(way)", **way)
        script["outputs"] = None
        generate_tab.select(**script, inputs=wall.wall, js="(wall) => albumGan.remember('generate', wall.seeds)")
        interpolate_tab.select(**script, inputs=morph.seeds, js="(seeds) => albumGan.remember('interpolate', seeds)")
        upscale_tab.select(**script, inputs=large.name, js="(name) => albumGan.remember('upscale', name)")
        edit_tab.select(**script, inputs=wall.wall, js="() => albumGan.remember('edit', albumGan.editing)")
        if moments:
            learn_tab.select(**script, inputs=wall.wall, js="(wall) => albumGan.remember('learn', wall.seeds)")

        def fill(picture: str | None, name: str, truncation: float, label: str):
            if picture:
                return gr.skip()
            try:
                return studio.save([Cover(check_seeds(name)[0], check_truncation(truncation), label or None)])[0]
            except ValueError:
                return gr.skip()

        upscale_tab.select(fill, [large.picture, large.name, *look], large.picture, **quick)
    return page


def history_of(model: str | None) -> list[Path]:
    """The thumbnails of a model's training, first to last; none where it left none."""
    try:
        return moments_of(find_model(model, parts=("history/*",)))
    except (OSError, ValueError):
        return []


def has_mcp() -> bool:
    from importlib.util import find_spec

    return find_spec("mcp") is not None


def check_port(host: str, port: int) -> None:
    """Raise OSError, with the way out, when nothing can listen there. Cheap: do it before loading a model."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
            raise OSError(
                f"port {port} on {host} is taken, perhaps by a page that still runs; "
                f"stop that one or choose another with --port {port + 1}"
            ) from error


if __name__ == "__main__":
    launch(
        os.environ.get("ALBUM_GAN_MODEL"),
        os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
    )
