"""Starts the page: `album-gan demo` in a terminal, `python app.py` on a Hugging Face Space.

The tabs are imported as `album_gan.space...`, never as neighbours: that name holds in a wheel, in an editable
install and on a Space, which needs only this file, README.md and requirements.txt, because the wheel of
album_gan that it installs carries the rest.
"""

import errno
import os
import re
import socket

# Before gradio and huggingface_hub are imported, which read these: nothing leaves this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

from album_gan import AlbumCoverPipeline
from album_gan.latents import DEFAULT_TRUNCATION, name_of
from album_gan.space import generate, interpolate, upscale
from album_gan.space.studio import Studio, check_seeds, check_truncation
from album_gan.space.theme import head, theme

TABS = ("generate", "interpolate", "upscale")


def launch(model: str | None = None, host: str = "127.0.0.1", port: int = 7860, lan: bool = False) -> None:
    """Serve the page until Ctrl-C. `lan` listens on the network and prints the address and its QR code.

    Raises OSError when the port is taken or there is no such model, ValueError when it is none of ours.
    """
    host = "0.0.0.0" if lan else host
    check_port(host, port)
    studio = Studio(AlbumCoverPipeline.from_pretrained(model))
    studio.pngs(generate.FIRST_WALL, DEFAULT_TRUNCATION)  # the first visitor waits for nothing
    page = build(studio)
    page.queue(max_size=100)
    page.launch(
        server_name=host,
        server_port=port,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        max_file_size="20mb",
        ssr_mode=False,
        theme=theme(),
        head=head(),
        app_kwargs={"routes": studio.routes()},
    )
    print(f"The page is at http://{'127.0.0.1' if lan else host}:{port} (Ctrl-C stops it).", flush=True)
    if lan:
        invite(port)
    page.block_thread()


def build(studio: Studio) -> gr.Blocks:
    """The whole page. Files made for visitors, and those they upload, are deleted within the hour."""
    with gr.Blocks(title="Album GAN", fill_width=True, delete_cache=(300, 3300), analytics_enabled=False) as page:
        gr.HTML("<h1>Album GAN</h1>", elem_id="title", apply_default_css=False)
        notice = gr.HTML(visible=False, elem_id="notice", apply_default_css=False)
        with gr.Tabs(selected=TABS[0], elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate") as generate_tab:
                wall = generate.build(studio)
            with gr.Tab("Interpolate", id="interpolate") as interpolate_tab:
                morph = interpolate.build(studio, generate.FIRST_WALL[:2], wall.truncation)
            with gr.Tab("Upscale", id="upscale") as upscale_tab:
                large = upscale.build(studio, generate.FIRST_WALL[0], wall.truncation)

        def restore(request: gr.Request):
            """The view that a link asks for; what is unknown or wrong in it is ignored."""
            query = dict(request.query_params)
            tab = query.get("tab") if query.get("tab") in TABS else TABS[0]
            truncation, seeds = DEFAULT_TRUNCATION, []
            try:
                truncation = check_truncation(query.get("truncation", DEFAULT_TRUNCATION))
                seeds = check_seeds(query["seeds"]) if "seeds" in query else []
            except ValueError:
                pass
            names = ", ".join(map(name_of, seeds))
            ours, theirs = studio.pipe.fingerprint, query.get("model", "")
            foreign = re.fullmatch(r"[0-9a-f]{8}", theirs) and theirs != ours
            warning = f"This link is from another model ({theirs}). This one, {ours}, draws other covers."
            return {
                tabs: gr.Tabs(selected=tab),
                wall.truncation: truncation,
                wall.wall: generate.wall_of(
                    studio, seeds if seeds and tab == "generate" else generate.FIRST_WALL, truncation
                ),
                morph.seeds: names if seeds and tab == "interpolate" else gr.skip(),
                large.name: name_of(seeds[0]) if seeds and tab == "upscale" else gr.skip(),
                large.picture: studio.save(seeds[:1], truncation)[0] if seeds and tab == "upscale" else gr.skip(),
                notice: gr.HTML(warning, visible=True) if foreign else gr.skip(),
            }

        def send(way: str, truncation: float, event: gr.EventData):
            """Take a cover from the wall to another tab."""
            seed = check_seeds(str(event.seed))[0]
            if event.to == "interpolate":
                names = [name for name in (item.strip() for item in way.split(",")) if name]
                way = ", ".join([*names, name_of(seed)])
                return gr.Tabs(selected="interpolate"), way, gr.skip(), gr.skip()
            picture = studio.save([seed], check_truncation(truncation))[0]
            return gr.Tabs(selected="upscale"), gr.skip(), name_of(seed), picture

        restored = page.load(  # through the queue: only there gradio hands on the address's query
            restore,
            None,
            [tabs, wall.truncation, wall.wall, morph.seeds, large.name, large.picture, notice],
            show_progress="hidden",
            api_visibility="private",
            concurrency_limit=None,
        )
        restored.then(None, wall.wall, None, js="(wall) => { albumGan.wall = wall }", api_visibility="private")
        wall.wall.send(
            send,
            [morph.seeds, wall.truncation],
            [tabs, morph.seeds, large.name, large.picture],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        remember = {"fn": None, "outputs": None, "api_visibility": "private"}
        generate_tab.select(**remember, inputs=wall.wall, js="(wall) => albumGan.remember('generate', wall.seeds)")
        interpolate_tab.select(**remember, inputs=morph.seeds, js="(seeds) => albumGan.remember('interpolate', seeds)")
        upscale_tab.select(**remember, inputs=large.name, js="(name) => albumGan.remember('upscale', name)")
    return page


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


def invite(port: int) -> None:
    """Print the address for phones on the same network, with its QR code."""
    import qrcode

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))  # sends nothing: it only asks which address would be used
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        print("This machine is on no network: join a wifi or start a hotspot, then start again.", flush=True)
        return
    url = f"http://{address}:{port}"
    code = qrcode.QRCode(border=2)
    code.add_data(url)
    code.print_ascii(invert=True)
    print(f"Phones on the same network: {url}", flush=True)


if __name__ == "__main__":
    launch(
        os.environ.get("ALBUM_GAN_MODEL"),
        os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
    )
