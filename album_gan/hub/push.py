"""Publishing a model as a Hub repository, with everything that the page, the lesson, diffusers and training need."""

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi

from ..hub_errors import explained
from ..inference.atomic import NO_SPACE
from ..inference.model_store import (
    check_hub_id,
    find_model,
    network_class,
    read_json,
    read_weights,
    write_code,
    write_weights,
)
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.pixels import grid
from .model_card import card, stated
from .privacy import public_record
from .run_checkpoints import CHECKPOINT, latest_checkpoint

logger = logging.getLogger(__name__)

EXTRAS = ("discriminator", "history", "training.json", "log.jsonl", "evaluation.json")
PARTS = ("generator", "upscaler", "discriminator", "history/*", CHECKPOINT, *EXTRAS[2:])
INDEX = "model_index.json"
LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")
LEFTOVERS = shutil.ignore_patterns(".*.tmp")  # of killed writers
# Files that a push replaces; others in the repository belong to the owner.
REPLACED = (
    "generator/*", "upscaler/*", "discriminator/*", "history/*", "checkpoint/*", "training.json", "log.jsonl",
    "evaluation.json",
    "words.py", "images.py", "model_files.py",  # imports of older versions of pipeline.py
)  # fmt: skip


def push(
    model: str,
    repo_id: str,
    private: bool = False,
    data_rights: str | None = None,
    license: str | None = None,
) -> str:
    """Publish a model (bundled, a run's folder, or a Hub id) as `repo_id` on the Hub; returns its URL.

    Everything is one commit: an interrupted push leaves the repository unchanged, and earlier states remain as
    revisions. Without `data_rights`, or with empty ones, a new repository is private: a model should not be published
    without a statement on the rights to its training covers. `license` is that of the weights, by its id on the Hub;
    without it the card grants none. Raises ValueError for a malformed id or licence, for a public repository with
    `private` or without `data_rights`, and for one that holds something else; OSError if the Hub refuses or there is no
    room to assemble the files.
    """
    check_request(repo_id, license)
    source = find_model(model, parts=PARTS)
    AlbumCoverPipeline.from_pretrained(source, device="cpu")  # before a repository is made for it
    api = open_repository(repo_id, private, data_rights, license)
    with temporary_folder() as temporary:
        assemble(source, temporary, repo_id, data_rights, license)
        with explained(f"{repo_id} keeps its earlier files, as the upload failed"):
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=temporary,
                commit_message="Upload album_gan model",
                delete_patterns=list(REPLACED),
            )
    return str(commit.repo_url)


def open_repository(
    repo_id: str,
    private: bool = False,
    data_rights: str | None = None,
    license: str | None = None,
) -> HfApi:
    """Create the repository if it is missing. Errors as in `push`; training that ends with a push calls this first."""
    check_request(repo_id, license)
    api = HfApi()
    with explained(f"{repo_id} cannot be written to"):
        api.create_repo(repo_id, private=private or not stated(data_rights), exist_ok=True)
        found = api.model_info(repo_id)
        files = {file.rfilename for file in found.siblings or ()} - {"README.md", "LICENSE", ".gitattributes"}
        index = read_json(Path(api.hf_hub_download(repo_id, INDEX))) if INDEX in files else {}
    public = not found.private
    if files and AlbumCoverPipeline.__name__ not in str(index.get("_class_name")):
        raise ValueError(
            f"repo_id must be a new repository, an empty one or an album_gan model, got {repo_id}, which has "
            f"{min(files)}; push to another one"
        )
    if public and private:
        raise ValueError(
            f"private must not be set for {repo_id}, which is public; make it private in its settings on the Hub, or "
            "push to another repository"
        )
    if public and not stated(data_rights):
        raise ValueError(
            f"data_rights must be given for {repo_id}, which is public; state the rights to its training covers "
            "(--data-rights TEXT), or push to a private repository"
        )
    return api


def check_request(repo_id: str, license: str | None) -> None:
    """Raise ValueError for a malformed id or licence."""
    check_hub_id(repo_id)
    if license is not None and not LICENSE_ID.fullmatch(license):
        raise ValueError(
            f"license must be an id from hf.co/docs/hub/repositories-licenses, got {license!r}; e.g. cc0-1.0"
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder, deleted afterwards; if its disk is full, raises an OSError that names it."""
    try:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise OSError(
            f"the files to publish could not be written to {tempfile.gettempdir()}: {os.strerror(error.errno or 0)}; "
            "make room there, or set TMPDIR to another folder"
        ) from error


def assemble(
    model: str | Path, folder: Path, repo_id: str, data_rights: str | None = None, license: str | None = None
) -> AlbumCoverPipeline:
    """Write a model's repository to an empty folder; returns its pipeline.

    A run's latest checkpoint is included, so that `--resume_from_checkpoint` can resume from the Hub. The metrics in
    evaluation.json are left out, with a warning, if they were measured on other weights.
    """
    source = find_model(model, parts=PARTS)
    pipe = AlbumCoverPipeline.from_pretrained(source, device="cpu")
    pipe.save_pretrained(folder)
    for name in EXTRAS:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, ignore=LEFTOVERS)
        elif (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    drop_foreign_evaluation(folder / "evaluation.json", pipe.fingerprint)
    if (folder / "training.json").exists():
        record = public_record(read_json(folder / "training.json"))
        (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    copy_checkpoint(source, folder)

    if (folder / "discriminator").is_dir():
        finish_discriminator(folder / "discriminator")
    grid(pipe(seeds=range(64), truncation=1.0).images, 8).save(folder / "sheet.png", optimize=True)
    (folder / "README.md").write_text(card(pipe, folder, repo_id, data_rights, license), encoding="utf-8")
    return pipe


def drop_foreign_evaluation(file: Path, fingerprint: str) -> None:
    """Delete the metrics of another model, such as of the same run before it was trained longer, and log a warning."""
    if file.exists() and (measured := read_json(file).get("model")) != fingerprint:
        file.unlink()
        logger.warning(
            "evaluation.json is not published, as it measures the model %s and this one is %s; evaluate this one with "
            "`album-gan evaluate --model FOLDER --out FOLDER/evaluation.json`, then push again", measured, fingerprint
        )  # fmt: skip


def finish_discriminator(folder: Path) -> None:
    """Add the weights in the missing precision, and the code."""
    write_weights(folder, read_weights(folder))
    write_code(network_class(read_json(folder / "config.json").get("_class_name"), "forward"), folder)


def copy_checkpoint(source: Path, folder: Path) -> None:
    """Copy the complete training state, without paths of the training machine."""
    state = latest_checkpoint(source) or source / CHECKPOINT
    if (state / "state.json").exists():
        shutil.copytree(state, folder / CHECKPOINT)
        record = read_json(folder / CHECKPOINT / "state.json")
        record["config"] = public_record(record["config"])
        (folder / CHECKPOINT / "state.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
