"""The `album-gan` command: one parser, with one module per group of commands.

Arguments are checked before the first file is written, and errors are reported in one line with exit code 2. torch and
other large libraries are imported inside the commands, so that --help is instant.
"""

import argparse
import os
import select
import sys

from .. import __version__
from ..runtime import require
from .doctor import add_doctor
from .parser import Parser

FOR_TRAINING = ("tyro", "accelerate", "datasets", "pyarrow")


def main(argv: list[str] | None = None) -> int:
    """Run `album-gan` with these arguments, by default sys.argv's. Returns the exit code.

    0: success; 1: `doctor` found problems; 2: failure, with one line on standard error; 130: Ctrl-C; 141: the reader of
    standard output has gone, as after `| head`.
    ALBUM_GAN_DEBUG=1 shows the whole traceback instead.
    """
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout:
            sys.stdout.flush()  # here, where an error can be handled
        return code
    except BrokenPipeError as error:
        if _has_reader():
            return _report(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        return 141
    except KeyboardInterrupt:
        print("album-gan: interrupted; every file already written is complete", file=sys.stderr)
        return 130
    except Exception as error:
        return _report(error)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["train"]:
        return _train(arguments[1:])
    if arguments[:1] == ["start"]:
        return _start(arguments[1:])
    parser = build_parser(for_doctor=arguments[:1] == ["doctor"])
    args = parser.parse_args(_with_dashes(arguments))
    return args.run(args) or 0


def _has_reader() -> bool:
    """Whether anybody still reads standard output, so that another pipe or connection is the broken one."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(sys.stdout, 0)  # 0: errors alone
    return not poll.poll(0)


def _report(error: Exception) -> int:
    if os.environ.get("ALBUM_GAN_DEBUG") == "1":
        raise error
    print(f"album-gan: {_one_line(error)}", file=sys.stderr)
    return 2


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = " ".join(str(error).split())
    if isinstance(error, (OSError, ValueError, ImportError)):
        return text
    return f"unexpected {type(error).__name__}: {text}; ALBUM_GAN_DEBUG=1 shows where"


def _with_dashes(arguments: list[str]) -> list[str]:
    """--batch_size -> --batch-size, so that both spellings work; values stay the same."""
    normal = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        normal.append(name.replace("_", "-") + equals + value if name.startswith("--") else argument)
    return normal


def build_parser(for_doctor: bool = False) -> argparse.ArgumentParser:
    """All commands and their options; with `for_doctor` only `doctor`, which works if the others cannot be imported."""
    parser = Parser(
        prog="album-gan", allow_abbrev=False, description="Draw album covers with a GAN.",
        epilog="example: album-gan generate --seeds 0-63 --out covers",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"album-gan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_doctor(commands)
    if for_doctor:
        return parser
    from .covers import add_covers
    from .demo import add_demo
    from .draw import add_find, add_generate, add_interpolate, add_timelapse, add_upscale
    from .evaluate import add_evaluate
    from .publish import add_export, add_push
    from .shapes import add_shapes

    for add in (
        add_generate, add_interpolate, add_upscale, add_find, add_demo, add_covers, add_evaluate, add_timelapse,
        add_push, add_export, add_shapes,
    ):  # fmt: skip
        add(commands)
    # Only for --help: `main` dispatches these before parsing.
    commands.add_parser("start", help="Build a data set from a pile of pictures, train on it, and open the run's page.")
    commands.add_parser("train", help="Train a model, as train.py does; album-gan train --help lists its options.")
    return parser


def _train(arguments: list[str]) -> int:
    """Run `train`, which parses its own options."""
    require("train", "train", *FOR_TRAINING)
    from .train import main as train

    return train(arguments, "album-gan train")


def _start(arguments: list[str]) -> int:
    """Run `start`, which passes unknown options on to `train`."""
    if not {"-h", "--help"} & set(arguments):
        require("start", "train", *FOR_TRAINING)
    from .start import main as start

    return start(arguments)
