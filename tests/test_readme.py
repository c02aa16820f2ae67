"""README is a map: the paths it names exist, the commands it shows run."""

import re
import shlex
from pathlib import Path

import pytest

from album_gan.cli.main import main
from album_gan.cli.train import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip() for language, block in BLOCKS if language == "sh" for line in block.splitlines()
]


def test_paths_exist():
    table = [line for line in README.splitlines() if line.startswith("| `")]
    paths = [path for line in table for path in re.findall(r"`([\w./]+)`", line)]
    paths += re.findall(r"\]\(([\w./]+)\)", README)
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_make_targets_exist():
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [word for line in COMMANDS for word in re.findall(r"\bmake (\w[\w-]*)", line)]
    assert {"demo", "test"} <= set(shown)
    assert set(shown) <= set(targets)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("accelerate launch train.py")])
def test_training_commands_parse(line):
    parse(shlex.split(line)[3:])


def test_album_gan_commands_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("album-gan")]
    assert {words[0] for words in commands} >= {"generate", "interpolate", "upscale", "timelapse", "export"}
    for words in commands:
        assert main(words) == 0, words
    assert len(list((tmp_path / "covers").glob("*.png"))) == 64
    assert (tmp_path / "film.mp4").stat().st_size > 10_000
    assert (tmp_path / "large" / "00000007.png").exists()


def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Those that load from the Hub are run against one by test_hub_loading.py.
    snippets = [block for language, block in BLOCKS if language == "python" and "me/album-covers" not in block]
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (tmp_path / "cover.png").exists()
