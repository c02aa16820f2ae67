"""A model as a repository: everything that a page, a lesson, diffusers or another trainer needs, and its card."""

import inspect
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers import __version__ as diffusers_version
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from ..inference.atomic import write_atomic
from ..inference.model_store import (
    FP16_WEIGHTS,
    WEIGHTS,
    find_model,
    network_class,
    read_json,
    read_weights,
    to_safetensors,
)
from ..inference.pipeline import AlbumCoverPipeline
from ..inference.pixels import grid
from .model_card import card, public_record
from .run_folder import CHECKPOINT, latest_checkpoint

# Copied as they are: pipeline.py imports its neighbours, here and there.
PIPELINE_FILES = (
    "pipeline.py", "atomic.py", "latents.py", "model_store.py", "pixels.py", "upscaling.py", "word_lists.py",
)  # fmt: skip
EXTRAS = ("discriminator", "history", "training.json", "log.jsonl", "evaluation.json")
# What a push replaces as a whole; other files in the repository are their owner's.
REPLACED = ("generator/*", "upscaler/*", "discriminator/*", "history/*", "checkpoint/*", "log.jsonl", "evaluation.json")
PACKAGE = Path(__file__).parent.parent
# The HTTP library that huggingface_hub uses changes with its version; this is the base of its errors.
HTTPError = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")


def push(
    model: str,
    repo_id: str,
    private: bool = False,
    data_rights: str | None = None,
    token: str | None = None,
) -> str:
    """Publish a model (bundled, a run's folder, or a Hub id) as `repo_id` on the Hub; returns the address.

    All in one commit: an interrupted push leaves the repository as it was, and earlier states stay revisions. Without
    `data_rights` a new repository is private, for nobody should publish what came of covers without a word on them.
    Raises ValueError for a malformed id and for a public repository without `data_rights`, OSError where the Hub
    refuses.
    """
    with explained(repo_id), tempfile.TemporaryDirectory() as temporary:
        api = open_repository(repo_id, private, data_rights, token)
        assemble(model, Path(temporary), repo_id, data_rights)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=temporary,
            commit_message="Upload album_gan model",
            delete_patterns=list(REPLACED),
        )
    return str(commit.repo_url)


def open_repository(
    repo_id: str, private: bool = False, data_rights: str | None = None, token: str | None = None
) -> HfApi:
    """Make the repository if need be. Errors as `push`: a training that is to end in one fails at its start."""
    check_repo_id(repo_id)
    api = HfApi(token=token)
    with explained(repo_id):
        api.create_repo(repo_id, private=private or data_rights is None, exist_ok=True)
        public = not api.repo_info(repo_id).private
    if public and data_rights is None:
        raise ValueError(
            f"data_rights must be given for {repo_id}, which is public; say what may be done with the covers it saw "
            "(--data-rights TEXT), or push to a private repository"
        )
    return api


def check_repo_id(repo_id: str, name: str = "repo_id") -> None:
    """ValueError for what is no owner/name."""
    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise ValueError(f"{name} must be owner/name, got {repo_id!r}; e.g. me/album-covers")


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """What the Hub refuses, and when it does not answer, as OSErrors of one line that say what to do."""
    try:
        yield
    except HTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise OSError(
                f"{repo_id} cannot be written to: the Hub answers {status}; log in with `hf auth login` as one who "
                "may, or set HF_TOKEN to a token that may write"
            ) from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OSError(
            f"{repo_id} cannot be written to: {reason}; what is there stays whole: push again later"
        ) from error


def assemble(model: str, folder: Path, repo_id: str, data_rights: str | None = None) -> AlbumCoverPipeline:
    """Write the repository of a model into an empty folder; returns the pipeline that it holds.

    A run's latest checkpoint goes with it, so that `--resume_from_checkpoint` goes on from the Hub.
    """
    parts = ("generator", "upscaler", "discriminator", "history/*", CHECKPOINT, *EXTRAS[2:])
    source = find_model(model, parts=parts)
    pipe = AlbumCoverPipeline.from_pretrained(source)
    pipe.save_pretrained(folder)
    for name in EXTRAS:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name)
        elif (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    if (folder / "training.json").exists():
        record = public_record(read_json(folder / "training.json"))
        (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    copy_checkpoint(source, folder)

    index = {"_class_name": ["pipeline", type(pipe).__name__], "_diffusers_version": diffusers_version}
    for name in ("generator", "upscaler"):
        if getattr(pipe, name) is not None:
            index[name] = copy_code(type(getattr(pipe, name)), folder / name)
    index["auto_map"] = {"AutoModel": ".".join(index["generator"])}  # for the bare generator
    if (folder / "discriminator").is_dir():
        finish_discriminator(folder / "discriminator")
    for name in PIPELINE_FILES:
        shutil.copyfile(PACKAGE / "inference" / name, folder / name)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    grid(pipe(seeds=range(64), truncation=1.0).images, 8).save(folder / "sheet.png", optimize=True)
    (folder / "README.md").write_text(card(pipe, folder, repo_id, data_rights))
    return pipe


def copy_code(network: type[nn.Module], folder: Path) -> list[str]:
    """Put a network's file beside its weights, as it is; returns [module, class], diffusers' name for it.

    The file keeps its name: diffusers lays the modules of all components of a model into one folder.
    """
    file = Path(inspect.getsourcefile(network))
    shutil.copyfile(file, folder / file.name)
    return [file.stem, network.__name__]


def finish_discriminator(folder: Path) -> None:
    """Both precisions, whichever the model came with, and the code."""
    weights = read_weights(folder)
    write_atomic(folder / WEIGHTS, to_safetensors(weights))
    halves = {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}
    write_atomic(folder / FP16_WEIGHTS, to_safetensors(halves))
    copy_code(network_class(read_json(folder / "config.json").get("_class_name"), "forward"), folder)


def copy_checkpoint(source: Path, folder: Path) -> None:
    """The complete state of training, without places on the machine that trained."""
    state = latest_checkpoint(source) or source / CHECKPOINT
    if (state / "state.json").exists():
        shutil.copytree(state, folder / CHECKPOINT)
        record = read_json(folder / CHECKPOINT / "state.json")
        record["config"] = public_record(record["config"])
        (folder / CHECKPOINT / "state.json").write_text(json.dumps(record, indent=2))
