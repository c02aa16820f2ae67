"""Removing private names and paths of the training machine from published settings."""

from pathlib import Path
from typing import Any

from ..inference.model_store import BUNDLED, is_hub_id

PRIVATE = ("train_data_dir", "data_files", "output_dir", "resume_from_checkpoint", "push_to_hub", "hub_model_id")
PRIVATE_COLLECTION = "a private collection"


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """A run's settings (from training.json or a checkpoint), without private ones."""
    public = {name: value for name, value in record.items() if name not in PRIVATE}
    if not is_public_id(public.get("init_from")) and public.get("init_from") not in (None, *BUNDLED):
        public["init_from"] = "a private model"
    name = public.get("dataset_name")
    if isinstance(name, str) and not name.isidentifier():  # a plain word is a builder, such as parquet
        public["dataset_name"] = public_name(name)
    return public


def public_name(dataset_name: str | None) -> str:
    """A data set's name if it is public; folder names are not published."""
    named = is_public_id(dataset_name) or dataset_name == "synthetic"
    return str(dataset_name) if named else PRIVATE_COLLECTION


def is_public_id(name: object) -> bool:
    """Whether a name is a repository on the Hub, and not a local folder."""
    return is_hub_id(name) and not Path(str(name)).exists()
