"""The page goes to a Space that starts: with a public model's name, or with a private model inside."""

import json
import os
import re
import sys
import urllib.request
from importlib.util import find_spec

import pytest
from loopback import ROOT, loopback
from serving import free_port, page_of

from album_gan.hub.space import assemble_space

TEACHING = "album_gan/pretrained/teaching"
FETCH = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="space", local_dir=sys.argv[2])
"""
PUSH_BOTH = """
import sys
from album_gan.cli.main import main
assert main(["push", sys.argv[1], "--repo-id", "me/open", "--data-rights", "ours", "--space", "me/open-page"]) == 0
assert main(["push", sys.argv[1], "--repo-id", "me/secret", "--space", "me/secret-page"]) == 0
assert main(["push", sys.argv[1], "--repo-id", "me/secret", "--space", "me/open-page"]) == 2
assert main(["push", sys.argv[1], "--repo-id", "me/new", "--space", "nonsense"]) == 2
"""


@pytest.fixture(scope="module")
def hub(tiny_model, tmp_path_factory):
    with loopback(tmp_path_factory.mktemp("spaces")) as hub:
        code, hub.said = hub.run(PUSH_BOTH, tiny_model)
        assert code == 0, hub.said
        hub.state = json.loads(hub.ask("/test/state"))
        yield hub


def test_a_public_model_is_fetched_when_the_space_is_built(hub):
    space = hub.state["space/me/open-page"]
    assert not space["private"]
    assert space["variables"] == {"ALBUM_GAN_MODEL": "me/open"}
    weights = [file for file in space["files"] if file.endswith(".safetensors")]
    assert {file.rpartition("/")[0] for file in weights} == {f"{TEACHING}/generator", f"{TEACHING}/discriminator"}
    readme = hub.ask("/spaces/me/open-page/resolve/main/README.md").decode()
    preloaded = readme.partition("preload_from_hub:\n- me/open ")[2].partition("\n")[0].split(",")
    assert {"model_index.json", "generator/config.json"} <= set(preloaded)
    assert "generator/diffusion_pytorch_model.safetensors" in preloaded
    assert not [file for file in preloaded if file.startswith("checkpoint/")]
    assert "generator/diffusion_pytorch_model.fp16.safetensors" not in preloaded
    assert "discriminator/diffusion_pytorch_model.safetensors" not in preloaded  # the page reads the smaller file
    assert readme.startswith("---\n")
    assert "sdk: gradio" in readme.split("---")[1]


def test_a_private_model_lies_inside_a_private_space(hub):
    space = hub.state["space/me/secret-page"]
    assert space["private"]
    assert space["variables"] == {"ALBUM_GAN_MODEL": "model"}
    assert "model/generator/diffusion_pytorch_model.safetensors" in space["files"]
    assert not [file for file in space["files"] if "/.cache/" in file]
    assert {file.split("/")[2] for file in space["files"] if file.startswith("album_gan/pretrained/")} == {"teaching"}
    assert "space must be private, as the model me/secret is private, but me/open-page is public" in hub.said
    assert "space must be owner/name, got 'nonsense'" in hub.said
    assert "model/me/new" not in hub.state


GATED = """
import sys
from huggingface_hub import HfApi
from album_gan.cli.main import main
push = ["push", sys.argv[1], "--repo-id", "me/gated", "--data-rights", "ours"]
assert main(push) == 0
HfApi().update_repo_settings("me/gated", gated="auto")
assert main([*push, "--space", "me/gated-page"]) == 0
"""


def test_a_gated_model_lies_inside_a_private_space(hub, tiny_model):
    """A public Space without a token could not download it."""
    code, text = hub.run(GATED, tiny_model)
    assert code == 0, text
    space = json.loads(hub.ask("/test/state"))["space/me/gated-page"]
    assert space["private"]
    assert space["variables"] == {"ALBUM_GAN_MODEL": "model"}
    assert "model/generator/diffusion_pytorch_model.safetensors" in space["files"]


AGAIN = "import sys; from album_gan.cli.main import main; sys.exit(main(['push', *sys.argv[1:]]))"


def test_an_upload_that_fails_leaves_the_space_as_it_was(hub, refuse, tiny_model):
    """With the variable that its files need."""
    before = json.loads(hub.ask("/test/state"))["space/me/secret-page"]
    words = (tiny_model, "--repo-id", "me/open", "--data-rights", "ours", "--space", "me/secret-page")
    refuse("POST /api/spaces/me/secret-page/commit", 403, "Storage limit reached")
    code, text = hub.run(AGAIN, *words)
    assert code == 2
    assert "me/secret-page keeps its earlier files, as the upload failed; the Hub responds: 403 Storage limit" in text
    assert json.loads(hub.ask("/test/state"))["space/me/secret-page"] == before


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs the extra demo")
def test_the_space_starts_with_what_is_in_it(hub, tmp_path):
    """As on the Hub: app.py in its own folder, this checkout out of reach, no internet."""
    code, text = hub.run(FETCH, "me/secret-page", tmp_path / "space")
    assert code == 0, text
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "ALBUM_GAN_MODEL": "model",
        "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1",
        "GRADIO_TEMP_DIR": str(tmp_path / "files"),
    }  # fmt: skip
    where = "import runpy, album_gan; print('FROM', album_gan.__file__); runpy.run_path('app.py', run_name='__main__')"
    with page_of([sys.executable, "-c", where], environment, tmp_path / "space") as printed:
        assert f"FROM {tmp_path / 'space' / 'album_gan'}" in printed[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"Album GAN" in page.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/learn/models.json", timeout=30) as answer:
            trained = [model["name"] for model in json.load(answer)["models"] if model["trained"]]
        assert trained == ["page", "teaching"]
        for name in trained:
            layers = f"http://127.0.0.1:{port}/learn/layers.json?model={name}"
            with urllib.request.urlopen(layers, timeout=60) as answer:
                assert json.load(answer)["steps"]


def test_versions_are_the_tested_ones(tmp_path):
    tested = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assemble_space(tmp_path, "me/covers", ["model_index.json"])
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (tmp_path / "requirements.txt").read_text(), re.MULTILINE))
    assert {name: tested[name] for name in pinned} == pinned
    needed = re.search(r"dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)[1]
    names = {name.replace("-", "_") for name in re.findall(r'"([\w-]+)', needed)}
    assert names <= {name.replace("-", "_") for name in pinned}
    assert f"sdk_version: {tested['gradio']}" in (tmp_path / "README.md").read_text()
    assert os.listdir(tmp_path / "album_gan" / "pretrained") == ["teaching"]
