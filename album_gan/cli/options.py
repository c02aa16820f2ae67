"""Options that several commands share."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..inference.latents import DEFAULT_TRUNCATION, MAX_TRUNCATION
from ..runtime import DEVICES, choose_device

if TYPE_CHECKING:
    from ..inference.pipeline import AlbumCoverPipeline

Subparsers: TypeAlias = "argparse._SubParsersAction[Any]"


def add_command(
    commands: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    example: str,
    model: bool = True,
) -> argparse.ArgumentParser:
    """Add a command that calls `run` with its options; with `model`, it has --model."""
    added = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: {example}", allow_abbrev=False
    )
    added.set_defaults(run=run)
    if model:
        added.add_argument(
            "--model", default="bundled", metavar="bundled|FOLDER|HUB_ID",
            help="the model to use (default: bundled; teaching is a small DCGAN)",
        )  # fmt: skip
    return added


def add_device_option(added: argparse.ArgumentParser) -> None:
    """--device, for commands that run a network."""
    added.add_argument(
        "--device", choices=DEVICES, default="auto", help="where networks run; auto (default): a GPU if available"
    )


def add_drawing_options(added: argparse.ArgumentParser) -> None:
    """Options for drawing covers."""
    added.add_argument(
        "--seeds",
        required=True,
        metavar="LIST",
        help="numbers, ranges and names: 1,2,7-9,velvet-otter-042; or any words, several separated by semicolons",
    )
    added.add_argument(
        "--truncation", type=float, default=DEFAULT_TRUNCATION, metavar="T",
        help=f"0 (all alike) to {MAX_TRUNCATION} (wild), default {DEFAULT_TRUNCATION}",
    )  # fmt: skip
    added.add_argument("--label", metavar="CLASS", help="for conditional models, e.g. jazz; default: each seed's own")
    added.add_argument("--batch-size", type=positive, default=16, metavar="N", help="covers per batch, default 16")
    add_device_option(added)


def positive(text: str) -> int:
    """Option type for integers of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text!r}")
    return int(text)


def load_pipeline(args: argparse.Namespace) -> "AlbumCoverPipeline":
    """The pipeline for --model and --device."""
    device = choose_device(args.device)
    from ..inference.pipeline import AlbumCoverPipeline

    return AlbumCoverPipeline.from_pretrained(args.model, device=device)


def check_folder(folder: Path, field: str = "out") -> None:
    """Raise ValueError unless files can be written to `folder`, the value of `field`, or it can be created."""
    existing = folder
    while not existing.exists():
        if existing == existing.parent:  # a drive of Windows
            raise ValueError(f"{field} must be on a drive that is connected, {existing} is not; choose another place")
        existing = existing.parent
    if not existing.is_dir():
        raise ValueError(f"{field} must be in a folder, but {existing} is a file; choose another place")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{field} must be in a folder you may write to, which {existing} is not; choose another place")


def check_file(out: Path, example: str) -> None:
    """Raise ValueError unless the file `out` can be written, as far as can be checked; `example` is a possible name."""
    if out.is_dir():
        raise ValueError(f"out must be a file, got the folder {out}; try {out / example}")
    check_folder(out.parent)


def counted(number: int, noun: str) -> str:
    """1 and "cover" -> "1 cover"; 1200 -> "1,200 covers"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
