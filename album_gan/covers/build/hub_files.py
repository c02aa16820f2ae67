"""Data sets on the Hub: their files as a source, and pushing a finished data set."""

import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.constants import HF_HUB_CACHE

from ...hub_errors import explained
from ...inference.atomic import write_atomic
from ...inference.model_store import NO_ROOM_IN_CACHE, check_hub_id, hub_answer, is_hub_id, is_local_error
from ...media.picture_formats import picture_endings
from .data_card import PLACEHOLDER_ID

FILES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".zip", ".parquet", *picture_endings())  # endings that no Hub id has


def hub_files(place: str) -> tuple[str, list[tuple[str, Callable[[], Path]]]]:
    """The commit of the data set `id` or `id@revision`, and its files in order, each with a function to download it.

    Raises ValueError for a place that is no Hub id, OSError if the Hub refuses or cannot be reached.
    """
    repo_id, _, revision = place.partition("@")
    if not is_hub_id(repo_id) or repo_id.lower().endswith(FILES):
        raise ValueError(
            f"source must be a folder, a file, a URL or a Hub id, got {place!r}, and there is no such file or folder; "
            "check the path, and that its drive is connected"
        )
    with explained(f"source {place!r} is neither a folder nor a file here"):
        info = HfApi().dataset_info(repo_id, revision=revision or None)

    def downloading(name: str) -> Callable[[], Path]:
        def download() -> Path:
            failure = f"{name} of {place} is not downloaded"
            try:
                with explained(failure):
                    return Path(hf_hub_download(repo_id, name, repo_type="dataset", revision=info.sha))
            except OSError as error:
                if not is_local_error(error):
                    raise
                reason = os.strerror(error.errno or 0)
                raise OSError(f"{failure}; no download to {HF_HUB_CACHE}: {reason}; {NO_ROOM_IN_CACHE}") from error

        return download

    names = sorted(file.rfilename for file in info.siblings or ())
    return str(info.sha), [(name, downloading(name)) for name in names]


def check_push(repo_id: str, public: bool, rights: str | None) -> None:
    """Check that a data set may be pushed to `repo_id`, so that it is never made public by accident.

    Raises ValueError if not, OSError if the Hub refuses or cannot be reached.
    """
    if public and not rights:
        raise ValueError("public needs data_rights: say who allows these covers to be published; or push as private")
    check_hub_id(repo_id, "push_to_hub")
    try:
        with explained(f"push_to_hub {repo_id!r} cannot be checked"):
            private = HfApi().dataset_info(repo_id).private
    except OSError as error:
        if error.__cause__ and (hub_answer(error.__cause__) or "").startswith("404"):
            return
        raise
    if private and public:
        raise ValueError(
            f"public must be left out, because push_to_hub {repo_id!r} exists and is private, which a push does not "
            "change; push without it, then change the visibility in the data set's settings on the Hub"
        )
    if not private and not public:
        raise ValueError(f"push_to_hub {repo_id!r} is public already; add --public and --data-rights, or another name")


def push(folder: Path, repo_id: str, public: bool) -> str:
    """Upload a built data set, without its candidates and the pictures of its report. Returns its address."""
    with explained(f"push_to_hub {repo_id!r} cannot be written to"):
        api = HfApi()
        address = api.create_repo(repo_id, repo_type="dataset", private=not public, exist_ok=True)
        card = (folder / "README.md").read_text(encoding="utf-8")
        write_atomic(folder / "README.md", card.replace(PLACEHOLDER_ID, repo_id))
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=["README.md", "data/*.parquet"],
            delete_patterns=["data/*.parquet"],
            commit_message="Upload covers",
        )
    return str(address)
