"""The `album-gan` command: read options, call the pipeline, write files.

What can go wrong is checked before the first file is written, and reported in one line with exit code 2. torch and
other large libraries load inside the commands, so that --help is instant.
"""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..editing.typography import LAYOUTS, check_type, set_type
from ..inference.atomic import write_atomic
from ..inference.latents import DEFAULT_TRUNCATION, MAX_TRUNCATION, check_truncation, parse_seeds
from ..runtime import DEVICES, choose_device
from .covers import add_covers, check_folder

if TYPE_CHECKING:
    from ..inference.pipeline import AlbumCoverPipeline

FORMATS = ("onnx", "html")


def main(argv: list[str] | None = None) -> int:
    """Run `album-gan` with these arguments, by default those of the process. Returns the exit code.

    0: done; 2: failed, and standard error says why in one line; 130: interrupted with Ctrl-C.
    ALBUM_GAN_DEBUG=1 shows the whole traceback instead.
    """
    try:
        args = _parser().parse_args(_with_dashes(sys.argv[1:] if argv is None else argv))
        args.run(args)
        return 0
    except KeyboardInterrupt:
        print("album-gan: interrupted; every file already written is complete", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("ALBUM_GAN_DEBUG") == "1":
            raise
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
    """--batch_size -> --batch-size, so that both spellings work; values are not changed."""
    normal = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        normal.append(name.replace("_", "-") + equals + value if name.startswith("--") else argument)
    return normal


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ValueError(f"{message}; see {self.prog} --help")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="album-gan", allow_abbrev=False, description="Draw album covers with a GAN.",
        epilog="example: album-gan generate --seeds 0-63 --out covers",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"album-gan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run, summary: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=summary, description=summary, epilog=f"example: {example}", allow_abbrev=False
        )
        added.set_defaults(run=run)
        added.add_argument(
            "--model",
            default="bundled",
            metavar="bundled|FOLDER|HUB_ID",
            help="the model to use (default: bundled; teaching is a small DCGAN)",
        )
        return added

    def on_device(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--device",
            choices=DEVICES,
            default="auto",
            help="where networks run; auto (default): a GPU if any",
        )

    def drawing(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--seeds",
            required=True,
            metavar="LIST",
            help="numbers, ranges and names: 1,2,7-9,velvet-otter-042",
        )
        added.add_argument(
            "--truncation", type=float, default=DEFAULT_TRUNCATION, metavar="T",
            help=f"0 (all alike) to {MAX_TRUNCATION} (wild), default {DEFAULT_TRUNCATION}",
        )  # fmt: skip
        added.add_argument("--label", metavar="CLASS", help="for conditional models, e.g. jazz; default: any")
        added.add_argument("--batch-size", type=_positive, default=16, metavar="N", help="drawn at once, default 16")
        on_device(added)

    added = command(
        "generate", _generate, "Draw covers into a folder, one PNG per seed.",
        "album-gan generate --seeds 0-63 --out covers",
    )  # fmt: skip
    drawing(added)
    added.add_argument("--out", required=True, type=Path, metavar="DIR", help="created if missing; DIR/00000042.png")

    added = command(
        "interpolate", _interpolate, "Make a video that morphs from cover to cover.",
        "album-gan interpolate --seeds 1,2,3 --frames 60 --loop --out x.mp4",
    )  # fmt: skip
    drawing(added)
    added.add_argument("--frames", type=int, default=60, metavar="N", help="in all, 2 or more, default 60")
    added.add_argument("--fps", type=int, default=30, metavar="N", help="frames a second, 1 to 60, default 30")
    added.add_argument(
        "--loop",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="return to the first cover (default)",
    )
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .mp4, .gif or .webp")

    added = command(
        "upscale",
        _upscale,
        "Enlarge pictures.",
        "album-gan upscale covers/00000042.png --size 512 --out large",
    )
    added.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="still pictures with 8 bits per channel")
    added.add_argument("--out", required=True, type=Path, metavar="DIR", help="created if missing; DIR/<name>.png")
    size = added.add_mutually_exclusive_group(required=True)
    size.add_argument("--size", type=int, metavar="PIXELS", help="of the longer side, up to 4096")
    size.add_argument("--store", action="store_true", help="the 3000x3000 JPEG that stores require, below 10 MB")
    added.add_argument("--jpeg", action="store_true", help="JPEG instead of PNG")
    added.add_argument(
        "--engine", metavar="NAME",
        help="bundled (the model's own, default), lanczos, or diffusers:ID with the id or folder of a pipeline",
    )  # fmt: skip
    on_device(added)
    added.add_argument("--title", default="", metavar="TEXT", help="text to set on the cover in real type")
    added.add_argument("--artist", default="", metavar="TEXT", help="text to set below the title")
    added.add_argument("--layout", default="headline", choices=LAYOUTS, help="of the type: " + ", ".join(LAYOUTS))

    added = command(
        "evaluate", _evaluate, "Measure a model against held-out covers.",
        "album-gan evaluate --model runs/mine --train-data-dir my_covers --out numbers.json",
    )  # fmt: skip
    added.add_argument("--dataset-name", metavar="NAME", help="Hub id, or a builder such as parquet")
    added.add_argument("--train-data-dir", metavar="DIR", help="folder of pictures or parquet files")
    added.add_argument("--data-files", metavar="FILES", help="files for the builder, e.g. 'my_covers/*.parquet'")
    added.add_argument("--image-column", metavar="NAME", help="column of the covers; detected by default")
    added.add_argument("--samples", type=_positive, default=2000, metavar="N", help="seeds drawn, default 2000")
    added.add_argument(
        "--extractors",
        metavar="NAMES",
        help="feature spaces to measure in; default: efficientnet-lite2,stlpips-vgg",
    )
    added.add_argument("--truncation", type=float, default=1.0, metavar="T", help="default 1")
    added.add_argument("--out", type=Path, metavar="FILE", help="also write the numbers as JSON")
    on_device(added)

    summary = "Make a film of a training run from its history."
    added = commands.add_parser(
        "timelapse", help=summary, description=summary, allow_abbrev=False,
        epilog="example: album-gan timelapse runs/mine --out training.mp4",
    )  # fmt: skip
    added.set_defaults(run=_timelapse)
    added.add_argument("folder", metavar="RUN", help="the folder of a run, bundled, teaching or a Hub id")
    added.add_argument("--fps", type=int, default=30, metavar="N", help="frames a second, 1 to 60, default 30")
    added.add_argument("--seconds", type=float, default=0.5, metavar="S", help="per moment, default 0.5")
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .mp4, .gif or .webp")

    added = commands.add_parser(
        "push", help="Publish a model on the Hugging Face Hub.", description="Publish a model on the Hugging Face Hub.",
        epilog="example: album-gan push runs/mine --repo-id me/album-covers", allow_abbrev=False,
    )  # fmt: skip
    added.set_defaults(run=_push)
    added.add_argument("model", metavar="bundled|FOLDER|HUB_ID", help="what to publish, e.g. the folder of a run")
    added.add_argument("--repo-id", required=True, metavar="OWNER/NAME", help="the repository; created if missing")
    added.add_argument("--private", action="store_true", help="visible to you only; implied without --data-rights")
    added.add_argument("--data-rights", metavar="TEXT", help="what the card says about rights to the training covers")
    added.add_argument("--space", metavar="OWNER/NAME", help="also publish the page, with this model, as this Space")

    added = command(
        "export", _export, "Export a model as one file: ONNX for other programs, or HTML that draws in any browser.",
        "album-gan export --format html --out covers.html",
    )  # fmt: skip
    added.add_argument("--format", required=True, choices=FORMATS, help="html needs no server and no internet")
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .onnx or .html")

    added = command("demo", _demo, "Start the web page that draws covers.", "album-gan demo --lan")
    added.add_argument("--lan", action="store_true", help="listen on the network, for the audience's phones")
    added.add_argument("--public-url", metavar="URL", help="the address that the audience's QR code shows instead")
    added.add_argument("--port", metavar="N", help="default: the environment's PORT, or 7860")
    on_device(added)
    add_covers(commands)
    return parser


