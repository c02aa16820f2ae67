"""Building a data set of covers from any pictures: clean each source, then select among all candidates."""

import csv
import gzip
import hashlib
import json
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from ...inference.atomic import remove_leftovers, replace_folder, write_atomic
from ..split import HELD_OUT_SHARE
from . import selection, shards
from .candidates import FORMAT_VERSION, gather
from .cleaning import Cleaning
from .cluster import connect
from .counts import Summary, summarize
from .data_card import data_card
from .report import FOLDER, REMEDIES, report_page
from .sources import Source, open_source

if TYPE_CHECKING:
    import distributed

logger = logging.getLogger(__name__)

WORK = ".candidates"  # in the data set's folder: candidates of the first phase, and downloads
LOCK = ".lock"  # in WORK
BEFORE = "data-before"  # in WORK: the earlier data while new data replace them
SOURCES = ".sources.json"  # in the data set's folder: see `_recorded`
OURS = ("README.md", "data", "files.csv.gz", "report.html")  # of a data set without WORK, which may be deleted
OF_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # in any folder that was looked at
PLACEHOLDER_COPIES = 12


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What to build, and how.

    `sources` as in `open_source`; `workers` is the number of processes, 0 for this one; `cluster` is the address of a
    dask scheduler, to use its workers instead.
    """

    sources: tuple[str, ...]
    out: Path
    cleaning: Cleaning = field(default_factory=Cleaning)
    workers: int = 0
    cluster: str | None = None
    image_column: str | None = None
    folder_genre: bool = False
    placeholder_copies: int = PLACEHOLDER_COPIES
    thumbnails: bool = True
    rights: str | None = None


def build(config: BuildConfig) -> Summary:
    """Build the data set in `config.out`: data/*.parquet, README.md, report.html and files.csv.gz.

    An interrupted build resumes where it stopped; the same sources and settings give the same bytes, except that groups
    keep the names, and so the sides of the split, that they have in `out`. Raises ValueError, before anything is
    changed, if it cannot be built.
    """
    out = config.out
    _check_out(config)
    work = out / WORK
    sources = [
        open_source(place, work / "downloads", config.image_column, config.folder_genre) for place in config.sources
    ]
    names = _unique_names(sources)
    origins = [[source.name, _origin(source, place)] for source, place in zip(sources, config.sources, strict=True)]
    _refuse_to_replace(config.out, names, origins)
    with connect(config.cluster) if config.cluster else nullcontext() as cluster, _claimed(out):
        return _build(config, sources, names, origins, cluster)


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Keep other builds on this machine out of the folder, which is created if missing."""
    (out / WORK).mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / WORK / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"out {out} is in use by another build; wait for it to end, or choose another place") from None
    try:
        yield
    finally:
        lock.release()


def _build(
    config: BuildConfig,
    sources: list[Source],
    names: list[str],
    origins: list[list[str]],
    cluster: "distributed.Client | None",
) -> Summary:
    """`names` and `origins` as of `_unique_names` and `_origin`, of each source."""
    out, work = config.out, config.out / WORK
    # Phase 1: clean each source into shards of candidates.
    folders = []
    for source in sources:
        with tqdm(desc=source.name, unit=" files", disable=None) as bar:
            folders.append(gather(source, work, config.cleaning, config.workers, bar.update, cluster))

    # Phase 2: select among all candidates.
    files = selection.load(folders)
    if not len(files):
        raise ValueError(f"source must hold covers, but {', '.join(names)} contain no files; check the paths")
    choice = selection.choose(files, config.cleaning, config.placeholder_copies)
    # A build that was killed in `replace_folder` leaves the earlier data there.
    data = sorted((out / "data").glob("*.parquet")) or sorted((work / BEFORE).glob("*.parquet"))
    choice.groups = shards.earlier_groups(files, choice, data)
    split = shards.split_of(files, choice)
    summary = summarize(files, choice, names, split)
    if not summary.kept:
        reasons = ", ".join(f"{count} {reason}" for c in summary.files.values() for reason, count in c.most_common(3))
        raise ValueError(f"source must hold covers, but none of {summary.total} files is kept: {reasons}")

    _warn_of_labels(files, summary)
    _warn_of_the_split(files, choice, split)

    unfinished = work / f"data-{_digest(config, folders, names, files, choice)}"
    for folder in (unfinished, out):
        remove_leftovers(folder, hours=0)  # of a killed build
    with tqdm(total=summary.kept, desc="writing", unit=" covers", disable=None) as bar:
        for count in shards.write_covers(files, choice, names, split, unfinished):
            bar.update(count)
    shards.write_list(files, choice, names, out / "files.csv.gz")
    page = report_page(summary, files, choice, config.cleaning, _command(config), config.thumbnails)
    write_atomic(out / "report.html", page.encode("utf-8", "replace"), flush=True)
    filled = [name for name, rows in split.items() if len(rows)]
    card = data_card(summary, config.cleaning, config.rights, filled)
    write_atomic(out / "README.md", card.encode("utf-8", "replace"), flush=True)
    replace_folder(unfinished, out / "data", work / BEFORE)  # the next build mends what a killed one leaves
    write_atomic(out / SOURCES, json.dumps(origins))
    return summary


def _warn_of_labels(files: selection.Candidates, summary: Summary) -> None:
    """Warn if there are labels that could not be read, which lets covers of no class into a data set unnoticed."""
    for row in summary.examples.get("unreadable_labels", ())[:1]:
        first = files.take(np.array([row]), ["name", "detail"]).to_pylist()[0]
        count = sum(outcomes["unreadable_labels"] for outcomes in summary.files.values())
        logger.warning(
            "labels are missing: metadata files that could not be read: %d, the first is %s, %s; %s",
            count, first["name"], first["detail"], REMEDIES["unreadable_labels"],
        )  # fmt: skip


def _warn_of_the_split(files: selection.Candidates, choice: selection.Choice, split: dict[str, np.ndarray]) -> None:
    """Warn if one group has as many covers as are usually held out in all, and if a side of the split has none."""
    kept = np.concatenate([*split.values()])
    groups, first, sizes = np.unique(choice.groups[kept], return_index=True, return_counts=True)
    largest = sizes.argmax()
    if sizes[largest] > max(1, HELD_OUT_SHARE * len(kept)):
        example = files.take(kept[first[largest : largest + 1]], ["name"])["name"][0].as_py()
        logger.warning(
            "%d of %d covers share the group %s, %r for example, so all of them are on one side of the split: they "
            "have the same artist and title, or look alike; if they are different covers, give their artists and "
            "titles in a metadata.csv",
            sizes[largest], len(kept), shards.group_name(groups[largest]), example,
        )  # fmt: skip
    if not len(split["train"]):
        logger.warning("all %d covers are held out, which leaves none to train on; add covers", len(kept))
    if not len(split["test"]):
        logger.warning("none of %d covers is held out, so a model cannot be evaluated; add covers", len(kept))


def _check_out(config: BuildConfig) -> None:
    out = config.out.resolve()
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {config.out}; choose another place")
    others = out.is_dir() and {path.name for path in out.iterdir()} - OF_SYSTEMS
    if others and not (out / WORK).is_dir() and not others.issuperset(OURS):
        raise ValueError(
            f"out must be empty or hold an earlier build, but {config.out} holds something else; choose another"
        )
    if not 0 <= config.workers <= 256:
        raise ValueError(f"num_workers must be from 0 to 256, got {config.workers}; the number of cores is usual")
    if config.placeholder_copies < 0 or config.placeholder_copies == 1:
        raise ValueError(f"placeholder_copies must be 0, or 2 and more, got {config.placeholder_copies}; 12 is usual")
    if not config.sources:
        raise ValueError("source must name at least one source, got none")
    for place in config.sources:
        path = Path(place)
        if not place.startswith(("http://", "https://")) and path.is_dir() and out.is_relative_to(path.resolve()):
            raise ValueError(f"out must not be inside a source, but {config.out} is in {place}; choose another place")


def _origin(source: Source, place: str) -> str:
    """A digest of a source's location, whatever its revision: paths on this machine are private."""
    where = source.place or (place.partition("?")[0] if "://" in place else source.name)
    return hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _refuse_to_replace(out: Path, names: list[str], origins: list[list[str]]) -> None:
    """Raise ValueError if the data set in `out` was built from other sources, even if they have the same names."""
    before = _recorded(out)
    if before and not {name for name, _ in before} & {*names, *(name for name, _ in origins)}:
        raise ValueError(
            f"out must not hold another data set, but {out} was built from {', '.join(name for name, _ in before)}, "
            f"and this build is from {', '.join(names)}; choose another place, or delete {out} first"
        )
    for name, _ in origins:
        then, now = ({origin for other, origin in sources if other == name} for sources in (before, origins))
        if then and "" not in then and not then & now:
            raise ValueError(
                f"out must not hold another data set, but {out} was built from another {name}; choose another place "
                f"with --out, or, if it is the same and was moved, delete {out / SOURCES}"
            )


def _recorded(out: Path) -> list[list[str]]:
    """Name and `_origin` of each source of the data set in `out`, if any. Earlier versions recorded only names."""
    if (out / SOURCES).exists():
        return json.loads((out / SOURCES).read_text(encoding="utf-8"))
    if (out / WORK / "sources.json").exists():
        return [[name, ""] for name in json.loads((out / WORK / "sources.json").read_text(encoding="utf-8"))]
    if not (out / "data").is_dir() or not (out / "files.csv.gz").exists():
        return []
    with gzip.open(out / "files.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [[name, ""] for name in sorted({row["source"] for row in csv.DictReader(file)})]


def _command(config: BuildConfig) -> str:
    """The command for this build, without its other settings and without this machine's folders."""
    return shlex.join(["album-gan", "covers", "build", *map(_shown, config.sources), "--out", FOLDER])


def _shown(place: str) -> str:
    """A source as typed, or only its last part if the rest may reveal this machine's folders or a key."""
    return Path(place).name if Path(place).is_absolute() or "://" in place else place


def _unique_names(sources: list[Source]) -> list[str]:
    """The sources' names, numbered if two are the same."""
    names: list[str] = []
    for source in sources:
        name, number = source.name, 1
        while name in names:
            number += 1
            name = f"{source.name} ({number})"
        names.append(name)
    return names


def _digest(
    config: BuildConfig, folders: list[Path], names: list[str], files: selection.Candidates, choice: selection.Choice
) -> str:
    # They change with what of a source could be read, and with the earlier build.
    contents = hashlib.sha256(files.digests.tobytes() + choice.groups.tobytes()).hexdigest()
    key = [FORMAT_VERSION, [folder.name for folder in folders], names, asdict(config.cleaning), contents]
    return hashlib.sha256(json.dumps([*key, config.placeholder_copies]).encode()).hexdigest()[:16]
