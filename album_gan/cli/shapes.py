"""`album-gan shapes`: a recipe's networks with all dimensions, or the arithmetic of one convolution."""

import argparse
from pathlib import Path

from .options import Subparsers, add_command, check_folder

SETTINGS = ("size", "kernel", "stride", "padding", "output_padding")


def add_shapes(commands: Subparsers) -> None:
    """`album-gan shapes`."""
    added = add_command(
        commands, "shapes", _shapes, "Show every layer of a recipe's networks, or what one convolution does.",
        "album-gan shapes dcgan --resolution 64 --svg dcgan.svg", model=False,
    )  # fmt: skip
    what = added.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="dcgan, wgan_gp, projected, ...; docs/recipes.md has all"
    )
    what.add_argument(
        "--conv", metavar="W,F,S,P[,Q]", help="size, kernel, stride, padding and output padding of one convolution"
    )
    added.add_argument("--transposed", action="store_true", help="with --conv: a transposed convolution")
    added.add_argument("--resolution", type=int, metavar="N", help="resolution of the pictures; default: the paper's")
    added.add_argument("--svg", type=Path, metavar="FILE", help="also draw both networks to this file")


def _shapes(args: argparse.Namespace) -> None:
    if args.conv is not None:
        for name in ("svg", "resolution"):
            if getattr(args, name) is not None:
                raise ValueError(f"{name} is of a recipe's networks, and conv is one convolution; leave one out")
        print(_convolution(args.conv, args.transposed))
        return
    if args.transposed:
        raise ValueError(f"transposed needs --conv, got the recipe {args.recipe}, which has its own; leave it out")
    if args.svg is not None:
        if args.svg.suffix != ".svg":
            raise ValueError(f"svg must end in .svg, got {args.svg}; choose another name")
        check_folder(args.svg.parent, "svg")
    from ..explain.diagram import diagram, table
    from ..explain.networks import trace_both
    from ..inference.atomic import write_atomic

    generator, discriminator = trace_both(args.recipe, args.resolution)
    for title, traced in (("Generator", generator), ("Discriminator", discriminator)):
        print(f"{title} of {args.recipe}\n\n{table(traced.steps)}\n")
    if args.svg is not None:
        args.svg.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.svg, diagram([("Generator", generator), ("Discriminator", discriminator)]))
        print(f"drawn in {args.svg}")


def _convolution(text: str, transposed: bool) -> str:
    from ..explain.arithmetic import Convolution

    parts = text.split(",")
    if not 2 <= len(parts) <= len(SETTINGS) or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"conv must be 2 to 5 whole numbers size,kernel,stride,padding,output_padding, got {text!r}")
    settings = dict(zip(SETTINGS, map(int, parts), strict=False))
    convolution = Convolution(transposed=transposed, **settings)
    return "\n".join([convolution.formula, *convolution.remarks])
