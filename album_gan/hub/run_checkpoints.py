"""Finding and checking a run's checkpoints, locally or on the Hub. `training/` writes them."""

import hashlib
import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

from ..inference.model_store import find_model, refuse_pickles

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1  # of a checkpoint
FIELDS = {  # required in a checkpoint's state.json
    "format_version": (int,), "sha256": (str,), "step": (int,), "images": (int,), "seconds": (int, float),
    "config": (dict,),
}  # fmt: skip
CHECKPOINT = "checkpoint"  # folder of the checkpoint in a Hub repository


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part of a checkpoint. Raises ValueError if it is incomplete, corrupt, too new, or contains a pickle.

    Raises PermissionError if this user may not read it: it may be complete.
    """
    refuse_pickles(folder)
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{folder} is not a complete checkpoint: {error}") from error
    check_state(state, folder)
    if state["format_version"] > FORMAT_VERSION:
        raise ValueError(f"{folder} has format {state['format_version']}; this version reads {FORMAT_VERSION}")
    try:
        found = sha256_of(folder / "state.safetensors")
    except PermissionError:
        raise
    except OSError as error:
        raise ValueError(f"{folder} is not a complete checkpoint: {error}") from error
    if found != state["sha256"]:
        raise ValueError(f"{folder} is corrupt: state.safetensors does not have the SHA-256 of state.json")
    return state


def check_state(state: object, folder: Path) -> None:
    """Raise ValueError, naming the field, for JSON that is not the state of a run."""
    if not isinstance(state, dict):
        raise ValueError(
            f"{folder} is not a complete checkpoint: state.json must be an object, got {type(state).__name__}"
        )
    for name, kinds in FIELDS.items():
        value: Any = state.get(name)
        numeric = isinstance(value, (int, float))
        outside = numeric and not 0 <= value < math.inf
        if outside or isinstance(value, bool) or not isinstance(value, kinds):
            rule = "a number from 0" if numeric or int in kinds else f"a {kinds[0].__name__}"
            shown = repr(value)[:40]
            raise ValueError(f"{folder} is not a complete checkpoint: {name} in state.json must be {rule}, got {shown}")


def checkpoints(output_dir: Path) -> list[Path]:
    """All checkpoints of a run, oldest first."""
    found = [path for path in output_dir.glob("checkpoint-*") if path.name[11:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[11:]))


def latest_checkpoint(output_dir: Path) -> Path | None:
    """The newest complete checkpoint; damaged ones are skipped with a warning."""
    for folder in reversed(checkpoints(output_dir)):
        try:
            read_state(folder)
        except ValueError as error:
            logger.warning("skipped: %s", error)
        else:
            return folder
    return None


def fetch_run(source: str) -> Path:
    """Download a run's checkpoint from the Hub, to resume from, with its log and history; returns the checkpoint.

    Raises OSError if there is none or it cannot be downloaded, ValueError for a folder that `find_model` refuses.
    """
    folder = find_model(source, parts=(CHECKPOINT, "history/*", "log.jsonl"))
    if not (folder / CHECKPOINT / "state.json").exists():
        raise OSError(f"{source} has no checkpoint to resume from; start from its networks with --init_from {source}")
    return folder / CHECKPOINT


def take_log(checkpoint: Path, output_dir: Path) -> None:
    """Copy the log and history of the run that wrote `checkpoint` to `output_dir`, unless it has a log."""
    run = checkpoint.parent
    if (output_dir / "log.jsonl").exists() or not (run / "log.jsonl").exists():
        return
    (output_dir / "history").mkdir(parents=True, exist_ok=True)
    for path in (*(run / "history").glob("*.webp"), run / "log.jsonl"):  # the log last: with it all is there
        shutil.copyfile(path, output_dir / path.relative_to(run))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
