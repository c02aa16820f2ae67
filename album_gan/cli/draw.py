"""Commands that make pictures and videos: generate, interpolate, find, upscale, timelapse."""

import argparse
import math
import os
import unicodedata
from pathlib import Path

from ..editing.typography import LAYOUTS, check_sides, check_type, set_type
from ..inference.latents import check_truncation, near_miss, parse_seeds, read_seeds, seed_for_any_text
from .options import (
    Subparsers,
    add_command,
    add_device_option,
    add_drawing_options,
    check_file,
    check_folder,
    counted,
    load_pipeline,
    positive,
)

DRAWN_WITH = ("seed", "truncation", "label", "edits", "style")  # settings of a cover; style is another seed, mixed in


def add_generate(commands: Subparsers) -> None:
    """`album-gan generate`."""
    added = add_command(
        commands,
        "generate", _generate, "Draw covers into a folder, one PNG per seed.",
        "album-gan generate --seeds 0-63 --out covers",
    )  # fmt: skip
    add_drawing_options(added)
    added.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="created if missing; DIR/00000042.png, or DIR/The Flat Tyres.png for words",
    )


def _generate(args: argparse.Namespace) -> None:
    chosen = read_seeds(args.seeds)
    check_truncation(args.truncation)
    check_folder(args.out)
    from tqdm import tqdm

    from ..inference.atomic import write_atomic
    from ..inference.pixels import file_names, png_bytes

    pipeline = load_pipeline(args)
    pipeline.check_label(args.label)
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = list(dict.fromkeys(chosen))  # the same seed may be asked for twice
    names = iter(file_names(one.typed or f"{one.seed:08d}" for one in chosen))
    with tqdm(total=len(chosen), unit="cover", disable=None) as progress:
        for start in range(0, len(chosen), args.batch_size):
            batch = chosen[start : start + args.batch_size]
            covers = pipeline(
                seeds=batch, truncation=args.truncation, label=args.label, batch_size=args.batch_size
            )  # fmt: skip
            for image, settings in zip(covers.images, covers.settings or [], strict=True):
                write_atomic(args.out / f"{next(names)}.png", png_bytes(image, settings))
                progress.update()
    for typed in dict.fromkeys(one.typed for one in chosen if near_miss(one.typed)):
        print(f"{typed!r} is not a cover's name, so it was hashed to a seed; did you mean {near_miss(typed)}?")
    print(f"{counted(len(chosen), 'cover')} in {args.out}")


def add_interpolate(commands: Subparsers) -> None:
    """`album-gan interpolate`."""
    added = add_command(
        commands,
        "interpolate", _interpolate, "Make a video that morphs from cover to cover.",
        "album-gan interpolate --seeds 1,2,3 --frames 60 --loop --out x.mp4",
    )  # fmt: skip
    add_drawing_options(added)
    added.add_argument("--frames", type=int, default=60, metavar="N", help="total number, 2 or more, default 60")
    added.add_argument("--fps", type=int, default=30, metavar="N", help="frames per second, 1 to 60, default 30")
    added.add_argument(
        "--loop",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="return to the first cover (default)",
    )
    added.add_argument("--size", type=int, metavar="PIXELS", help="enlarge frames as `upscale`; 512 suits a projector")
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .mp4, .gif or .webp")


def _interpolate(args: argparse.Namespace) -> None:
    from ..media.video import check_ending, check_fps

    seeds = parse_seeds(args.seeds)
    check_ending(args.out)
    check_fps(args.fps)
    check_file(args.out, "loop.mp4")
    from tqdm import tqdm

    from ..media.video import write_animation

    pipeline = load_pipeline(args)
    frames = pipeline.interpolate(
        seeds, args.frames, args.loop, args.truncation, args.batch_size, args.label, args.size
    )  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_animation(tqdm(frames, total=args.frames, unit="frame", disable=None), args.out, args.fps)
    print(f"{args.frames} frames in {args.out}")


def add_find(commands: Subparsers) -> None:
    """`album-gan find`."""
    added = add_command(
        commands,
        "find", _find, "Find the cover nearest to a picture: a seed, and a point between seeds.",
        "album-gan find holiday.jpg --out found",
    )  # fmt: skip
    added.add_argument("picture", type=Path, metavar="IN", help="a still picture with 8 bits per channel")
    added.add_argument("--out", type=Path, metavar="DIR", help="folder for both covers as PNG files")
    added.add_argument("--steps", type=positive, default=80, metavar="N", help="steps of the projection, default 80")
    add_device_option(added)


def _find(args: argparse.Namespace) -> None:
    from ..inference.pixels import file_name, png_bytes
    from ..media.image_files import read_picture, read_settings

    picture, stem = read_picture(args.picture), args.picture.stem
    if args.out:
        check_folder(args.out)
        projected = args.out / f"{file_name(stem)}-projected.png"
        _check_kept(projected, args.picture)
        if seed_for_any_text(stem)[1] == "name":  # a drawn cover, and the nearest one will have its name
            _check_kept(args.out / f"{stem}.png", args.picture)
    pipeline = load_pipeline(args)
    settings = read_settings(picture)
    if settings and settings.get("model") == pipeline.fingerprint:
        facts = [settings.get("typed") or settings.get("name")]
        facts += [f"{name} {settings[name]}" for name in DRAWN_WITH if settings.get(name) not in (None, {})]
        print(f"{args.picture.name} was drawn by this model: {', '.join(map(str, facts))}")
    found = pipeline.find(picture, args.steps)
    print(f"nearest seed: {found.name}, seed {found.seed}, {found.seed_distance:.1%} away (mean pixel difference)")
    print(f"nearest cover between seeds: {found.distance:.1%} away")
    if args.out:
        from ..inference.atomic import write_atomic

        nearest = args.out / f"{found.name}.png"
        _check_kept(nearest, args.picture)
        args.out.mkdir(parents=True, exist_ok=True)
        write_atomic(nearest, png_bytes(found.seed_image, pipeline.settings(found.seed)))
        write_atomic(projected, png_bytes(found.image))
        print(f"both in {args.out}")


