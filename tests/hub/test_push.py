"""What a published model is: whole, readable, and drawn by others as by us."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_covers import save_covers
from huggingface_hub import ModelCard, ModelCardData
from PIL import Image
from short_runs import command
from tiny_recipes import RECIPES

from album_gan import AlbumCoverPipeline
from album_gan.hub.model_card import card, check_card, eval_results
from album_gan.hub.privacy import public_name, public_record
from album_gan.hub.push import assemble, push
from album_gan.training.config import TrainingConfig
from train import main as train

ROOT = Path(__file__).parent.parent.parent
WITHOUT_ALBUM_GAN = """
import sys
sys.modules["album_gan"] = None  # as in an environment that has only diffusers
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)
pipe(seeds=[5, "velvet-otter-042"]).images[0].save(sys.argv[2])
print(pipe.fingerprint)
"""


@pytest.fixture(scope="module")
def repository(tiny_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    assemble(str(tiny_model), folder, "me/covers", "drawn by the tests")
    return folder


def run(script: str, *arguments: object, cwd: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "home")}
    words = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    assert "will be ignored" not in process.stderr
    return process.stdout.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["repository", "saved", "finished run"])
def test_album_gan_and_diffusers_alone_draw_the_same(kind, repository, tiny_model, tmp_path):
    """Offline: what was published, what `save_pretrained` wrote, and what a training left."""
    folder = {"repository": repository, "saved": tiny_model, "finished run": tmp_path / "run"}[kind]
    if kind == "finished run":
        options = f"--dataset_name synthetic --resolution 32 --max_train_steps 2 --output_dir {folder}"
        words = [
            sys.executable,
            str(ROOT / "train.py"),
            *options.split(),
            "--recipe",
            "dcgan",
            "--train_batch_size",
            "4",
        ]
        subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    ours = AlbumCoverPipeline.from_pretrained(folder)
    fingerprint = run(WITHOUT_ALBUM_GAN, folder, tmp_path / "theirs.png", cwd=tmp_path)
    assert fingerprint == ours.fingerprint
    theirs = np.asarray(Image.open(tmp_path / "theirs.png"), int)
    assert np.abs(theirs - np.asarray(ours(seeds=[5]).images[0], int)).max() <= 1


def test_the_card_says_what_counts(repository, tiny_model, tmp_path):
    text = (repository / "README.md").read_text()
    assert text.startswith("---\n")
    assert "pipeline_tag: unconditional-image-generation" in text
    assert "Rights to the data: drawn by the tests." in text
    assert 'from_pretrained("me/covers")' in text
    # The cards of the bundled models lack this part.
    with_diffusers = text[text.index("With diffusers alone") : text.index("As a web page")]
    assert 'snapshot_download("me/covers", ignore_patterns="checkpoint/*")`' in with_diffusers
    assert 'snapshot_download("me/covers", ignore_patterns="checkpoint/*")`' not in text.replace(with_diffusers, "")
    assert "no rights are granted for releasing what it draws" in text
    assert "{" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assemble(str(tiny_model), tmp_path, "me/covers")
    assert "Rights to the data: not stated." in (tmp_path / "README.md").read_text()


def test_the_card_states_the_licence(repository, tiny_model, tmp_path):
    unlicensed = ModelCard.load(repository / "README.md")
    assert unlicensed.data.license == "other"
    assemble(str(tiny_model), tmp_path, "me/covers", "my own photographs", license="cc-by-4.0")
    licensed = ModelCard.load(tmp_path / "README.md")
    assert licensed.data.license == "cc-by-4.0"
    assert "published under the licence `cc-by-4.0`" in licensed.text
    assert "no rights are granted" not in licensed.text
    assert "album_gan's bundled one" in licensed.text  # the upscaler, as the model has none
    assert "Training started from" not in licensed.text
    shutil.copytree(tiny_model, tmp_path / "tuned")
    (tmp_path / "tuned" / "training.json").write_text(json.dumps({"recipe": "projected", "init_from": "bundled"}))
    AlbumCoverPipeline.from_pretrained(tiny_model, device="cpu").upscaler.save_pretrained(
        tmp_path / "tuned" / "upscaler"
    )
    (tmp_path / "out").mkdir()
    assemble(str(tmp_path / "tuned"), tmp_path / "out", "me/covers", "my own photographs", license="cc-by-4.0")
    assert "from the weights of album_gan's bundled model" in ModelCard.load(tmp_path / "out" / "README.md").text
    for wrong in ("CC BY 4.0", "", "mit\ntags: [x]"):
        with pytest.raises(ValueError, match="license must be an id"):
            push(str(tiny_model), "me/covers", license=wrong)


def test_no_pickle_and_no_places_of_this_machine(repository, tmp_path):
    first, run, published = (tmp_path / name for name in ("first", "run", "published"))
    covers = save_covers(tmp_path / "covers", 20)
    assert train(command(covers, first, "dcgan", "--max_train_steps", 1)) == 0
    assert train(command(covers, run, "dcgan", "--max_train_steps", 1, "--init_from", first)) == 0
    assert str(tmp_path) in (run / "training.json").read_text()
    published.mkdir()
    assemble(str(run), published, "me/covers")
    written = {path.relative_to(published).as_posix(): path for path in published.rglob("*") if path.is_file()}
    assert {"training.json", "log.jsonl", "checkpoint/state.json", "README.md"} <= written.keys()
    assert [name for name, path in written.items() if str(tmp_path).encode() in path.read_bytes()] == []

    files = [path for path in repository.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".py", ".md", ".png", ".jsonl", ".webp"}
    index = json.loads((repository / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "AlbumCoverPipeline"]


def test_numbers_become_metadata(tiny_model, tmp_path):
    measured = measured_with()
    source = AlbumCoverPipeline.from_pretrained(tiny_model)
    source.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "evaluation.json").write_text(json.dumps({**measured, "model": source.fingerprint}))
    (tmp_path / "out").mkdir()
    assemble(str(tmp_path / "model"), tmp_path / "out", "me/covers")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "model-index:" in text
    assert "name: kernel distance x 1,000 in stlpips-vgg, 10 samples" in text
    assert "value: 123" in text
    assert "10 samples against 9 held-out covers" in text


def test_the_card_repeats_the_whole_command(tiny_model, tmp_path):
    AlbumCoverPipeline.from_pretrained(tiny_model).save_pretrained(tmp_path)
    record = {"recipe": "projected", "compile": True, "streaming": False, "covers": None, "held_out": 9}
    record |= {"label_column": "who's", "steps": 100, "images": 25_600, "train_batch_size": 32, "batch_size": 256}
    record["projected"] = {"san": True, "second_network": False, "decay": 0.4, "variant": None}
    (tmp_path / "training.json").write_text(json.dumps(record))
    text = card(AlbumCoverPipeline.from_pretrained(tmp_path), tmp_path, "me/covers", "mine")
    command = shlex.split(text.partition("accelerate launch train.py")[2].partition("```")[0].replace("\\\n", ""))
    assert command[:2] == ["--train_data_dir", "my_covers"]
    own = ["--label_column", "who's", "--train_batch_size", "32", "--projected.san", "--projected.decay", "0.4"]
    assert command[2:] == ["--recipe", "projected", "--compile", *own]
    assert "25,600 images seen by the discriminator (100 steps, batches of 256)" in text
    assert "A stream of covers; 9 more were held out." in text
    assert "`training.json` has all settings.\n" in text
    assert "history" not in text


def test_a_card_invents_no_facts_and_names_no_missing_files(tiny_model, tmp_path):
    AlbumCoverPipeline.from_pretrained(tiny_model).save_pretrained(tmp_path)
    text = card(AlbumCoverPipeline.from_pretrained(tmp_path), tmp_path, "me/covers", "mine")
    assert "## Training data\n\nNot recorded.\n\n- Rights to the data: mine.\n" in text
    assert "## Training\n\nNot recorded.\n" in text
    assert "do not exist: a GAN with" in text
    assert not [
        name for name in ("training.json", "log.jsonl", "history/", "discriminator/", "0 covers") if name in text
    ]


def measured_with(**numbers) -> dict:
    spaces = {"stlpips-vgg": {"kid": 0.123, "recall": 0.4, **numbers}}
    return {"samples": 10, "held_out": 9, "subset": None, "spectrum_db": {"1-2": 0.5}, "spaces": spaces}


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, int])
def test_numbers_of_numpy_become_plain_ones(kind):
    """YAML writes NumPy's scalars so that nobody can read them back."""
    measured = measured_with(kid=kind(1), precision=kind(0))
    data = ModelCardData(model_name="covers", eval_results=eval_results(measured, "me/covers"))
    check_card(f"---\n{data.to_yaml()}\n---\n")
    again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data.eval_results
    assert [(result.metric_type, result.metric_value) for result in again] == [
        ("kid", 1000.0), ("precision", 0.0), ("recall", 0.4)
    ]  # fmt: skip


