"""`album-gan evaluate`: measure a model against held-out covers."""

import argparse
import json
from pathlib import Path
from typing import Any

from ..inference.atomic import write_atomic
from ..inference.latents import check_truncation
from ..runtime import choose_device, require
from .options import Subparsers, add_command, add_device_option, check_file, positive


def add_evaluate(commands: Subparsers) -> None:
    """`album-gan evaluate`."""
    added = add_command(
        commands,
        "evaluate", _evaluate, "Measure a model against held-out covers.",
        "album-gan evaluate --model runs/mine --train-data-dir my_covers --out runs/mine/evaluation.json",
    )  # fmt: skip
    added.add_argument("--dataset-name", metavar="NAME", help="Hub id, or a builder such as parquet")
    added.add_argument("--train-data-dir", metavar="DIR", help="folder of pictures or parquet files")
    added.add_argument("--data-files", metavar="FILES", help="files for the builder, e.g. 'my_covers/*.parquet'")
    added.add_argument("--image-column", metavar="NAME", help="column of the covers; detected by default")
    added.add_argument(
        "--samples", type=positive, default=2000, metavar="N", help="number of seeds, at most 10000, default 2000"
    )
    added.add_argument(
        "--extractors",
        metavar="NAMES",
        help="feature spaces to measure in; default: efficientnet-lite2,stlpips-vgg",
    )
    added.add_argument("--truncation", type=float, default=1.0, metavar="T", help="default 1")
    added.add_argument(
        "--beside", type=Path, action="append", default=[], metavar="FILE",
        help="JSON of another model's evaluation, to print both side by side; may be repeated",
    )  # fmt: skip
    added.add_argument(
        "--out", type=Path, metavar="FILE",
        help="also write the numbers as JSON; push publishes a model's evaluation.json",
    )  # fmt: skip
    add_device_option(added)


def _evaluate(args: argparse.Namespace) -> None:
    check_truncation(args.truncation)
    if args.out:
        check_file(args.out, "numbers.json")
    from ..evaluation.table import check_comparable, side_by_side, table

    others = {str(path): _read(path) for path in args.beside}
    for name, other in others.items():
        check_comparable({"samples": args.samples, "truncation": args.truncation}, other, name)
    require("evaluate", "train,evaluate", "datasets")
    from ..covers.dataset import CoverSource
    from ..evaluation.compare import evaluate

    extractors = tuple(name.strip() for name in args.extractors.split(",")) if args.extractors else None
    source = CoverSource(
        dataset_name=args.dataset_name,
        train_data_dir=args.train_data_dir,
        data_files=args.data_files,
        image_column=args.image_column,
    )
    device = choose_device(args.device)
    result = evaluate(
        args.model, source, args.samples, args.truncation, extractors, device, progress=True, beside=others
    )
    print(table(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, json.dumps(result, indent=2) + "\n")
    if others:
        print(f"\n{side_by_side({str(args.model or 'bundled'): result, **others})}")


def _read(path: Path) -> dict[str, Any]:
    """An evaluation written with --out. Raises ValueError for anything else, OSError if the file is missing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("spaces"), dict):
        raise ValueError(f"beside must be a file written by evaluate --out, {path} is not; evaluate that model first")
    return found
