"""The folder of a new or resumed run: claiming it, finding the checkpoint, comparing settings, deleting old runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..hub.run_checkpoints import checkpoints, fetch_run, latest_checkpoint, read_state
from ..inference.atomic import remove_leftovers
from ..inference.model_store import PIPELINE_FILES, is_hub_id
from .checkpoint import tidy_up
from .config import TrainingConfig
from .distributed import is_first_process

OF_A_MODEL = (
    "model_index.json", "training.json",
    *(f"{network}/{file}" for network in ("generator", "upscaler", "discriminator")
      for file in ("config.json", "*.safetensors", "*.py")),
)  # fmt: skip
BESTS = ("best", "superseded-best", "superseded-best-[0-9]*")
# Files of a run, which `overwrite` deletes; everything else in the folder belongs to the user.
OURS = (
    "log.jsonl", "progress.html", "history/[0-9]*.webp", "samples/[0-9]*.png",
    *(f"samples/{name}.png" for name in ("before", "now", "nearest")),
    *(f"{folder}/state.{ending}" for folder in ("checkpoint-[0-9]*", "superseded-checkpoint-[0-9]*", *BESTS)
      for ending in ("json", "safetensors")),
    *OF_A_MODEL, *(f"{best}/{name}" for best in BESTS for name in OF_A_MODEL),
    "album_gan/events.out.tfevents.*", "album_gan/*/events.out.tfevents.*", "album_gan/*/hparams.yml",
)  # fmt: skip
# Folders of a run. They are refused where there is no run, whatever is in them: some are replaced as a whole.
FOLDERS = ("best", "checkpoint-*", "superseded-*", "generator", "upscaler", "discriminator", "samples", "history")
SIGNS_OF_A_RUN = ("log.jsonl", "progress.html", "training.json", "checkpoint-*/state.json")
NOT_COMPARED = ("resume_from_checkpoint", "output_dir", "overwrite")
LOCK = ".lock"
SECONDS_TO_LET_GO = 10  # data workers hold the lock of a killed run until they notice, which takes up to five


@contextmanager
def claimed(output_dir: Path) -> Iterator[None]:
    """Keep other runs on this machine out of the folder; if it is new and stays empty, it is removed again.

    Raises ValueError if another run has it or no folder can be made there, NotADirectoryError for a file.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise NotADirectoryError(f"output_dir must be a folder, {output_dir} is a file; choose another")
    new = [folder for folder in (output_dir, *output_dir.parents) if not folder.exists()]
    lock = FileLock(output_dir / LOCK, timeout=SECONDS_TO_LET_GO)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"output_dir {output_dir} is in use by another run; wait for it to end, or choose another output_dir"
        ) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise ValueError(
            f"output_dir must be a folder that you may write to, got {output_dir} ({reason}); choose another"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (output_dir / LOCK).unlink()
        lock.release()
        with suppress(OSError):  # not empty
            for folder in new:
                folder.rmdir()


def find_checkpoint(config: TrainingConfig) -> Path | None:
    """The checkpoint to resume from, None for a new run. A named one is not checked here, but by `read_state`.

    A run's folder means its newest checkpoint, as a Hub id does, unless `output_dir` holds a later one of that run: the
    same command resumes after every interruption. A run that ended before its first checkpoint resumes from best/.
    Raises ValueError if checkpoints exist but none is complete: a new run would delete them; OSError if nothing has
    that name.
    """
    named = config.resume_from_checkpoint
    output_dir = Path(config.output_dir)
    refuse_foreign_files(output_dir)
    if is_first_process():  # which has claimed the folder
        tidy_up(output_dir)
        for folder in (output_dir, output_dir / "history", output_dir / "samples"):
            remove_leftovers(folder)  # of a killed run
    if named is None:
        return None
    if named != "latest" and not Path(named).exists():
        if is_hub_id(named):
            try:
                return _later(latest_checkpoint(output_dir), fetch_run(named))
            except OSError as error:
                raise OSError(f"resume_from_checkpoint {named!r} is not a folder, and as a Hub id: {error}") from error
        raise OSError(
            f"resume_from_checkpoint must be latest, a folder or a Hub id, got {named!r}, which is none of these"
        )
    run = output_dir if named == "latest" else Path(named)
    if not checkpoints(run):
        found = _best_of_an_unfinished(run)
        if found is None:
            return None if named == "latest" else run
    elif (found := latest_checkpoint(run)) is None:
        raise ValueError(
            f"no checkpoint in {run} is complete; start a new run in another output_dir, or replace this one with "
            "--overwrite alone"
        )
    return found if run == output_dir else _later(latest_checkpoint(output_dir), found)


def _best_of_an_unfinished(run: Path) -> Path | None:
    """The run's best/ if it has no later model; None for that of step 0, which has learned nothing."""
    with suppress(ValueError):  # none there, or damaged
        if read_state(run / "best")["step"] > 0 and not (run / "model_index.json").exists():
            return run / "best"
    return None


def _later(ours: Path | None, named: Path) -> Path:
    """The checkpoint in `output_dir`, `ours`, if it is a later one of the same run; else the named one."""
    if ours:
        own, other = read_state(ours), read_state(named)
        if own.get("run_id") == other.get("run_id") is not None and own["step"] > other["step"]:
            return ours
    return named


def refuse_foreign_files(output_dir: Path) -> None:
    """Raise ValueError if `output_dir` has files or folders named like a run's, but no run: they are the user's.

    A run replaces best/ and checkpoints completely.
    """
    folders = [path for name in FOLDERS for path in output_dir.glob(name) if path.is_dir() and any(path.iterdir())]
    found = folders + _run_files(output_dir)
    if found and not _sign_of_a_run(output_dir):
        raise ValueError(
            f"output_dir must be new, empty or a run's, {output_dir} holds {found[0].relative_to(output_dir)}, which "
            "is not from a run and would be replaced; choose another output_dir"
        )


def refuse_to_overwrite(config: TrainingConfig) -> None:
    """Make sure that a new run does not mix with an existing one in its folder, nor with the covers.

    Raises ValueError for a folder that holds a run, unless `config.overwrite` is set, or
    `resume_from_checkpoint latest` found neither a checkpoint nor a model in it; and for one that equals, contains or
    is inside `train_data_dir`.
    """
    output_dir = Path(config.output_dir)
    if config.train_data_dir:
        covers, run = Path(config.train_data_dir).resolve(), output_dir.resolve()
        if covers.is_relative_to(run) or run.is_relative_to(covers):
            raise ValueError(
                f"output_dir must be separate from train_data_dir {config.train_data_dir}, else samples become covers "
                f"and --overwrite could delete covers; got {output_dir}, choose another"
            )
    resuming = config.resume_from_checkpoint == "latest"
    if resuming and (output_dir / "model_index.json").exists():
        raise ValueError(
            f"output_dir {output_dir} holds a model, but no checkpoint to resume from; choose another output_dir, "
            f"where --init_from {output_dir} trains it further, or replace it with --overwrite alone"
        )
    sign = _sign_of_a_run(output_dir)
    if sign and not config.overwrite and not resuming:
        raise ValueError(
            f"output_dir {output_dir} already holds a run ({sign.relative_to(output_dir)}); resume it with "
            "--resume_from_checkpoint latest, choose another output_dir, or delete it with --overwrite"
        )


def refuse_another_run(output_dir: Path, record: dict[str, Any]) -> None:
    """Raise ValueError if `output_dir` holds checkpoints of another run than `record`, the one to resume.

    Their logs would mix, and `checkpoints_total_limit` would delete the other run's checkpoints. Old checkpoints
    without a run id count as the same run.
    """
    newest = latest_checkpoint(output_dir)
    other = newest and read_state(newest).get("run_id")
    if other and record.get("run_id") not in (None, other):
        raise ValueError(
            f"output_dir {output_dir} holds another run than the checkpoint to resume from; choose another output_dir"
        )


def clear_folder(config: TrainingConfig) -> None:
    """Delete the run in `output_dir`, and nothing else there."""
    output_dir = Path(config.output_dir)
    if not _sign_of_a_run(output_dir):
        return
    files = _run_files(output_dir)
    for path in files:
        path.unlink()
    folders = {folder for path in files for folder in path.parents if folder.is_relative_to(output_dir)}
    for folder in sorted(folders - {output_dir}, reverse=True):  # inner ones first
        with suppress(OSError):  # holds files of the user
            folder.rmdir()


def _sign_of_a_run(output_dir: Path) -> Path | None:
    return next((found for sign in SIGNS_OF_A_RUN for found in output_dir.glob(sign)), None)


def _run_files(output_dir: Path) -> list[Path]:
    """Files with the names of a run's."""
    patterns = list(OURS)
    for folder in (output_dir, *(folder for best in BESTS for folder in output_dir.glob(best))):
        if (folder / "model_index.json").exists():  # else files with such common names are the user's
            patterns += [(folder / name).relative_to(output_dir).as_posix() for name in PIPELINE_FILES]
    return sorted(path for pattern in patterns for path in output_dir.glob(pattern) if path.is_file())


def set_aside_newer(output_dir: Path, step: int) -> list[Path]:
    """Rename checkpoints later than `step`, at which a run is resumed, because the run now diverges from them.

    Otherwise `latest` would find them, and rotation would delete the newly written checkpoints first. The same for a
    later best/, which the first evaluation would replace, even by a worse model. Those set aside earlier stay.
    """
    later = [folder for folder in checkpoints(output_dir) if int(folder.name.rpartition("-")[2]) > step]
    best = output_dir / "best"
    with suppress(ValueError):  # none there, or damaged
        if read_state(best)["step"] > step:
            later.append(best)
    moved = []
    for folder in later:
        name = f"superseded-{folder.name}"
        targets = (folder.with_name(name if number == 1 else f"{name}-{number}") for number in count(1))
        moved.append(folder.rename(next(target for target in targets if not target.exists())))
    return moved


def refuse_other_networks(checkpoint: Path, config: TrainingConfig, another: str = "in another output_dir") -> None:
    """ValueError, before covers are decoded, if `config` has another recipe or resolution than the checkpoint.

    `another` says where to start another run.
    """
    before = read_state(checkpoint)["config"]
    for name in ("recipe", "resolution"):
        if before.get(name) != (value := getattr(config, name)):
            raise ValueError(
                f"{name} must stay {before.get(name)!r}, as in the run that is resumed, got {value!r}; "
                f"start another run {another}"
            )


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences between a checkpoint's settings and the current ones, a sentence each.

    What `before` lacks is not compared: older checkpoints did not record it, or a push left it out as private.
    Raises ValueError for other classes.
    """
    classes = before.get("classes", now["classes"])
    if classes != now["classes"]:
        gone = [name for name in classes if name not in now["classes"]]
        new = [name for name in now["classes"] if name not in classes]
        raise ValueError(
            "label_column must give the same classes when a run is resumed, "
            f"gone: {_listed(gone)}; new: {_listed(new)}; use the run's covers, or start another run with --init_from"
        )
    before, now = ({name: value for name, value in _flat(one) if name not in NOT_COMPARED} for one in (before, now))
    changed = [name for name, value in before.items() if value != now.get(name)]
    if "train_batch_size" in changed and "batch_size" in changed:
        changed.remove("batch_size")  # follows from it
    return [f"{name} was {before[name]!r} and is now {now.get(name)!r}" for name in changed]


def _flat(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by name, those of a recipe as recipe.name."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            yield name, value


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"
