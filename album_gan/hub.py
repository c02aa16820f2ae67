"""A model as a repository: everything that a page, a lesson, diffusers or another trainer needs, and its card."""

import inspect
import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import __version__ as diffusers_version
from huggingface_hub import EvalResult, HfApi, ModelCardData

from .images import grid
from .pipeline import AlbumCoverPipeline, find_model

# Copied as they are: pipeline.py imports its neighbours, here and there.
PIPELINE_FILES = ("pipeline.py", "latents.py", "words.py", "images.py", "upscaling.py")
COMPONENT_MODULE = "modeling_album_gan"
EXTRAS = ("discriminator", "history", "training.json", "log.jsonl", "evaluation.json")
PACKAGE = Path(__file__).parent


def push(
    model: str,
    repo_id: str,
    private: bool = False,
    data_rights: str | None = None,
    token: str | None = None,
) -> str:
    """Publish a model (bundled, a run's folder, or a Hub id) as `repo_id` on the Hub; returns the address.

    One commit: an interrupted push leaves the repository as it was. Without `data_rights` it stays private, for
    nobody should publish what came of covers without a word on them. Raises ValueError for a malformed id.
    """
    if repo_id.count("/") != 1 or not all(repo_id.split("/")):
        raise ValueError(f"repo_id must be owner/name, got {repo_id!r}; e.g. me/album-covers")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        assemble(model, folder, repo_id, data_rights)
        api.create_repo(repo_id, private=private or data_rights is None, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload album_gan model")
    return str(commit.repo_url)


def assemble(model: str, folder: Path, repo_id: str, data_rights: str | None = None) -> None:
    """Write the repository of a model into an empty folder."""
    source = find_model(model, parts=("generator", *EXTRAS))
    pipe = AlbumCoverPipeline.from_pretrained(source)
    pipe.save_pretrained(folder)
    for name in EXTRAS:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name)
        elif (source / name).exists():
            shutil.copyfile(source / name, folder / name)
    for name in PIPELINE_FILES:
        shutil.copyfile(PACKAGE / name, folder / name)
    network = type(pipe.generator)
    shutil.copyfile(inspect.getsourcefile(network), folder / "generator" / f"{COMPONENT_MODULE}.py")
    index = {
        "_class_name": ["pipeline", type(pipe).__name__],
        "_diffusers_version": diffusers_version,
        "generator": [COMPONENT_MODULE, network.__name__],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    grid(pipe(seeds=range(64), truncation=1.0).images, 8).save(folder / "sheet.png", optimize=True)
    (folder / "README.md").write_text(card(pipe, folder, repo_id, data_rights))


def card(pipe: AlbumCoverPipeline, folder: Path, repo_id: str, data_rights: str | None) -> str:
    """The model card: metadata and text from training.json and, where there is one, evaluation.json of `folder`."""
    record = read_record(folder)
    numbers, results = "Not measured; `album-gan evaluate` does it.", []
    if (folder / "evaluation.json").exists():
        from .evaluation import table

        measured = json.loads((folder / "evaluation.json").read_text())
        numbers = f"```\n{table(measured)}\n```"
        results = [
            EvalResult(
                task_type="unconditional-image-generation",
                dataset_type=record["data"],
                dataset_name="held-out covers",
                metric_type="kid",
                metric_name=f"kernel distance, {space}, {measured['samples']} samples",
                metric_value=round(values["kid"], 4),
            )
            for space, values in measured["spaces"].items()
        ]
    title = repo_id.rpartition("/")[2]
    data = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        license="other",
        tags=["gan", "album-covers", "album-gan"],
        datasets=[record["data"]] if record["data"].count("/") == 1 else None,
        model_name=title if results else None,
        eval_results=results or None,
    )
    text = (PACKAGE / "model_card.md").read_text()
    text = text.format(
        **record,
        title=title,
        repo_id=repo_id,
        fingerprint=pipe.fingerprint,
        parameters=sum(parameter.numel() for parameter in pipe.generator.parameters()) / 1e6,
        resolution=pipe.generator.config.resolution,
        data_rights=data_rights or "not stated",
        numbers=numbers,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def read_record(folder: Path) -> dict[str, Any]:
    """What a card says of a training, out of training.json; zeros where a model came without one."""
    path = folder / "training.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return {
        "recipe": record.get("recipe", "unknown"),
        "covers": record.get("covers", 0),
        "held_out": record.get("held_out", 0),
        "images": record.get("images", 0),
        "steps": record.get("steps", 0),
        "hours": record.get("hours", 0.0),
        "batch": record.get("train_batch_size", 0),
        "hardware": record.get("hardware", "unknown hardware"),
        "data": record.get("data") or public_name(record.get("dataset_name")),
    }


def public_name(dataset_name: str | None) -> str:
    """A data set's name where the world can find it by that name; folders of one's own are not named."""
    if dataset_name and (dataset_name.count("/") == 1 or dataset_name == "synthetic"):
        return dataset_name
    return "a private collection"


def hardware(processes: int) -> str:
    """What this run computes on, in words."""
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads() * processes} CPU cores ({platform.machine()})"
