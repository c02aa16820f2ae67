"""Removing private names and paths of the training machine from published settings."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ..inference.model_store import BUNDLED, hub_http_error, is_hub_id

PRIVATE = ("train_data_dir", "data_files", "output_dir", "resume_from_checkpoint", "push_to_hub", "hub_model_id")
PRIVATE_COLLECTION = "a private collection"


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """A run's settings (from training.json or a checkpoint), without private ones.

    Repositories are named only if the Hub shows them to everybody, whoever may see the model: it may become public.
    """
    public = {name: value for name, value in record.items() if name not in PRIVATE}
    if public.get("init_from") not in (None, *BUNDLED) and not is_shown(public["init_from"], "model"):
        public["init_from"] = "a private model"
    name, data = public.get("dataset_name"), public.get("data")
    if isinstance(name, str) and not name.isidentifier() and not is_shown(name, "dataset"):
        public["dataset_name"] = PRIVATE_COLLECTION  # a plain word is a builder, such as parquet
    if is_hub_name(data) and not is_shown(data, "dataset"):
        public["data"] = PRIVATE_COLLECTION
    return public


def public_name(dataset_name: str | None) -> str:
    """What a card calls the data set of a public record: folders and builders have no name."""
    named = is_hub_name(dataset_name) or dataset_name == "synthetic"
    return str(dataset_name) if named else PRIVATE_COLLECTION


def is_hub_name(name: object) -> bool:
    """Whether a name has the form of a repository on the Hub, and is not a local folder."""
    return is_hub_id(name) and not Path(str(name)).exists()


def is_shown(name: object, repo_type: str) -> bool:
    """Whether the Hub shows a repository without a token; False if it cannot be asked."""
    if not is_hub_name(name):
        return False
    try:
        HfApi(token=False).repo_info(str(name), repo_type=repo_type)
    except (hub_http_error(), OSError, ValueError):
        return False
    return True
