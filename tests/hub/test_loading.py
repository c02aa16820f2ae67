"""A model goes to the Hub and comes back by every way that its card shows, online and off, with a Hub on this machine.

What reads or writes the Hub is a separate process: huggingface_hub fixes its address when it is imported.
"""

import json
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from loopback import CLI, ROOT, TOKEN, loopback
from PIL import Image

from album_gan import AlbumCoverPipeline
from album_gan.networks.cover_upscaler import CoverUpscaler
from album_gan.networks.lite_generator import LiteGenerator

pytestmark = pytest.mark.long

REPO = "me/album-covers"
LOADING = (ROOT / "docs" / "loading.md").read_text(encoding="utf-8")
# Ways to load a published model, each in a process that has only what it needs.
WITHOUT_US = "import sys; sys.modules['album_gan'] = None\n"
WITHOUT_DIFFUSERS = WITHOUT_US + "sys.modules['diffusers'] = None\n"


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """The tiny model, refined and modulated, with an upscaler, as (folder, pipeline)."""
    folder = tmp_path_factory.mktemp("with_upscaler")
    generator = LiteGenerator(32, refined_from=16, modulated=True).eval()
    generator.load_state_dict(AlbumCoverPipeline.from_pretrained(tiny_model).generator.state_dict(), strict=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for level in ("16", "32"):
            generator.blocks[level].refinement.add.weight.normal_(std=0.05)
            generator.blocks[level].up_modulation.amounts.weight.normal_(std=0.05)
    AlbumCoverPipeline(generator, CoverUpscaler(channels=8, blocks=1)).save_pretrained(folder)
    (folder / "history").mkdir()
    for images in (0, 1_000, 1_200):
        Image.new("RGB", (384, 384), (images // 10,) * 3).save(folder / "history" / f"{images:09d}.webp")
    (folder / "history" / ".000001300.webp.0a1b2c3d.tmp").write_bytes(b"half")  # of a killed run
    return folder, AlbumCoverPipeline.from_pretrained(folder)


@pytest.fixture(scope="module")
def hub(model, tmp_path_factory):
    """A Hub to which the model was pushed, public. A second push, of other weights, was killed half-way."""
    with loopback(tmp_path_factory.mktemp("hub")) as hub:
        words = ("--repo-id", REPO, "--data-rights", "drawn by the tests")
        code, text = hub.run(CLI, "push", model[0], *words)
        assert code == 0, text
        assert text.strip().endswith(REPO)
        hub.before = state(hub)
        hub.card = hub.ask(f"/{REPO}/resolve/main/README.md").decode()

        other = save_other(model, hub.folder / "other")
        hub.ask("/test/hold")
        words = [sys.executable, "-c", CLI, "push", other, *words]
        with subprocess.Popen(words, env=hub.environment(), cwd=hub.folder, stdout=-3, stderr=-3) as process:
            assert json.loads(hub.ask("/test/hold?seconds=60")) is True  # some of the weights are on their way
            process.send_signal(signal.SIGKILL)
        hub.ask("/test/release")
        yield hub


def save_other(model, folder):
    """The model with another bias, and without an upscaler."""
    other = AlbumCoverPipeline.from_pretrained(model[0]).generator
    other.to_rgb.bias.data += 0.5
    AlbumCoverPipeline(other).save_pretrained(folder)
    return folder


def state(hub, name=f"model/{REPO}"):
    return json.loads(hub.ask("/test/state"))[name]


def difference(file, image) -> int:
    return int(np.abs(np.asarray(Image.open(file), int) - np.asarray(image, int)).max())


def test_what_is_published(hub):
    files = set(state(hub)["files"])
    for name in ("generator", "upscaler"):
        for ending in (
            "config.json",
            "diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.fp16.safetensors",
        ):
            assert f"{name}/{ending}" in files
    assert {"generator/lite_generator.py", "upscaler/cover_upscaler.py", "pipeline.py", "sheet.png"} <= files
    assert not any(name.endswith(".tmp") for name in files)
    assert not state(hub)["private"]


def test_a_push_of_no_model_makes_no_repository(hub):
    code, text = hub.run(CLI, "push", "runs/nope", "--repo-id", "me/nothing")
    assert code != 0
    assert "runs/nope" in text
    assert "model/me/nothing" not in json.loads(hub.ask("/test/state"))


def test_a_push_that_is_killed_leaves_the_repository_as_it_was(hub):
    """All other tests load from it after that."""
    assert state(hub) == hub.before
    assert len(hub.before["commits"]) == 2


def test_docs_and_card_show_the_same_code(hub):
    ours, cards = python_blocks(LOADING), python_blocks(hub.card)
    assert len(cards) == 4
    small = [block.replace("(8, 16, 32)", "(8, 16, 32, 64, 128)") for block in cards]  # the tests' model is small
    assert [block for block in small if block not in ours] == []


WAYS = {"album_gan": "", "diffusers": WITHOUT_US, "generator": WITHOUT_US}


@pytest.mark.parametrize(("way", "before"), [*enumerate(WAYS.values())], ids=WAYS)
def test_each_way_of_the_card_draws_the_cover(hub, model, way, before):
    """As written, each in a fresh process, without a token, with nothing in the cache; by hand, see below."""
    after = "\nassert images.shape == (4, 3, 32, 32) and images.abs().max() <= 1" if way == 2 else ""
    (hub.folder / "cover-7.png").unlink(missing_ok=True)
    code, text = hub.run(before + python_blocks(hub.card)[way] + after, token=None, home=f"way{way}")
    assert code == 0, text[-2000:]
    if way != 2:
        assert difference(hub.folder / "cover-7.png", model[1](seeds=[7]).images[0]) <= 2


OFFLINE = """
import sys
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download
folder = snapshot_download(sys.argv[1])
theirs = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
try:  # diffusers asks for it at a folder as at an id
    DiffusionPipeline.from_pretrained(folder)
    raise SystemExit("code ran that was not trusted")
except ValueError as error:
    assert "trust_remote_code" in str(error)
cover = theirs(seeds=[7]).images[0]
assert theirs.upscale(cover, 100).size == (100, 100)
assert "album_gan" not in sys.modules
from album_gan import AlbumCoverPipeline
ours = AlbumCoverPipeline.from_pretrained(sys.argv[1], local_files_only=True)
assert ours.fingerprint == theirs.fingerprint == sys.argv[2]
assert ours.upscaler is not None
assert not {"gradio", "datasets"} & set(sys.modules)
try:
    AlbumCoverPipeline.from_pretrained("me/never-loaded")
except OSError as error:
    print(error)
"""


def test_offline_out_of_the_cache(hub, model):
    """The card's last code draws by hand, and what it fetched is enough for diffusers alone and for us."""
    (hub.folder / "cover-7.png").unlink(missing_ok=True)
    code, text = hub.run(WITHOUT_DIFFUSERS + python_blocks(hub.card)[-1], token=None, home="offline")
    assert code == 0, text[-2000:]
    assert difference(hub.folder / "cover-7.png", model[1](seeds=[7]).images[0]) <= 2
    code, text = hub.run(OFFLINE, REPO, model[1].fingerprint, home="offline", HF_HUB_OFFLINE="1")
    assert code == 0, text[-2000:]
    assert "'me/never-loaded' is neither a folder here nor in the cache" in text


OPTIONS = """
import json, sys, torch
from huggingface_hub import HfApi
from album_gan import AlbumCoverPipeline
load, repo = AlbumCoverPipeline.from_pretrained, sys.argv[1]
fp16 = load(repo, variant="fp16", dtype=torch.float16, device="cpu", revision=sys.argv[2])
assert load(repo, revision=sys.argv[2], local_files_only=True).fingerprint == fp16.fingerprint  # from that one file
assert fp16.generator.dtype == torch.float16 and fp16.fingerprint == load(repo).fingerprint

api = HfApi()
def made(name, files, private=False):
    api.create_repo(name, private=private)
    for path, content in files.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=name)
def stored(path):
    from huggingface_hub import hf_hub_download
    return open(hf_hub_download(repo, path), "rb").read()
def said(*arguments, **options):
    try:
        load(*arguments, **options)
    except (OSError, ValueError) as error:
        print("SAID", json.dumps([type(error).__name__, str(error)]))

index, weights = stored("model_index.json"), stored("generator/diffusion_pytorch_model.safetensors")
config = json.loads(stored("generator/config.json"))
def model(config, weights):
    names = ("model_index.json", "generator/config.json", "generator/diffusion_pytorch_model.safetensors")
    return dict(zip(names, (index, json.dumps(config).encode(), weights)))
made("me/diffusion", {"model_index.json": b'{"_class_name": "StableDiffusionPipeline"}'})
made("me/words", {"README.md": b"# A book"})
made("me/cut", model(config, weights[:5000]))
made("me/newer", model({**config, "format_version": 2}, weights))
made("me/secret", {"model_index.json": index}, private=True)
for name in ("me/nothing", "me/diffusion", "me/words", "me/cut", "me/newer"):
    said(name)
said(repo, revision="f" * 40)
said("me/secret", token=False)
"""
MESSAGES = [
    ("OSError", "model 'me/nothing' is neither a folder here nor a model you can read on the Hub; check its name"),
    ("ValueError", "me/diffusion is not an album_gan model: its model_index.json names 'StableDiffusionPipeline'"),
    ("OSError", "me/words is not an album_gan model: model_index.json is missing"),
    ("ValueError", r"weights in .*me--cut.* are damaged \(.*\); save or download the model again"),
    ("ValueError", "format_version must be at most 1, got 2 .*; upgrade with `pip install -U album-gan`"),
    ("OSError", "model 'me/album-covers' has no revision 'ffff.*; give a branch, a tag or a whole commit id"),
    ("OSError", "model 'me/secret' is neither .* for a private one log in with `hf auth login` or set HF_TOKEN"),
]


def test_options_and_what_is_said_when_it_does_not_load(hub):
    code, text = hub.run(textwrap.dedent(OPTIONS), REPO, state(hub)["commits"][1])
    assert code == 0, text[-2000:]
    said = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("SAID")]
    assert len(said) == len(MESSAGES)
    for (kind, message), (wanted_kind, wanted) in zip(said, MESSAGES, strict=True):
        assert kind == wanted_kind
        assert re.search(wanted, message)
        assert "\n" not in message


AGAIN = """
import os, sys
from huggingface_hub import HfApi
from album_gan import AlbumCoverPipeline
from album_gan.cli.main import main
first, second, public, *before = sys.argv[1:]
assert main(["push", first, "--repo-id", "me/again", "--private"]) == 0
HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="NOTES.md", repo_id="me/again")
old = HfApi().repo_info("me/again").sha
assert main(["push", second, "--repo-id", "me/again"]) == 0
assert AlbumCoverPipeline.from_pretrained("me/again", revision=old).fingerprint == before[0]
assert main(["push", first, "--repo-id", public]) == 2
assert main(["push", first, "--repo-id", public, "--private", "--data-rights", "x"]) == 2
assert AlbumCoverPipeline.from_pretrained("me/again").fingerprint == before[1]
os.environ.pop("HF_TOKEN")
assert main(["push", first, "--repo-id", "me/new", "--data-rights", "x"]) == 2
"""


@pytest.mark.slow
def test_pushing_again_continues_and_what_is_refused(hub, model, tmp_path):
    """A second push keeps its owner's own file, drops the networks that are no more, and the first stays a revision."""
    other = save_other(model, tmp_path / "second")
    fingerprints = model[1].fingerprint, AlbumCoverPipeline.from_pretrained(other).fingerprint
    code, text = hub.run(AGAIN, model[0], other, REPO, *fingerprints)
    assert code == 0, text[-2000:]
    now = state(hub, "model/me/again")
    assert len(now["commits"]) == 4
    assert now["private"]
    assert "NOTES.md" in now["files"]
    assert "data_rights must be given for me/album-covers, which is public" in text
    assert "private must not be set for me/album-covers, which is public" in text
    assert (
        "me/new cannot be written to; the Hub responds: 401 Invalid username or password.; check the name, or log in"
        in text
    )
    assert state(hub) == hub.before


def test_a_film_of_a_model_on_the_hub(hub):
    code, text = hub.run(CLI, "timelapse", REPO, "--out", "film.webp", "--fps", "2", home="film")
    assert (code, text.strip()) == (0, "3 snapshots in film.webp"), text[-2000:]
    with Image.open(hub.folder / "film.webp") as film:
        assert film.n_frames > 3
    fetched = [path.name for path in (hub.folder / "film").rglob("*.safetensors")]
    assert fetched == []  # thumbnails alone


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + CLI


@pytest.mark.parametrize("full", [True, False], ids=["no room", "not writable"])
def test_a_cache_without_room_says_so(hub, full):
    """A limit on the size of files stands in for the full disk, a file for a folder that may not be written to."""
    if not full:
        (hub.folder / "unwritable").write_text("")
    code, text = hub.run(
        FULL, "generate", "--model", REPO, "--seeds", "1", "--out", "x", home="small" if full else "unwritable"
    )
    assert code == 2
    folder = hub.folder / ("small" if full else "unwritable") / "hub"
    assert f"model '{REPO}' could not be downloaded to {folder}: " in text
    assert "set HF_HOME to a folder that has room and that you may write to" in text
    assert "cannot be reached" not in text


def test_a_checkpoint_that_is_missing_is_not_looked_for_on_the_hub(hub):
    """The Hub would answer that there is no such repository, and advise to log in."""
    for words in (("generate", "--model", "run/checkpoint-5", "--seeds", "1", "--out", "x"),
                  ("push", "run/checkpoint-5", "--repo-id", REPO, "--data-rights", "x")):  # fmt: skip
        code, text = hub.run(CLI, *words)
        assert code == 2
        assert "got 'run/checkpoint-5', and there is no such folder" in text
        assert "log in" not in text


def test_no_token_is_ever_shown(hub, model):
    """Neither where things go wrong nor in huggingface_hub's own debug log."""
    noisy = "import logging; logging.basicConfig(level=0)\n" + CLI
    more = {"ALBUM_GAN_DEBUG": "1", "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug", "HF_ENDPOINT": "http://127.0.0.1:9"}
    words = ("push", model[0], "--repo-id", "me/new", "--data-rights", "x")
    code, text = hub.run(noisy, *words, **more)
    assert code == 1
    assert "Traceback" in text
    assert "OSError: me/new cannot be written to, and the Hub cannot be reached (" in text
    assert "; run again when online" in text
    assert TOKEN not in text
