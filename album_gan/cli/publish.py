"""Commands to share a model: push and export."""

import argparse
from pathlib import Path

from ..runtime import require
from .options import Subparsers, add_command, check_file

FORMATS = ("onnx", "html")


def add_push(commands: Subparsers) -> None:
    """`album-gan push`."""
    added = commands.add_parser(
        "push", help="Publish a model on the Hugging Face Hub.", description="Publish a model on the Hugging Face Hub.",
        epilog="example: album-gan push runs/mine --repo-id me/album-covers", allow_abbrev=False,
    )  # fmt: skip
    added.set_defaults(run=_push)
    added.add_argument("model", metavar="bundled|FOLDER|HUB_ID", help="what to publish, e.g. the folder of a run")
    added.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="the repository; created if missing")
    added.add_argument(
        "--private", action="store_true", help="create a private repository; the default without --data-rights"
    )
    added.add_argument("--data-rights", metavar="TEXT", help="the card's statement on rights to the training covers")
    added.add_argument("--license", metavar="ID", help="licence of the weights, as a Hub identifier, e.g. cc-by-4.0")
    added.add_argument("--space", metavar="OWNER/NAME", help="also publish the page, with this model, as this Space")


def _push(args: argparse.Namespace) -> None:
    from ..hub.push import push
    from ..inference.model_store import check_hub_id

    if args.space:
        check_hub_id(args.space, "space")
    print(push(args.model, args.repo_id, args.private, args.data_rights, args.license))
    if args.space:
        from ..hub.space import push_space

        print(push_space(args.space, args.repo_id))


def add_export(commands: Subparsers) -> None:
    """`album-gan export`."""
    added = add_command(
        commands,
        "export", _export, "Export a model as one file: ONNX for other programs, or HTML that draws in any browser.",
        "album-gan export --format html --out covers.html",
    )  # fmt: skip
    added.add_argument("--format", required=True, choices=FORMATS, help="html needs no server and no internet")
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .onnx or .html")


def _export(args: argparse.Namespace) -> None:
    if args.out.suffix.lower() != f".{args.format}":
        raise ValueError(f"out must be a file that ends in .{args.format}, got {args.out}")
    check_file(args.out, f"covers.{args.format}")
    require("export", "export", "onnx", "onnxscript", "onnxruntime")
    from ..inference.model_store import find_model
    from ..inference.pipeline import AlbumCoverPipeline

    folder = find_model(args.model, parts=("generator", "upscaler", "history/*"))  # once: of one state of the model
    pipeline = AlbumCoverPipeline.from_pretrained(folder, device="cpu")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.format == "onnx":
        from ..export.onnx_model import export_onnx

        difference = export_onnx(pipeline, args.out)
        print(f"{args.out}; its covers equal the pipeline's within {difference}/255")
    else:
        from ..export.html_page import export_html

        size, left_out = export_html(pipeline, args.out, folder)
        print(f"{args.out}, {size / 1e6:.1f} MB; open it with a double click")
        if left_out:
            print(f"without the model's {' and '.join(left_out)}, to keep the file small enough to email")
