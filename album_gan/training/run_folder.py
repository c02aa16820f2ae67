"""The folder of a new or resumed run: claiming it, finding the checkpoint, comparing settings, deleting old runs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..hub.run_checkpoints import checkpoints, fetch_run, latest_checkpoint, read_state
from ..inference.atomic import remove_leftovers
from ..inference.model_store import PIPELINE_FILES, is_hub_id
from .checkpoint import restore_replaced
from .config import TrainingConfig

# Files of a run, which `overwrite` deletes; everything else in the folder belongs to the user.
OURS = (
    "checkpoint-*", "superseded-*", "best", "generator", "upscaler", "discriminator", "samples", "history",
    "model_index.json", "training.json", "log.jsonl", "progress.html",
)  # fmt: skip
NOT_COMPARED = ("resume_from_checkpoint", "output_dir", "overwrite")
LOCK = ".lock"
SECONDS_TO_LET_GO = 10  # data workers hold the lock of a killed run until they notice, which takes up to five


@contextmanager
def claimed(output_dir: Path) -> Iterator[None]:
    """Keep other runs of this machine out of the folder meanwhile; if it is new and stays empty, it is removed again.

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
            f"output_dir {output_dir} is in use by a run that has not ended; wait for it, or choose another output_dir"
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

    A run's folder stands for its newest checkpoint. Raises ValueError if checkpoints exist but none is complete: a new
    run would delete them; OSError if there is nothing of that name.
    """
    named = config.resume_from_checkpoint
    output_dir = Path(config.output_dir)
    restore_replaced(output_dir)
    for folder in (output_dir, output_dir / "history", output_dir / "samples"):
        remove_leftovers(folder)  # of a killed run
    if named is None:
        return None
    if named != "latest" and not Path(named).exists():
        if is_hub_id(named):
            return fetch_run(named, output_dir)
        raise OSError(
            f"resume_from_checkpoint must be latest, a folder or a Hub id, got {named!r}, which is none of them"
        )
    run = output_dir if named == "latest" else Path(named)
    if named != "latest" and not checkpoints(run):
        return run
    found = latest_checkpoint(run)
    if found is None and checkpoints(run):
        raise ValueError(f"no checkpoint in {run} is whole; start afresh in another output_dir, or --overwrite")
    return found


def refuse_to_overwrite(config: TrainingConfig) -> None:
    """Make sure that a new run does not mix with an existing one in its folder.

    Raises ValueError for a folder that holds a run, unless `config.overwrite` is set, or
    `resume_from_checkpoint latest` found no checkpoint in it.
    """
    output_dir = Path(config.output_dir)
    found = _files_of_run(output_dir)
    if found and not config.overwrite and config.resume_from_checkpoint != "latest":
        raise ValueError(
            f"output_dir {output_dir} already holds a run ({found[0].name}); resume it with --resume_from_checkpoint "
            "latest, choose another output_dir, or delete it with --overwrite"
        )


def refuse_another_run(output_dir: Path, record: dict[str, Any]) -> None:
    """ValueError if `output_dir` holds checkpoints of another run than `record`, the one to resume.

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
    for path in _files_of_run(Path(config.output_dir)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _files_of_run(output_dir: Path) -> list[Path]:
    finished = (output_dir / "model_index.json").exists()  # only then are files with such common names the run's
    patterns = (*OURS, *PIPELINE_FILES) if finished else OURS
    return sorted(path for pattern in patterns for path in output_dir.glob(pattern))


def set_aside_newer(output_dir: Path, step: int) -> list[Path]:
    """Rename checkpoints later than `step`, at which a run is resumed, since it now takes another course.

    Otherwise `latest` would find them, and rotation would delete the newly written checkpoints first.
    """
    moved = []
    for folder in checkpoints(output_dir):
        if int(folder.name.rpartition("-")[2]) > step:
            target = folder.with_name(f"superseded-{folder.name}")
            shutil.rmtree(target, ignore_errors=True)
            moved.append(folder.rename(target))
    return moved


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences between a checkpoint's settings and the current ones, a sentence each.

    What `before` lacks is not compared: older checkpoints did not record it, or a push left it out as private.
    Raises ValueError for settings that must not change.
    """
    for name in ("recipe", "resolution"):
        if before.get(name) != now[name]:
            raise ValueError(f"{name} must stay {before.get(name)!r} when a run is resumed, got {now[name]!r}")
    classes = before.get("classes", now["classes"])
    if classes != now["classes"]:
        gone = [name for name in classes if name not in now["classes"]]
        new = [name for name in now["classes"] if name not in classes]
        raise ValueError(
            "label_column must give the same classes when a run is resumed, "
            f"gone: {_listed(gone)}; new: {_listed(new)}; use the run's covers, or start another run with --init_from"
        )
    return [
        f"{name} was {value!r} and is now {now.get(name)!r}"
        for name, value in before.items()
        if name not in NOT_COMPARED and value != now.get(name)
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"
