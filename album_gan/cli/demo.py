"""`album-gan demo`: the web page."""

import argparse
import os

from ..runtime import require
from .options import Subparsers, add_command, add_device_option


def add_demo(commands: Subparsers) -> None:
    """`album-gan demo`."""
    added = add_command(commands, "demo", _demo, "Start the web page that draws covers.", "album-gan demo --lan")
    added.add_argument("--lan", action="store_true", help="listen on the network, for the audience's phones")
    added.add_argument("--public-url", metavar="URL", help="address to show in the audience's QR code")
    added.add_argument("--port", metavar="N", help="default: the environment's PORT, or 7860")
    added.add_argument("--covers", metavar="DIR", help="real covers for the game Fool the critic, on the Learn tab")
    add_device_option(added)


def _demo(args: argparse.Namespace) -> None:
    port = args.port or os.environ.get("PORT") or "7860"
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535, got {port!r}; 7860 is usual")
    require("demo", "demo", "gradio")
    from ..space.app import launch

    host = "0.0.0.0" if args.lan else "127.0.0.1"
    launch(args.model, host, int(port), args.lan, args.public_url, args.device, args.covers)
