"""`album-gan start`: from a pile of pictures to a monitored training run, step by step.

It only runs other commands, and prints each one first, so that you can run it yourself the next time.
"""

import argparse
import os
import shlex
import subprocess
import sys
import threading
import time
import webbrowser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..covers.recommended_settings import settings_for
from ..media.picture_formats import picture_endings
from ..runtime import DEVICES, choose_device, hardware
from .parser import Parser

if TYPE_CHECKING:
    from ..training.config import TrainingConfig

INTERRUPTED = 130
GENRES = ("auto", "genre")
CHOSEN = {  # options of train that `start` gives itself, and what to use instead
    "train_data_dir": "name the pile",
    "dataset_name": "name the pile; Hub ids of data sets are piles too",
    "output_dir": "use --out",
    "resume_from_checkpoint": "the same command resumes; --overwrite starts again",
}
EPILOG = """Further options are those of album-gan train, e.g. --recipe, --resolution, --max_train_steps.
The same command again resumes what was interrupted.

example: album-gan start my_pile"""


def main(arguments: list[str]) -> int:
    """Build, choose settings, train, show. Returns the exit code; errors as in the two commands."""
    parser = Parser(
        prog="album-gan start", allow_abbrev=False, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Build a data set from a pile of pictures, train on it with suitable settings, and open its page.",
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", metavar="PILE", help="as for covers build: folders, archives, Hub ids")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for covers/ and run/; default: runs/NAME_OF_THE_PILE"
    )
    parser.add_argument(
        "--folder-genre", "--folder_genre", action="store_true", help="folders are genres, as for covers build"
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="duration of training; default: by size and machine")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto (default): a GPU if available")
    parser.add_argument(
        "--dry-run", "--dry_run", action="store_true", help="print what it would do, measure a few steps, and stop"
    )
    parser.add_argument("--no-browser", "--no_browser", action="store_true", help="do not open the run's page")
    args, more = parser.parse_known_args(arguments)
    before = arguments[: arguments.index(args.sources[0])]
    if early := [word for word in before if word.startswith("-") and word in more]:
        raise ValueError(f"options of train must follow the pile, got {early[0]} before {args.sources[0]}; move it")
    for name in CHOSEN.keys() & _given(more):
        raise ValueError(f"{name} must be left to start, which sets it, got --{name}; {CHOSEN[name]}")
    out = args.out or Path("runs") / _name_of(args.sources[0])
    covers, run = out / "covers", out / "run"
    try:
        return _steps(args, more, covers, run)
    except SystemExit as finished:  # after a message about the training's options
        return int(finished.code or 0)
    except KeyboardInterrupt:
        print("interrupted" if args.dry_run else "the same command resumes", file=sys.stderr)
        return INTERRUPTED


def _steps(args: argparse.Namespace, more: list[str], covers: Path, run: Path) -> int:
    from .train import main as train

    # --- 0: refuse what cannot be trained, before the pictures are cleaned
    options, _ = _options(args, more, _rows(covers) or _count(args.sources))
    config = _checked_config(["--train_data_dir", str(covers), *options, "--output_dir", str(run)], run)
    if config.label_column in GENRES and not args.folder_genre and all(map(_holds_only_pictures, args.sources)):
        raise ValueError(
            f"label_column must be a column of labels, got {config.label_column!r}, and the pile has only pictures; "
            "--folder-genre takes the names of their folders, or add a metadata.csv"
        )

    # --- 1: build a clean data set
    build = ["covers", "build", *args.sources, "--out", str(covers)]
    build += ["--folder-genre"] if args.folder_genre else []
    print(
        f"1 of 3: clean the pictures, remove duplicates and broken files\n  album-gan {shlex.join(build)}", flush=True
    )
    if args.dry_run:
        count = _count(args.sources)
        if not count:
            print("\n2 of 3: train; the settings depend on the number of covers, which the first step determines")
            return 0
    else:
        if code := _in_a_process(build):
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            return code
        count = _rows(covers)

    # --- 2: choose settings by size and machine, and train
    options, why = _options(args, more, count)
    words = ["--train_data_dir", str(covers), *options, "--output_dir", str(run)]
    print(f"\n2 of 3: train. {why}\n  album-gan train {shlex.join(words)}", flush=True)
    page = run / "progress.html"
    if args.dry_run:
        print(f"\n3 of 3: open {page}")
        if Path(args.sources[0]).is_dir():
            folders = ["--label_column", "auto"] if args.folder_genre and config.label_column else []  # not yet "genre"
            _describe(["--train_data_dir", args.sources[0], *options, *folders, "--output_dir", str(run)])
        return 0

    # --- 3: open the page, as soon as it exists
    print(f"\n3 of 3: open {page}, which refreshes itself; Ctrl-C stops training and saves a model", flush=True)
    if not args.no_browser and _has_browser():
        threading.Thread(target=_open_when_written, args=(page, time.time()), daemon=True).start()
    resume = [] if config.overwrite else ["--resume_from_checkpoint", "latest"]
    code = train([*words, *resume], "album-gan start")
    if config.overwrite:
        print("resume or train longer: run the same command without --overwrite")
    elif not code:
        longer = "a higher --max_train_steps" if "max_train_steps" in _given(more) else "more --minutes"
        print(f"train longer:    run the same command with {longer}")
    return code