def _load(args: argparse.Namespace) -> "AlbumCoverPipeline":
    """The pipeline that --model and --device name."""
    device = choose_device(args.device)
    from ..inference.pipeline import AlbumCoverPipeline

    return AlbumCoverPipeline.from_pretrained(args.model, device=device)


def _generate(args: argparse.Namespace) -> None:
    seeds = parse_seeds(args.seeds)
    check_truncation(args.truncation)
    check_folder(args.out)
    from tqdm import tqdm

    from ..media.image_files import save_png

    pipeline = _load(args)
    pipeline.check_label(args.label)
    args.out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(seeds), unit="cover", disable=None) as progress:
        for start in range(0, len(seeds), args.batch_size):
            batch = seeds[start : start + args.batch_size]
            covers = pipeline(
                seeds=batch, truncation=args.truncation, label=args.label, batch_size=args.batch_size
            )  # fmt: skip
            for seed, image in zip(batch, covers.images, strict=True):
                save_png(image, args.out / f"{seed:08d}.png", pipeline.settings(seed, args.truncation, args.label))
                progress.update()
    print(f"{len(seeds)} covers in {args.out}")


def _interpolate(args: argparse.Namespace) -> None:
    from ..media.video import check_ending, check_fps

    seeds = parse_seeds(args.seeds)
    check_ending(args.out)
    check_fps(args.fps)
    if args.out.is_dir():
        raise ValueError(f"out must be a file, got the folder {args.out}; try {args.out / 'loop.mp4'}")
    check_folder(args.out.parent)
    from tqdm import tqdm

    from ..media.video import write_animation

    pipeline = _load(args)
    frames = pipeline.interpolate(seeds, args.frames, args.loop, args.truncation, args.batch_size, args.label)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_animation(tqdm(frames, total=args.frames, unit="frame", disable=None), args.out, args.fps)
    print(f"{args.frames} frames in {args.out}")


