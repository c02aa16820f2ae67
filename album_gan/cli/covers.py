"""`album-gan covers build|inspect|cache`: build, inspect or pre-decode cover data sets."""

import argparse
from pathlib import Path

from ..runtime import cpu_count, require
from .options import Subparsers, check_folder


def add_covers(commands: Subparsers) -> None:
    """`album-gan covers build`, `album-gan covers inspect` and `album-gan covers cache`."""
    summary = "Build a data set of covers from any collection of pictures, or inspect one."
    covers = commands.add_parser("covers", help=summary, description=summary, allow_abbrev=False)
    actions = covers.add_subparsers(metavar="build|inspect|cache", required=True)

    added = actions.add_parser(
        "build", help="clean a collection of pictures", allow_abbrev=False,
        description="Clean pictures, find duplicates, hold out a test split, and write what `datasets` loads. An "
        "interrupted build resumes where it stopped; the same sources give the same bytes.",
        epilog="example: album-gan covers build my_pictures more.zip --out my_covers",
    )  # fmt: skip
    added.set_defaults(run=_build_covers)
    added.add_argument("sources", nargs="+", metavar="SOURCE", help="folder, tar, zip, parquet, URL of one, or Hub id")
    added.add_argument("--out", required=True, type=Path, metavar="DIR", help="created if missing")
    added.add_argument(
        "--resolution", type=int, default=256, metavar="PIXELS", help="maximum side of the covers, default 256"
    )
    added.add_argument(
        "--min-size", type=int, default=128, metavar="PIXELS", help="smaller pictures are rejected, default 128"
    )
    added.add_argument(
        "--max-crop",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="fraction of the longer side that may be cropped, default 0.05",
    )
    added.add_argument("--quality", type=int, default=96, metavar="Q", help="JPEG quality, 1 to 100, default 96")
    added.add_argument(
        "--resampling", choices=("auto", "lanczos", "cubic"), default="auto",
        help="lanczos, or cubic, 1.7 times as fast, which needs album-gan[fast]; default: cubic if installed",
    )  # fmt: skip
    added.add_argument(
        "--reject", type=names, default=(), metavar="STEPS", help="also reject these: animation,cmyk,..."
    )
    added.add_argument("--allow", type=names, default=(), metavar="STEPS", help="do not reject these: near_blank,...")
    added.add_argument(
        "--placeholder-copies", type=int, default=12, metavar="N",
        help="reject files that occur N times under different artists, default 12; 0 disables this",
    )  # fmt: skip
    added.add_argument("--image-column", metavar="NAME", help="picture column of parquet files; detected by default")
    added.add_argument(
        "--folder-genre", action="store_true", help="use the name of a picture's folder or archive as its genre"
    )
    added.add_argument(
        "--num-workers", type=int, default=cpu_count(), metavar="N", help="processes, default: one per core"
    )
    added.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="address of a dask scheduler, to use its workers instead; needs album-gan[cluster]",
    )
    added.add_argument("--no-thumbnails", action="store_true", help="leave pictures out of the report, to share it")
    added.add_argument("--data-rights", metavar="TEXT", help="who owns the covers, and what they may be used for")
    added.add_argument("--push-to-hub", metavar="ID", help="upload the finished data set, as private")
    added.add_argument("--public", action="store_true", help="upload it as public; needs --data-rights")

    added = actions.add_parser(
        "inspect", help="show the contents of a data set",
        description="Print the contents of a data set, and draw a contact sheet.",
        epilog="example: album-gan covers inspect my_covers --sheet sheet.png", allow_abbrev=False,
    )  # fmt: skip
    added.set_defaults(run=_inspect_covers)
    added.add_argument("folder", type=Path, metavar="DIR", help="folder with parquet files, also in subfolders")
    added.add_argument("--sheet", type=Path, metavar="FILE", help="default: DIR/contact_sheet.png")
    added.add_argument("--image-column", metavar="NAME", help="column of the pictures; detected by default")

    added = actions.add_parser(
        "cache", help="decode covers before training, on all cores",
        description="Decode all covers once into this machine's cache, for training at that resolution. "
        "Otherwise training decodes them itself, on one core.",
        epilog="example: album-gan covers cache my_covers --resolution 128", allow_abbrev=False,
    )  # fmt: skip
    added.set_defaults(run=_cache_covers)
    added.add_argument("source", metavar="DIR|NAME", help="train_data_dir or dataset_name for training")
    added.add_argument("--resolution", type=int, default=128, metavar="PIXELS", help="as for training, default 128")
    added.add_argument("--image-column", metavar="NAME", help="column of the pictures; detected by default")
    added.add_argument(
        "--num-workers", type=int, default=cpu_count(), metavar="N", help="processes, default: one per core"
    )