def _checked_config(words: list[str], run: Path) -> "TrainingConfig":
    """The training's settings.

    Raises ValueError for options that are wrong or do not fit the run to resume, SystemExit for unknown ones.
    """
    from ..hub.run_checkpoints import latest_checkpoint
    from ..training.run_folder import refuse_other_networks
    from .train import parse

    _, config, _ = parse(words, "album-gan train")
    if not config.overwrite and (checkpoint := latest_checkpoint(run)):
        refuse_other_networks(checkpoint, config, "with another --out")
    return config


def _in_a_process(command: list[str]) -> int:
    """Run an album-gan command in a subprocess, so that its memory is freed afterwards; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-m", "album_gan", *command])
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal has signalled both processes
        process.wait()
        raise


def _options(args: argparse.Namespace, more: list[str], covers: int) -> tuple[list[str], str]:
    """Training options except folders, and why: recommended ones, unless the user overrides them."""
    device = choose_device(args.device)
    chosen, why = settings_for(covers, hardware(device, 1), device != "cpu")
    given = _given(more)
    fits = {"recipe": "projected", "resolution": chosen["resolution"]}
    changed = [name for name, value in fits.items() if given.get(name, value) != value]
    if "config" in given:
        chosen, why = {}, f"{covers:,} covers, with the settings of {given['config']}."
    elif "init_from" in given or changed:
        kept = ["minutes", "train_batch_size"]
        if changed == ["resolution"] and given["resolution"] in ("256", "512"):
            kept.append("init_from")  # the bundled model grows
        chosen = {name: chosen[name] for name in kept if name in chosen}
        why = f"{covers:,} covers, with your settings."
    if "max_train_steps" in given:
        chosen.pop("minutes", None)
    if args.minutes is not None:
        chosen["minutes"] = f"{args.minutes:g}"
        given.pop("minutes", None)
    if args.device != "auto":
        chosen["device"] = args.device
    words = [word for name, value in chosen.items() if name not in given for word in (f"--{name}", value)]
    return [*words, *more], why


def _given(more: list[str]) -> dict[str, str]:
    """Names and values of options such as ["--resolution", "128"] or ["--resolution=128"]; "" if without value."""
    values = {}
    for word, following in pairwise([*more, ""]):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            values[name.removeprefix("--").replace("-", "_")] = value if equals else following
    return values


def _describe(options: list[str]) -> None:
    """Print a dry run of the training, measured on the uncleaned pictures."""
    from ..training.dry_run import dry_run
    from .train import parse

    _, config, recipe_config = parse(options, "album-gan start")
    for line in dry_run(config, recipe_config):
        print(line, flush=True)


def _name_of(source: str) -> str:
    """A folder name for a pile's results."""
    name = Path(source.rstrip("/\\")).name if "://" not in source else source.rstrip("/").rpartition("/")[2]
    return name.partition(".")[0] or "start"


def _count(sources: list[str]) -> int:
    """Number of picture files in folders, an upper limit of the number of covers; archives are not opened."""
    folders = [Path(source) for source in sources if Path(source).is_dir()]
    return sum(path.suffix.lower() in picture_endings() for folder in folders for path in folder.rglob("*"))


def _holds_only_pictures(source: str) -> bool:
    """Whether a pile is a folder without metadata files, archives or music, where a build would find genres."""
    from ..covers.folders import visible_files

    files = visible_files(Path(source))
    return bool(files) and all(path.suffix.lower() in picture_endings() for path in files)


def _rows(covers: Path) -> int:
    """Number of covers to train on in a data set, which the recommended settings are for."""
    import pyarrow.parquet as parquet

    return sum(parquet.read_metadata(path).num_rows for path in covers.glob("data/train-*.parquet"))


def _has_browser() -> bool:
    """Whether there is a graphical browser: one in the terminal would take it over from the training."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))


def _open_when_written(page: Path, since: float) -> None:
    while not page.exists() or page.stat().st_mtime < since:
        time.sleep(0.2)
    webbrowser.open(page.absolute().as_uri())