def _upscale(args: argparse.Namespace) -> None:
    check_folder(args.out)
    from tqdm import tqdm

    from ..inference.upscaling import RIGHTS, check_upscale
    from ..media.image_files import STORE_SIZE, read_picture, read_settings, save_for_store, save_print

    check_type(args.title, args.artist, args.layout)
    size, ending = (STORE_SIZE, ".jpg") if args.store else (args.size, ".jpg" if args.jpeg else ".png")
    targets = {}
    for source in args.pictures:
        target = args.out / f"{source.stem}{ending}"
        if target in targets:
            raise ValueError(f"pictures must have different names, got {targets[target]} and {source}; rename one")
        if target.resolve() == source.resolve():
            raise ValueError(f"out must not be the folder of {source}, which would be overwritten; choose another")
        picture = read_picture(source)
        check_upscale(picture, size)
        if args.store and picture.width != picture.height:
            raise ValueError(f"covers for stores must be square, {source} is {picture.width}x{picture.height}; crop it")
        targets[target] = source
    pipeline = _load(args)
    pipeline.find_engine(args.engine)

    args.out.mkdir(parents=True, exist_ok=True)
    save = save_for_store if args.store else save_print
    for target, source in tqdm(targets.items(), unit="picture", disable=None):
        picture = read_picture(source)
        enlarged = pipeline.upscale(picture, size, args.engine)
        if args.title or args.artist:
            enlarged = set_type(enlarged, args.title, args.artist, args.layout)
        save(enlarged, target, read_settings(picture))
    print(f"{len(targets)} pictures in {args.out}")
    if args.store:
        print(RIGHTS)


def _evaluate(args: argparse.Namespace) -> None:
    check_truncation(args.truncation)
    if args.out:
        check_folder(args.out.parent)
    if find_spec("datasets") is None:
        raise ImportError(
            "evaluate needs datasets, which is not installed; run: pip install 'album-gan[train,evaluate]'"
        )
    import json

    from ..evaluation.compare import evaluate, table

    extractors = tuple(args.extractors.split(",")) if args.extractors else None
    source = (args.dataset_name, args.train_data_dir, args.data_files, args.image_column)
    result = evaluate(args.model, source, args.samples, args.truncation, extractors)
    print(table(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(args.out, json.dumps(result, indent=2) + "\n")


def _timelapse(args: argparse.Namespace) -> None:
    from ..media.video import check_ending, check_fps

    check_ending(args.out)
    check_fps(args.fps)
    check_folder(args.out.parent)
    from ..inference.model_store import find_model
    from ..media.video import write_animation
    from ..training.watching.timelapse import frames_of, moments_of

    moments = moments_of(find_model(args.folder, parts=("history/*",)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_animation(frames_of(moments, args.fps, args.seconds), args.out, args.fps)
    print(f"{len(moments)} moments in {args.out}")


def _push(args: argparse.Namespace) -> None:
    from ..hub.push import push
    from ..inference.model_store import check_hub_id

    if args.space:
        check_hub_id(args.space, "space")
    print(push(args.model, args.repo_id, args.private, args.data_rights))
    if args.space:
        from ..hub.space import push_space

        print(push_space(args.space, args.repo_id))


def _export(args: argparse.Namespace) -> None:
    if args.out.suffix != f".{args.format}" or args.out.is_dir():
        raise ValueError(f"out must be a file that ends in .{args.format}, got {args.out}")
    check_folder(args.out.parent)
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ImportError(f"export needs {missing[0]}, which is not installed; run: pip install 'album-gan[export]'")
    from ..inference.pipeline import AlbumCoverPipeline

    pipeline = AlbumCoverPipeline.from_pretrained(args.model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if args.format == "onnx":
        from ..export.onnx_model import export_onnx

        difference = export_onnx(pipeline, args.out)
        print(f"{args.out}; its covers are the pipeline's, to {difference}/255")
    else:
        from ..export.html_page import export_html

        print(f"{args.out}, {export_html(pipeline, args.out) / 1e6:.1f} MB; open it with a double click")


def _demo(args: argparse.Namespace) -> None:
    port = args.port or os.environ.get("PORT") or "7860"
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535, got {port!r}; 7860 is usual")
    if find_spec("gradio") is None:
        raise ImportError("demo needs gradio, which is not installed; run: pip install 'album-gan[demo]'")
    from ..space.app import launch

    launch(args.model, "0.0.0.0" if args.lan else "127.0.0.1", int(port), args.lan, args.public_url, args.device)


if __name__ == "__main__":
    sys.exit(main())
