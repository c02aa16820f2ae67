"""What a push makes public, and what it says when it is refused, with a Hub on this machine."""

import json
import shutil
from urllib.request import Request, urlopen

import pytest
import torch
from loopback import TOKEN, loopback

from album_gan import AlbumCoverPipeline
from album_gan.training.checkpoint import save_checkpoint, snapshot

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with loopback(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def state(hub) -> dict:
    return json.loads(hub.ask("/test/state"))


RIGHTS_OF_NOBODY = """
import sys
from album_gan.cli.main import main
from album_gan.hub.push import open_repository
assert main(["push", sys.argv[1], "--repo-id", "me/unset", "--data-rights", ""]) == 0
open_repository("me/of-a-training", data_rights=" ")
open_repository("me/stated", data_rights="ours")
assert main(["push", sys.argv[1], "--repo-id", "me/stated", "--data-rights", ""]) == 2
"""


def test_empty_rights_make_nothing_public(hub, tiny_model):
    """As from `--data-rights "$RIGHTS"` with the variable unset."""
    code, text = hub.run(RIGHTS_OF_NOBODY, tiny_model)
    assert code == 0, text[-2000:]
    found = state(hub)
    private = {name: found[f"model/me/{name}"]["private"] for name in ("unset", "of-a-training", "stated")}
    assert private == {"unset": True, "of-a-training": True, "stated": False}
    assert "Rights to the data: not stated." in ask_as_owner(hub, "me/unset", "README.md")
    assert "data_rights must be given for me/stated, which is public" in text


def ask_as_owner(hub, repo_id: str, file: str) -> str:
    """A file of a private repository."""
    asked = Request(f"{hub.address}/{repo_id}/resolve/main/{file}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urlopen(asked, timeout=60) as answer:
        return answer.read().decode()


PUSH = """
import sys
from album_gan.cli.main import main
sys.exit(main(["push", *sys.argv[1:], "--data-rights", "ours"]))
"""


def test_a_push_drops_what_is_of_another_model(hub, tiny_model, tmp_path):
    """The record of an earlier push, and metrics from before the model was trained longer."""
    pipe = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu")
    pipe.save_pretrained(tmp_path / "model")
    spaces = {"stlpips-vgg": {"kid": 0.123, "recall": 0.4}}
    measured = {"model": pipe.fingerprint, "samples": 10, "held_out": 9, "subset": None, "spectrum_db": {}}
    (tmp_path / "model" / "evaluation.json").write_text(json.dumps({**measured, "spaces": spaces}))
    (tmp_path / "model" / "training.json").write_text(json.dumps({"recipe": "dcgan"}))
    code, text = hub.run(PUSH, tmp_path / "model", "--repo-id", "me/longer")
    assert (code, "evaluation.json" in text) == (0, False), text
    assert {"training.json", "evaluation.json"} <= set(state(hub)["model/me/longer"]["files"])
    assert "123" in hub.ask("/me/longer/resolve/main/README.md").decode()

    pipe.generator.to_rgb.bias.data += 0.25
    pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "training.json").unlink()
    code, text = hub.run(PUSH, tmp_path / "model", "--repo-id", "me/longer")
    assert code == 0, text
    assert f"evaluation.json is not published, as it measures the model {measured['model']} and this one is" in text
    assert not {"training.json", "evaluation.json"} & set(state(hub)["model/me/longer"]["files"])
    card = hub.ask("/me/longer/resolve/main/README.md").decode()
    assert "Not measured yet: a push publishes the numbers" in card
    assert "model-index" not in card


FOREIGN = """
import sys
from album_gan.hub.push import push
from huggingface_hub import HfApi
files = [("me/bert", "pytorch_model.bin", b"x"), ("me/sd", "model_index.json", b'{"_class_name": "SDPipeline"}')]
for name, file, content in files:
    HfApi().create_repo(name)
    HfApi().upload_file(repo_id=name, path_in_repo=file, path_or_fileobj=content)
    try:
        push(sys.argv[1], name)
    except ValueError as error:
        print(error)
"""


def test_refusals_say_why(hub, refuse, tiny_model, tmp_path):
    pipe = AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu")
    pipe.generator.to_rgb.bias.data -= 0.25  # the Hub does not ask for files that it has
    pipe.save_pretrained(tmp_path / "model")
    refuse("PUT /large", 403, "Storage limit reached")
    code, text = hub.run(PUSH, tmp_path / "model", "--repo-id", "me/large")
    assert (code, text.count("\n")) == (2, 1), text
    assert "me/large keeps its earlier files, as the upload failed; the Hub responds: 403 Storage limit reached" in text
    hub.ask("/test/refuse")

    code, text = hub.run(FOREIGN, tiny_model)
    assert code == 0, text
    for name, file in (("me/bert", "pytorch_model.bin"), ("me/sd", "model_index.json")):
        assert f"a new repository, an empty one or an album_gan model, got {name}, which has {file}; push to" in text

    refuse("POST .*/commit/", 400, "Invalid metadata in README.md")
    code, text = hub.run(PUSH, tiny_model, "--repo-id", "me/metadata")
    assert (code, text.count("\n")) == (2, 1), text
    assert "the Hub responds: 400 Invalid metadata in README.md; correct what it names, then run again" in text


FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n" + PUSH


def test_a_push_that_is_refused_has_copied_and_drawn_nothing(hub, refuse, tiny_model, tmp_path):
    """Where nothing can be written either, the refusal is what is said."""
    refuse("POST /api/repos/create", 403, "Private repository storage limit reached")
    code, text = hub.run(FULL_DISK, tiny_model, "--repo-id", "me/refused")
    assert (code, text.count("\n")) == (2, 1), text
    assert "me/refused cannot be written to; the Hub responds: 403 Private repository storage limit reached" in text


def test_a_damaged_model_makes_no_repository(hub, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    for weights in (tmp_path / "model" / "generator").glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:1000])
    code, text = hub.run(PUSH, tmp_path / "model", "--repo-id", "me/damaged")
    assert (code, "are damaged" in text) == (2, True), text
    assert "model/me/damaged" not in state(hub)


