"""The files of a data set on the Hub, as a source; and a finished data set to the Hub."""

from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

NO_PICTURES = (".md", ".txt", ".json", ".jsonl", ".csv", ".py", ".html", ".gitattributes", ".gitignore", ".yaml", ".gz")


def hub_files(place: str) -> tuple[str, list[tuple[str, Callable[[], Path] | None]]]:
    """The commit of `id` or `id@revision`, and its files with what fetches each; None for what holds no pictures."""
    repo_id, _, revision = place.partition("@")
    try:
        info = HfApi().dataset_info(repo_id, revision=revision or None)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"source {place!r} is no folder, no file, and no data set on the Hub: {reason}") from error

    def fetching(name: str) -> Callable[[], Path] | None:
        if name.lower().endswith(NO_PICTURES) and not name.lower().endswith(".tar.gz"):
            return None
        return lambda: Path(hf_hub_download(repo_id, name, repo_type="dataset", revision=info.sha))

    return info.sha, [(name, fetching(name)) for name in sorted(file.rfilename for file in info.siblings)]


def check_push(repo_id: str, public: bool, rights: str | None) -> None:
    """ValueError unless a data set may be pushed so: never into public view unasked."""
    if public and not rights:
        raise ValueError("public needs data_rights: say who allows these covers to be published; or push them private")
    api = HfApi()
    try:
        private = api.dataset_info(repo_id).private
    except HfHubHTTPError as error:
        if getattr(error.response, "status_code", None) == 404:
            return
        raise ValueError(f"push_to_hub {repo_id!r} does not answer: {error}; check its name and your token") from error
    except (HFValidationError, OSError) as error:
        raise ValueError(f"push_to_hub {repo_id!r} cannot be reached: {error}; check its name") from error
    if not private and not public:
        raise ValueError(f"push_to_hub {repo_id!r} is public already; add --public and --data-rights, or another name")


def push(folder: Path, repo_id: str, public: bool) -> str:
    """Upload a built data set, without its candidates and the pictures of its report. Returns its address."""
    api = HfApi()
    address = api.create_repo(repo_id, repo_type="dataset", private=not public, exist_ok=True)
    api.upload_folder(
        repo_id=repo_id,
        repo_type="dataset",
        folder_path=folder,
        allow_patterns=["README.md", "data/*.parquet"],
        delete_patterns=["data/*.parquet"],
        commit_message="Upload covers",
    )
    return str(address)
