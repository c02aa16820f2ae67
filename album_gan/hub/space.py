"""Publishing the page with a pushed model as a Space on the Hugging Face Hub."""

import importlib
import shutil
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from ..hub_errors import explained
from ..inference.model_store import BUNDLED, FP16_WEIGHTS, WEIGHTS, check_hub_id, find_model
from .model_card import check_card
from .push import temporary_folder

PACKAGE = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns("__pycache__", "pretrained", "export", "space", "*.md", "model_card_by_hand.txt")
INSIDE = "model"  # folder for the weights of a private or gated model, so that its private Space needs no token
SHOWN = (  # beginnings of the files that the page reads; of a discriminator only the float16 weights
    "model_index.json", "history/", "training.json", "log.jsonl",
    "generator/config.json", f"generator/{WEIGHTS}", "upscaler/config.json", f"upscaler/{WEIGHTS}",
    "discriminator/config.json", f"discriminator/{FP16_WEIGHTS}",
)  # fmt: skip


def push_space(space_id: str, repo_id: str) -> str:
    """Publish the page as the Space `space_id`, with the Hub's model `repo_id`; returns its URL.

    A public model is downloaded when the Space is built. For a private or gated model the Space is private and contains
    the weights. Raises ValueError for a malformed id, and for a public Space of a private or gated model; OSError if
    the Hub refuses.
    """
    check_hub_id(space_id, "space")
    api = HfApi()
    with temporary_folder() as folder:
        with explained(f"the model {repo_id} cannot be read"):
            info = api.repo_info(repo_id)
            kind = "private" if info.private else "gated" if info.gated else None
            files = [file for file in api.list_repo_files(repo_id) if file.startswith(SHOWN)]
        with explained(f"{space_id} cannot be written to"):
            api.create_repo(space_id, repo_type="space", space_sdk="gradio", private=bool(kind), exist_ok=True)
            public = not api.repo_info(space_id, repo_type="space").private
        if kind and public:
            raise ValueError(
                f"space must be private, as the model {repo_id} is {kind}, but {space_id} is public; choose another"
            )
        assemble_space(folder, repo_id, [] if kind else files)
        if kind:
            with explained(f"the model {repo_id} cannot be read"):
                snapshot_download(repo_id, local_dir=folder / INSIDE, ignore_patterns=["checkpoint/*", "*.py", ".git*"])
            shutil.rmtree(folder / INSIDE / ".cache", ignore_errors=True)
        with explained(f"{space_id} keeps its earlier files, as the upload failed"):
            commit = api.upload_folder(
                repo_id=space_id,
                repo_type="space",
                folder_path=folder,
                commit_message=f"Show {repo_id}",
                delete_patterns=["album_gan/*", f"{INSIDE}/*"],
            )
        # Only now: the earlier files would not find this model.
        with explained(f"{space_id} has its new files, but its variable ALBUM_GAN_MODEL could not be set"):
            api.add_space_variable(space_id, "ALBUM_GAN_MODEL", INSIDE if kind else repo_id)
    return str(commit.repo_url)


def assemble_space(folder: Path, repo_id: str, preloaded: list[str]) -> None:
    """Write the Space's repository to an empty folder: this package, with the teaching model alone, and app.py.

    The model's files `preloaded` are downloaded when the Space is built.
    """
    [page] = importlib.import_module("album_gan.space").__path__
    shutil.copytree(PACKAGE, folder / "album_gan", ignore=LEFT_OUT)
    shutil.copytree(find_model("teaching"), folder / "album_gan" / BUNDLED["teaching"])
    shutil.copytree(page, folder / "album_gan" / "space", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "requirements.txt"):
        shutil.copyfile(Path(page) / name, folder / name)
    text = (Path(page) / "README.md").read_text(encoding="utf-8")
    front = f"models:\n- {repo_id}\n"
    if preloaded:
        front += f"preload_from_hub:\n- {repo_id} {','.join(preloaded)}\n"
    content = text.replace("\npinned: false\n", f"\npinned: false\n{front}", 1)
    check_card(content)
    (folder / "README.md").write_text(content, encoding="utf-8")
