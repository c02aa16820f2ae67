"""A data set goes to the Hub, private unless asked, and comes back from it: against a Hub on this machine."""

import csv
import gzip
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset, Features, Image, Value

from album_gan.covers.build import hub_files
from album_gan.covers.synthetic import draw_cover, rows

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub(tmp_path):
    """Runs Python in a separate process that knows no Hub but the test's; its attribute `address` is that."""
    server = subprocess.Popen([sys.executable, ROOT / "tests" / "minihub.py"], stdout=subprocess.PIPE, text=True)
    address = server.stdout.readline().strip()
    environment = {
        **os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_test", "NO_PROXY": "127.0.0.1",
        "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT), "ALBUM_GAN_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip

    def run(code: str, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True,
            cwd=tmp_path, timeout=250,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    run.address = address
    yield run
    server.terminate()
    server.wait()


CLI = "import sys; from album_gan.cli.main import main; sys.exit(main())"
LOAD = """
import json, sys
from album_gan.covers.dataset import CoverSource, load_covers
split = load_covers(CoverSource(dataset_name=sys.argv[1], data_files="".join(sys.argv[2:]) or None, resolution=32))
covers, held_out = split.train, len(split.held_out)
assert held_out > 0
print("RESULT", json.dumps([len(covers), list(covers.pixels_of([0, 1]).shape)]))
"""
TRAIN = "import sys; from train import main; sys.exit(main(sys.argv[1:]))"


def test_pushed_private_and_loaded_again(hub, tmp_path):
    folder = tmp_path / "pile"
    folder.mkdir()
    for index in range(40):
        draw_cover(index, 64).save(folder / f"{index}.png")
    small = ["--resolution", "32", "--min-size", "16", "--num-workers", "0"]

    code, text = hub(CLI, "covers", "build", folder, "--out", "made", *small, "--push-to-hub", "me/covers", "--public")
    assert (code, "public needs data_rights" in text) == (2, True)
    assert not (tmp_path / "made" / "data").exists()
    code, text = hub(CLI, "covers", "build", folder, "--out", "made", *small, "--push-to-hub", "me/covers")
    assert code == 0, text
    kept = int(text.partition(" covers from ")[0].split()[-1])
    request = urllib.request.Request(
        f"{hub.address}/api/datasets/me/covers", headers={"Authorization": "Bearer hf_test"}
    )
    with urllib.request.urlopen(request) as answer:
        info = json.load(answer)
    assert info["private"]
    names = {file["rfilename"] for file in info["siblings"]}
    assert {name.partition("/")[0] for name in names} == {"README.md", "data"}

    # Loaded for training, and taken as a source again.
    code, text = hub(LOAD, "me/covers")
    assert code == 0, text
    count, shape = json.loads(next(line[7:] for line in text.splitlines() if line.startswith("RESULT")))
    assert (0 < count < kept, shape) == (True, [2, 32, 32, 3])
    code, text = hub(CLI, "covers", "build", "me/covers", "--out", "again", *small)
    assert (code, f"{kept} covers from" in text) == (0, True), text
    with gzip.open(tmp_path / "again" / "files.csv.gz", "rt", encoding="utf-8", newline="") as file:
        outcomes = Counter(row["outcome"] for row in csv.DictReader(file))
    assert outcomes == {"kept": kept, "not_an_image": 1}  # the card
    assert 'load_dataset("me/covers"' in (tmp_path / "made" / "README.md").read_text()


@pytest.mark.slow
def test_trained_from_the_hub(hub, tmp_path):
    (tmp_path / "pile").mkdir()
    for index in range(40):
        draw_cover(index, 64).save(tmp_path / "pile" / f"{index}.png")
    small = ["--resolution", "32", "--min-size", "16", "--num-workers", "0"]
    code, text = hub(CLI, "covers", "build", "pile", "--out", "made", *small, "--push-to-hub", "me/covers")
    assert code == 0, text
    quick = ["--recipe", "dcgan", "--resolution", "32", "--train_batch_size", "4", "--max_train_steps", "2"]
    quick += ["--report_to", "none", "--dataset_name", "me/covers"]
    for options in ([], ["--streaming"]):
        code, text = hub(TRAIN, *quick, *options, "--output_dir", f"run{len(options)}")
        assert code == 0, text
        assert (tmp_path / f"run{len(options)}" / "generator").is_dir()
        assert ("covers are too few to train from scratch" in text) is not bool(options)  # a stream's are not counted


def test_what_the_hub_has_not_says_so(hub):
    code, text = hub(CLI, "covers", "build", "me/nowhere", "--out", "made")
    assert code == 2
    assert "is neither a folder nor a file here; the Hub responds: 404" in text


def test_a_mistyped_folder_is_said_to_be_none(hub):
    code, text = hub(CLI, "covers", "cache", "my_coverz")
    assert code == 2
    assert "dataset_name 'my_coverz' does not load: " in text
    assert "nor is there a folder 'my_coverz' here" in text


CACHE = """
import sys
from album_gan.cli.main import main
print([main(["covers", "cache", name, "--resolution", "32"]) for name in sys.argv[1:]])
"""
PUSH_TWO_CONFIGURATIONS = """
import sys
from huggingface_hub import HfApi
api = HfApi()
def push(data, path, repo_id):
    api.create_repo(repo_id, repo_type="dataset", exist_ok=True)
    api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo_id, repo_type="dataset")
for name in ("rock", "jazz"):
    push(sys.argv[1], f"{name}/0.parquet", "me/two")
configs = [f"- config_name: {name}\\n  data_files: {name}/*.parquet\\n" for name in ("rock", "jazz")]
push("".join(["---\\nconfigs:\\n", *configs, "---\\n"]).encode(), "README.md", "me/two")
push(b"pass", "scripted.py", "me/scripted")
"""


def test_data_sets_with_configurations_or_scripts_name_the_way_out(hub, tmp_path):
    made = Dataset.from_list(list(rows(40)), features=Features({"image": Image(), "group": Value("string")}))
    made.to_parquet(tmp_path / "covers.parquet")
    code, text = hub(PUSH_TWO_CONFIGURATIONS, "covers.parquet")
    assert code == 0, text
    code, text = hub(CACHE, *(names := ("me/two", "me/scripted")))
    assert (code, "[2, 2]" in text) == (0, True), text
    for name in names:
        assert f"--dataset_name parquet --data_files 'hf://datasets/{name}/CONFIG/*.parquet'" in text
    code, text = hub(LOAD, "parquet", "hf://datasets/me/two/jazz/*.parquet")
    assert (code, "RESULT" in text) == (0, True), text


@pytest.mark.parametrize(("private", "public"), [(True, True), (False, False)])
def test_a_push_never_changes_who_may_see_a_data_set(monkeypatch, private, public):
    monkeypatch.setattr(hub_files.HfApi, "dataset_info", lambda *_: SimpleNamespace(private=private))
    message = "exists and is private, which a push does not change" if private else "is public already; add --public"
    with pytest.raises(ValueError, match=message):
        hub_files.check_push("me/covers", public, "my own photographs")
    hub_files.check_push("me/covers", not public, "my own photographs")