def _check_kept(target: Path, source: Path) -> None:
    """Raise ValueError if `target` is a file in the folder of the picture `source`: it would be overwritten."""
    if target.exists() and os.path.samefile(target.parent, source.resolve().parent):
        raise ValueError(f"out must not be the folder of {source}: {target} would be overwritten; choose another")


def add_upscale(commands: Subparsers) -> None:
    """`album-gan upscale`."""
    added = add_command(
        commands,
        "upscale",
        _upscale,
        "Enlarge pictures.",
        "album-gan upscale covers/00000042.png --size 512 --out large",
    )
    added.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="still pictures with 8 bits per channel")
    added.add_argument("--out", required=True, type=Path, metavar="DIR", help="created if missing; DIR/<name>.png")
    size = added.add_mutually_exclusive_group(required=True)
    size.add_argument("--size", type=int, metavar="PIXELS", help="longer side, up to 4096")
    size.add_argument("--store", action="store_true", help="the 3000x3000 JPEG that stores require, below 10 MB")
    added.add_argument("--jpeg", action="store_true", help="JPEG instead of PNG")
    added.add_argument(
        "--engine", metavar="NAME",
        help="bundled (the model's own, default), lanczos, or diffusers:ID with the id or folder of a pipeline",
    )  # fmt: skip
    add_device_option(added)
    added.add_argument("--title", default="", metavar="TEXT", help="text to set on the cover in real type")
    added.add_argument("--artist", default="", metavar="TEXT", help="text to set below the title")
    added.add_argument("--layout", default="headline", choices=LAYOUTS, help="of the text: " + ", ".join(LAYOUTS))


def _upscale(args: argparse.Namespace) -> None:
    check_folder(args.out)
    from tqdm import tqdm

    from ..inference.upscaling import RIGHTS, check_upscale, enlarged_size
    from ..media.image_files import STORE_SIZE, check_store, read_picture, read_settings, save_for_store, save_print

    check_type(args.title, args.artist, args.layout)
    size, ending = (STORE_SIZE, ".jpg") if args.store else (args.size, ".jpg" if args.jpeg else ".png")
    targets: dict[str, tuple[Path, Path]] = {}  # by name, without what macOS and Windows ignore in names
    for source in args.pictures:
        target = args.out / f"{source.stem}{ending}"
        name = unicodedata.normalize("NFC", source.stem).casefold()
        if name in targets:
            raise ValueError(f"pictures must have different names, got {targets[name][1]} and {source}; rename one")
        picture = read_picture(source)
        _check_kept(target, source)
        if args.store:
            check_store(picture.size, str(source))
        try:
            check_upscale(picture, size)
            if args.title or args.artist:
                check_sides(enlarged_size(picture.size, size))
        except ValueError as error:
            raise ValueError(f"{source.name}: {error}") from error
        targets[name] = target, source
    pipeline = load_pipeline(args)
    pipeline.find_engine(args.engine)

    args.out.mkdir(parents=True, exist_ok=True)
    save = save_for_store if args.store else save_print
    for target, source in tqdm(targets.values(), unit="picture", disable=None):
        picture = read_picture(source)
        enlarged = pipeline.upscale(picture, size, args.engine)
        if args.title or args.artist:
            enlarged = set_type(enlarged, args.title, args.artist, args.layout)
        save(enlarged, target, read_settings(picture))
    print(f"{counted(len(targets), 'picture')} in {args.out}")
    if args.store:
        print(RIGHTS)


def add_timelapse(commands: Subparsers) -> None:
    """`album-gan timelapse`."""
    summary = "Make a film of a training run from its history."
    added = commands.add_parser(
        "timelapse", help=summary, description=summary, allow_abbrev=False,
        epilog="example: album-gan timelapse runs/mine --out training.mp4",
    )  # fmt: skip
    added.set_defaults(run=_timelapse)
    added.add_argument("folder", metavar="RUN", help="the folder of a run, bundled, teaching or a Hub id")
    added.add_argument("--fps", type=int, default=30, metavar="N", help="frames per second, 1 to 60, default 30")
    added.add_argument("--seconds", type=float, default=0.5, metavar="S", help="per snapshot, default 0.5")
    added.add_argument("--out", required=True, type=Path, metavar="FILE", help="ends in .mp4, .gif or .webp")


def _timelapse(args: argparse.Namespace) -> None:
    from ..media.video import check_ending, check_fps

    check_ending(args.out)
    check_fps(args.fps)
    if not 0 < args.seconds < math.inf:
        raise ValueError(f"seconds must be above 0, got {args.seconds:g}; 0.5 is usual")
    check_file(args.out, "training.mp4")
    from ..inference.model_store import find_model
    from ..media.video import write_animation
    from ..training.watching.timelapse import frames_of, moments_of

    moments = moments_of(find_model(args.folder, parts=("history/*",)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_animation(frames_of(moments, args.fps, args.seconds), args.out, args.fps)
    print(f"{len(moments)} snapshots in {args.out}")
