"""What is downloaded of a model on the Hub, and what is said if it cannot be, with a Hub on this machine."""

import pytest
from loopback import CLI, loopback

pytestmark = pytest.mark.long

PUSH = "import sys; from album_gan.hub.push import push; push(*sys.argv[1:], data_rights='drawn by the tests')"
LOAD = """
import sys
from album_gan import AlbumCoverPipeline
for repo in sys.argv[1:]:
    try:
        print("LOADED", AlbumCoverPipeline.from_pretrained(repo, device="cpu").fingerprint)
    except OSError as error:
        print("SAID", error)
"""
ONLY_FP16 = """
from huggingface_hub import HfApi, hf_hub_download
api = HfApi()
api.create_repo("me/half")
for name in ("model_index.json", "generator/config.json", "generator/diffusion_pytorch_model.fp16.safetensors"):
    api.upload_file(path_or_fileobj=hf_hub_download("me/covers", name), path_in_repo=name, repo_id="me/half")
"""


@pytest.fixture(scope="module")
def hub(tiny_model, tmp_path_factory):
    """A Hub with me/covers in both precisions, and me/half in float16."""
    with loopback(tmp_path_factory.mktemp("hub")) as hub:
        for code, *arguments in ((PUSH, tiny_model, "me/covers"), (ONLY_FP16,)):
            code, text = hub.run(code, *arguments)
            assert code == 0, text
        yield hub


def load(hub, *repos: str, **environment: str) -> list[str]:
    code, text = hub.run(LOAD, *repos, **environment)
    assert code == 0, text
    return [line for line in text.splitlines() if line.startswith(("LOADED", "SAID"))]


def test_one_file_of_weights_is_downloaded(hub, tiny_pipeline):
    """Float32, or float16 where there is nothing else."""
    assert load(hub, "me/covers", "me/half", home="one") == [f"LOADED {tiny_pipeline.fingerprint}"] * 2
    names = [(file.parts[-5], file.name) for file in (hub.folder / "one").rglob("generator/*.safetensors")]
    assert sorted(names) == [
        ("models--me--covers", "diffusion_pytorch_model.safetensors"),
        ("models--me--half", "diffusion_pytorch_model.fp16.safetensors"),
    ]


def test_a_connection_that_breaks_off_leaves_the_cached_model(hub, refuse, tiny_pipeline):
    loaded = load(hub, "me/covers", home="cached")
    refuse(".*", 0)
    assert load(hub, "me/covers", home="cached") == loaded == [f"LOADED {tiny_pipeline.fingerprint}"]
    [said] = load(hub, "me/covers", home="empty")
    assert "'me/covers' is neither a folder here nor in the cache, and the Hub cannot be reached" in said
    hub.ask("/test/refuse")
    refuse("/resolve/.*/generator/", 0)  # in the middle of a download
    [said] = load(hub, "me/covers", home="half")
    assert "'me/covers' is neither a folder here nor in the cache, and the Hub cannot be reached" in said


@pytest.mark.slow
def test_a_cached_model_without_history_is_exported_offline(hub, refuse):
    load(hub, "me/covers", home="exporting")
    refuse(".*", 0)
    words = ["export", "--model", "me/covers", "--format", "html", "--out", hub.folder / "covers.HTML"]
    code, text = hub.run(CLI, *words, home="exporting")
    assert code == 0, text
    assert (hub.folder / "covers.HTML").stat().st_size > 1_000_000


def test_a_proxy_that_refuses_the_hub_leaves_the_cached_model(hub, tiny_pipeline):
    """The Hub on this machine itself is no proxy, and refuses as one."""
    load(hub, "me/covers", home="behind")
    proxy = {"HTTPS_PROXY": hub.address, "HF_ENDPOINT": "https://hub.invalid", "NO_PROXY": ""}
    assert load(hub, "me/covers", home="behind", **proxy) == [f"LOADED {tiny_pipeline.fingerprint}"]
    [said] = load(hub, "me/covers", home="nothing", **proxy)
    assert "and the Hub cannot be reached; load it once while online" in said


def test_each_refusal_has_its_remedy(hub, refuse):
    refuse("GET /api/models/me/covers", 401, "Invalid credentials in Authorization header")
    refuse("(GET|HEAD) /me/half/resolve", 403, "Access to model me/half is restricted", "GatedRepo")
    refuse("GET /api/models/me/busy", 500, "Internal Error")
    refuse("GET /api/models/me/late", 401, 'User Access Token "mine" is expired', "RepoNotFound")
    token, gated, busy, late = load(hub, "me/covers", "me/half", "me/busy", "me/late", home="refused")
    assert "refuses the token (401 Invalid credentials in Authorization header); log in again with `hf auth" in token
    assert "model 'me/half' is gated: accept its conditions at https://huggingface.co/me/half" in gated
    assert "the Hub responds: 500 Internal Error; try again later" in busy
    assert late.endswith('(the Hub responds: 401 User Access Token "mine" is expired)')
    assert "cannot be reached" not in token + gated + busy
