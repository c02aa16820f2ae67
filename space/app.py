"""Starts the page: `album-gan demo` in a terminal, `python app.py` on a Hugging Face Space.

Modules are imported as `album_gan.space...`, never relatively: that name works in a wheel, in an editable install and
on a Space, where `album_gan.hub.space` puts the package's source next to this file.
"""

import contextlib
import dataclasses
import errno
import os
import socket
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# gradio and huggingface_hub read these on import: nothing leaves this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Only exists on ZeroGPU. It patches torch, so it must be imported first. `service.drawing_function` requests the GPU.
with contextlib.suppress(ImportError):
    import spaces  # noqa: F401

from starlette.middleware import Middleware

from album_gan import AlbumCoverPipeline
from album_gan.editing.directions import ATTRIBUTES
from album_gan.editing.typography import LAYOUTS
from album_gan.inference.model_store import find_model, read_json
from album_gan.page_style import opening_wall
from album_gan.space.access import AccessControl, EventLimit, local_hosts, public_hosts
from album_gan.space.connections import limit_connections, raise_file_limit
from album_gan.space.lan_address import Invitation, invitation, space_hosts
from album_gan.space.lessons import Lessons
from album_gan.space.page import build_page
from album_gan.space.room import Room, picture_files
from album_gan.space.routes import Routes
from album_gan.space.service import CoverService
from album_gan.space.temp_files import create_page_folder
from album_gan.space.theme import head, theme
from album_gan.space.uploads import MAX_FILE_BYTES, BodyLimits, UploadQuota
from album_gan.space.validation import Cover

# In gradio's FIFO queue: events pass straight through it, and wait in this page's own queues.
MAX_EVENTS = 400


def launch(
    model: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    lan: bool = False,
    public_url: str | None = None,
    device: str | None = None,
    covers: str | None = None,
) -> None:
    """Serve the page until Ctrl-C. `lan` listens on the network and prints the address and its QR code.

    `public_url` is the address that the audience gets instead; `device` is as in `runtime.choose_device`;
    `covers` is a folder of real covers for the game Fool the critic.
    Raises OSError when the port is taken or the model does not exist, ValueError for a model of another kind, an
    unavailable device, an invalid public_url or a folder without covers.
    """
    host = "0.0.0.0" if lan else host
    invite = invitation(port, lan, public_url)
    check_port(host, port)
    real_covers = picture_files(Path(covers)) if covers else []
    open_files = raise_file_limit()
    folder = create_page_folder()
    service = CoverService(AlbumCoverPipeline.from_pretrained(model, device="cpu"), device)
    opening = [Cover(seed) for seed in opening_wall(service.pipe.fingerprint)[0]]
    service.covers.request(opening)  # drawn in advance, so that nobody waits for the first wall
    lessons = Lessons(service, model)
    room = Room(lessons, invite, real_covers)
    record = training_record(model)
    page = build_page(service, about_model(service.pipe, model, record.get("covers")), label_kinds(record))
    page.queue(max_size=MAX_EVENTS)
    access = AccessControl, local_hosts(host, lan), public_hosts(public_url)
    limits = (EventLimit, page._queue.event_ids_to_events), (BodyLimits, UploadQuota(folder))
    page.launch(
        server_name=host,
        server_port=port,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        max_file_size=MAX_FILE_BYTES,
        max_threads=MAX_EVENTS,
        ssr_mode=False,
        show_error=False,
        mcp_server=can_serve_mcp(),
        theme=theme(),
        head=head(browser_setup(service, invite)),
        app_kwargs={
            "routes": [*Routes(service, invite).all(), *lessons.all(), *room.all()],
            "middleware": [Middleware(*each) for each in (access, *limits)],
            "openapi_url": None,  # and with it /docs: gradio's own /gradio_api/info is for programs
        },
    )
    limit_connections(page.server, open_files)
    service.pngs(opening)
    threading.Thread(target=service.neighbours.prepare, daemon=True).start()
    here = f"http://{'127.0.0.1' if lan else host}:{port}"
    announce(invite.url if space_hosts() else here, invite, lan, service.presenter.key)
    page.block_thread()


def browser_setup(service: CoverService, invite: Invitation) -> dict:
    """The data passed to the page's scripts: `albumGan.setup`."""
    invitation = {**dataclasses.asdict(invite), "qr": invite.qr}
    config = service.pipe.generator.config
    return {
        "model": service.pipe.fingerprint,
        "resolution": config.resolution,
        "latents": config.latent_dim,
        "styles": len(service.pipe.labels) if config.get("class_counts") else 0,  # that a seed draws one of
        "layouts": list(LAYOUTS),
        "invitation": invitation,
        "directions": list(ATTRIBUTES),
    }


def training_record(model: str | None) -> dict:
    """A model's training settings, from its training.json; empty if there is none."""
    try:
        return read_json(find_model(model, parts=("training.json",)) / "training.json")
    except (OSError, ValueError):
        return {}


def label_kinds(record: dict) -> tuple[str, str]:
    """What a model's classes and mixtures of classes are called: the names of the columns they came from."""

    def kind(columns: object, unnamed: str) -> str:
        return " or ".join(columns.split(",")) if isinstance(columns, str) and columns != "auto" else unnamed

    return kind(record.get("label_column"), "label"), kind(record.get("mixture_column"), "mixture")


def about_model(pipe: AlbumCoverPipeline, model: str | None, count: int | None) -> str:
    """One line for the audience: the model's name, its number of parameters, and the `count` of training covers."""
    numbers = sum(weight.numel() for weight in pipe.generator.parameters()) / 1e6
    name = Path(model).name if model and Path(model).is_dir() else model or "bundled"  # a Hub id stays whole
    line = f"Model {name} ({pipe.fingerprint}): {numbers:.1f} million parameters"
    learned = f", trained on {count:,} album covers" if isinstance(count, int) else ""
    return f"{line}{learned}. Each cover here is generated from random numbers and never existed before."


def announce(address: str, invite: Invitation, lan: bool, presenter_key: str) -> None:
    """Print the addresses for this computer, the audience and the presenter."""
    print(f"The page is at {address} (Ctrl-C stops it).", flush=True)
    if invite.url or lan:
        print(invite.for_terminal(), flush=True)
    if invite.url:
        print(f"For the presenter, whose covers come first: {address}/?presenter={presenter_key}", flush=True)


def can_serve_mcp() -> bool:
    """Whether a version of the mcp package that gradio supports is installed; with version 2 it responds 404."""
    try:
        return int(version("mcp").partition(".")[0]) < 2
    except PackageNotFoundError:
        return False


def check_port(host: str, port: int) -> None:
    """Raise OSError, with a remedy, if the port cannot be used. Cheap, so done before loading a model."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
            raise OSError(
                f"port {port} on {host} is taken, perhaps by another page; "
                f"stop that one or choose another port with --port {port + 1}"
            ) from error


if __name__ == "__main__":
    launch(
        os.environ.get("ALBUM_GAN_MODEL") or None,
        os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
    )