def test_a_source_that_cannot_be_read_is_what_is_named(hub, refuse):
    refuse("GET /api/models/me/source", 500, "Internal Error")
    code, text = hub.run(PUSH, "me/source", "--repo-id", "me/target")
    assert (code, text.count("\n")) == (2, 1), text
    assert "model 'me/source' could not be downloaded; the Hub responds: 500 Internal Error" in text


# In one process, which loads torch once.
PUBLISH = """
import sys
from pathlib import Path
from huggingface_hub import HfApi, snapshot_download
from album_gan.cli.main import main
for kind in ("model", "dataset"):
    for name in ("open", "secret"):
        HfApi().create_repo(f"me/{name}-{kind}", repo_type=kind, private=name == "secret")
for folder in sys.argv[1:]:
    for visibility in ("--data-rights=ours", "--private"):
        repo_id = f"me/from-{Path(folder).name}-{visibility[2:6]}"
        assert main(["push", folder, "--repo-id", repo_id, visibility]) == 0
        print("PUBLISHED")
        for path in Path(snapshot_download(repo_id)).rglob("*"):
            if path.suffix in (".json", ".md"):
                print(path.read_text())
"""


def test_only_repositories_that_all_can_see_are_named(hub, tiny_model, tmp_path):
    """In the card, the record and the checkpoint, also of a private model, which may become public."""
    names = ("open", "secret")
    for name in names:
        folder = shutil.copytree(tiny_model, tmp_path / name)
        settings = {"recipe": "dcgan", "dataset_name": f"me/{name}-dataset", "init_from": f"me/{name}-model"}
        (folder / "training.json").write_text(json.dumps(settings))
        state = {"step": 1, "images": 4, "seconds": 1.0, "config": settings}
        save_checkpoint(folder / "checkpoint-1", snapshot({"a": torch.nn.Linear(2, 2)}, {}), state)
    code, text = hub.run(PUBLISH, *(tmp_path / name for name in names))
    assert code == 0, text[-2000:]
    repositories = text.split("PUBLISHED")[1:]
    for name, published in zip(("open", "open", "secret", "secret"), repositories, strict=True):
        assert '"step": 1' in published
        for kind in ("model", "dataset"):
            assert (f"me/open-{kind}" in published) is (name == "open")
            assert f"me/secret-{kind}" not in published
        assert ("datasets:" in published) is (name == "open")
