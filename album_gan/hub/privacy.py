"""What of a training is published: its settings, but neither folders of the machine that trained nor private names."""

from pathlib import Path
from typing import Any

from ..inference.model_store import BUNDLED, is_hub_id

PRIVATE = ("train_data_dir", "data_files", "output_dir", "resume_from_checkpoint", "push_to_hub", "hub_model_id")
PRIVATE_COLLECTION = "a private collection"


def public_record(record: dict[str, Any]) -> dict[str, Any]:
    """A run's settings (training.json, or those in a checkpoint) as they are published."""
    public = {name: value for name, value in record.items() if name not in PRIVATE}
    if not is_public_id(public.get("init_from")) and public.get("init_from") not in (None, *BUNDLED):
        public["init_from"] = "a private model"
    return public


def public_name(dataset_name: str | None) -> str:
    """A data set's name if the world can find it by that name; folders are not named."""
    named = is_public_id(dataset_name) or dataset_name == "synthetic"
    return str(dataset_name) if named else PRIVATE_COLLECTION


def is_public_id(name: object) -> bool:
    """Whether a name is that of a repository on the Hub, and not of a folder here."""
    return is_hub_id(name) and not Path(str(name)).exists()