def names(text: str) -> tuple[str, ...]:
    """Option type for names separated by commas."""
    return tuple(name.strip().replace("-", "_") for name in text.split(",") if name.strip())


def _build_covers(args: argparse.Namespace) -> None:
    require("covers", "train", "pyarrow")
    check_folder(args.out)
    from ..covers.build.workers import keep_pandas_out, start_server

    if args.num_workers and not args.cluster:
        start_server()
    keep_pandas_out()
    from ..covers.build.build import BuildConfig, build
    from ..covers.build.cleaning import Cleaning, has_opencv

    resampling = args.resampling
    if resampling == "auto":
        resampling = "cubic" if has_opencv() else "lanczos"
    cleaning = {name: getattr(args, name) for name in ("resolution", "min_size", "max_crop", "quality")}
    config = BuildConfig(
        sources=tuple(args.sources),
        out=args.out,
        cleaning=Cleaning(**cleaning, resampling=resampling, reject=args.reject, allow=args.allow),
        workers=args.num_workers,
        cluster=args.cluster,
        image_column=args.image_column,
        folder_genre=args.folder_genre,
        placeholder_copies=args.placeholder_copies,
        thumbnails=not args.no_thumbnails,
        rights=args.data_rights,
    )
    if args.public and not args.push_to_hub:
        raise ValueError("public needs push_to_hub: add --push-to-hub OWNER/NAME, or leave out --public")
    if args.push_to_hub:
        from ..covers.build.hub_files import check_push, push

        check_push(args.push_to_hub, args.public, args.data_rights)
    summary = build(config)
    print(f"{summary.kept} covers from {summary.pictures} files in {args.out}; reasons in {args.out / 'report.html'}")
    if args.push_to_hub:
        print(f"pushed to {push(args.out, args.push_to_hub, args.public)}")


def _inspect_covers(args: argparse.Namespace) -> None:
    require("covers", "train", "pyarrow")
    if not args.folder.is_dir():
        raise ValueError(f"DIR must be a folder with parquet files, but {args.folder} is not a folder; check its name")
    from ..covers.build.inspect import inspect
    from ..covers.folders import CONTACT_SHEET

    print("\n".join(inspect(args.folder, args.sheet or args.folder / CONTACT_SHEET, args.image_column)))


def _cache_covers(args: argparse.Namespace) -> None:
    require("covers", "train", "pyarrow")
    require("covers cache", "train", "datasets")
    for name, low, high in (("resolution", 16, 1024), ("num_workers", 0, 256)):
        if not low <= getattr(args, name) <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {getattr(args, name)}; try the default")
    from ..covers.dataset import CoverSource, load_covers
    from ..covers.pixel_cache import cache_folder

    place = {"train_data_dir" if Path(args.source).is_dir() else "dataset_name": args.source}
    split = load_covers(CoverSource(**place, image_column=args.image_column, resolution=args.resolution))
    count = 0
    for covers in (split.train, split.held_out):
        if not len(covers.rows):
            continue
        pixels = covers.cache(args.num_workers)
        if pixels is None:
            raise OSError("covers could not be cached, see above; make room, or set ALBUM_GAN_CACHE to another folder")
        count += len(pixels.array)
    folder = cache_folder("pixels")
    print(f"{count} covers decoded at {args.resolution} px in {folder}")