def test_a_card_that_cannot_be_read_back_is_refused():
    data = ModelCardData(license="other", tags=[np.float32(1)])
    with pytest.raises(ValueError, match="metadata cannot be read back"):
        check_card(f"---\n{data.to_yaml()}\n---\n")


@pytest.mark.parametrize(
    ("title", "rights"),
    [
        *((title, "mine") for title in ("covers", "123", "null", "on", "1e5")),
        *(("covers", rights) for rights in ("a: b # c", "'\"", "---\nlicense: mit\n---", "{x}", "- y", "Ü")),
    ],
)
def test_each_card_is_read_back(tiny_model, tmp_path, title, rights):
    AlbumCoverPipeline.from_pretrained(tiny_model).save_pretrained(tmp_path)
    (tmp_path / "evaluation.json").write_text(json.dumps(measured_with(kid=float("nan"), precision=float("inf"))))
    text = card(AlbumCoverPipeline.from_pretrained(tmp_path), tmp_path, f"me/{title}", rights)
    read = ModelCard(text, ignore_metadata_errors=False)
    assert read.data.license == "other"
    assert read.data.model_name == title
    assert [result.metric_type for result in read.data.eval_results] == ["recall"]  # the Hub takes no NaN
    assert rights in read.text


def test_a_full_temporary_folder_is_named(tiny_model, tmp_path):
    code = (
        "import resource, sys; from album_gan.hub.push import assemble, temporary_folder\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"
        "with temporary_folder() as folder: assemble(sys.argv[1], folder, 'me/covers')"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-c", code, str(tiny_model)]
    text = subprocess.run(words, env=environment, capture_output=True, text=True).stderr
    assert f"could not be written to {tmp_path}" in text.splitlines()[-1]
    assert text.splitlines()[-1].endswith("make room there, or set TMPDIR to another folder")
    assert not list(tmp_path.iterdir())


def test_folders_are_not_taken_for_names_on_the_hub_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "clients" / "secret").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = TrainingConfig(init_from="clients/secret", dataset_name="clients/secret", recipe="dcgan")
    record = config.settings(RECIPES["dcgan"].Recipe(RECIPES["dcgan"].Config(), 64))
    monkeypatch.chdir(tmp_path / "clients")
    assert public_record(record)["init_from"] == "a private model"
    assert public_record(record)["dataset_name"] == public_name(record["dataset_name"]) == "a private collection"
    assert public_record({"dataset_name": "parquet"})["dataset_name"] == "parquet"


def test_private_data_is_not_named():
    assert public_name("parquet") == public_name(None) == "a private collection"
    assert public_name("me/covers") == "me/covers"


@pytest.mark.parametrize("repo_id", ["covers", "me/", "a/b/c", "runs/checkpoint-5", "./x", "a b/c"])
def test_a_malformed_id_is_refused_at_once(repo_id):
    with pytest.raises(ValueError, match="repo_id must be owner/name"):
        push("bundled", repo_id)
