"""README and docs are tested: their links and paths exist, their commands parse or run, their Python runs."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from album_gan.cli.main import main
from album_gan.cli.train import parse

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
# Whose commands and Python are tested.
PAGES = ["README.md", "docs/loading.md", "docs/training.md", "docs/covers.md", "docs/gpu.md"]
CARDS = ["album_gan/pretrained/README.md", "album_gan/pretrained/teaching/README.md"]  # whose commands are tested
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("album_gan", "benchmarks", "configs", "docs", "notebooks", "space", "tests", "tools")
RUN = {"generate", "interpolate", "upscale", "timelapse", "export"}  # others serve, publish, or need covers
LAUNCH, UNKNOWN = "accelerate launch train.py", "--no-such-option"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def commands(page: str, start: str = "") -> list[str]:
    whole = [block.replace("\\\n", " ") for block in blocks(page, "sh")]
    lines = [line.partition("  #")[0].strip() for block in whole for line in block.splitlines()]
    return [line for line in lines if line.startswith(start)]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_exist(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^":]+)"', text)
    assert [link for link in links if not (document.parent / link).exists()] == []
    paths = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*|train\.py)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    if document.name == "README.md":
        assert len(paths) > 12


def test_make_targets_exist():
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    shown = [word for line in commands("README.md") for word in re.findall(r"\bmake (\w[\w-]*)", line)]
    assert {"demo", "test"} <= set(shown)
    assert set(shown) <= set(targets)


@pytest.mark.parametrize("line", [line for page in (*PAGES, *CARDS) for line in commands(page, LAUNCH)])
def test_training_commands_parse(line, monkeypatch):
    monkeypatch.chdir(ROOT)  # for presets
    parse(shlex.split(line.removeprefix(LAUNCH)))


@pytest.mark.parametrize("line", [line for page in (*PAGES, *CARDS) for line in commands(page, "album-gan")])
def test_album_gan_commands_parse(line, capsys):
    """Nothing but an option that is added here is wrong with them."""
    assert main([*shlex.split(line)[1:], UNKNOWN]) == 2
    assert f"unrecognized arguments: {UNKNOWN};" in capsys.readouterr().err


MADE = {
    "README.md": {"film.mp4", "large/00000007.png", "cover.png"},
    "docs/loading.md": {"covers.onnx", "cover.png", "cover-7.png"},
}
# They take a quarter of a minute each with the bundled model; the tests of each command run them with tiny ones.
SLOW = ("upscale --store", "export --format html", "timelapse")
MADE_WITH_SLOW = {
    "README.md": MADE["README.md"] | {"shop/00000007.jpg", "covers.html"},
    "docs/training.md": {"training.mp4"},
}


def run_in_order(page: str, leave_out: tuple[str, ...] = ()) -> set[str]:
    """Run commands and Python of a page; returns the files that they make.

    A command of the README is run there; Python that loads from the Hub, by tests/hub/test_loading.py.
    """
    known = [] if page == "README.md" else commands("README.md")
    for words in [shlex.split(line)[1:] for line in commands(page, "album-gan") if line not in known]:
        if words[0] in RUN and not any(set(slow.split()) <= set(words) for slow in leave_out):
            assert main(words) == 0, words
    for snippet in blocks(page, "python"):
        if "me/album-covers" not in snippet:
            exec(compile(snippet, page, "exec"), {})
    if page == "README.md":
        assert len(list(Path("covers").glob("*.png"))) == 64
        assert Path("film.mp4").stat().st_size > 10_000
    return {path.as_posix() for path in Path().rglob("*")}


@pytest.mark.parametrize("page", MADE)
def test_commands_and_python_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MADE[page] <= run_in_order(page, leave_out=SLOW)


@pytest.mark.slow
@pytest.mark.parametrize("page", MADE_WITH_SLOW)
def test_commands_and_python_run_the_slow_ones_too(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert MADE_WITH_SLOW[page] <= run_in_order(page)


def names_on(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = "|".join(path.name for path in (ROOT / "album_gan").iterdir() if path.is_dir())
    return re.findall(rf"`((?:{folders}|runtime|space)(?:\.\w+)*)`", text)


@pytest.mark.parametrize("name", names_on("docs/architecture.md"))
def test_architecture_names_exist(name):
    """Modules, classes, functions and methods, relative to album_gan."""
    parts, module = name.split("."), importlib.import_module("album_gan")
    while parts and importlib.util.find_spec(f"{module.__name__}.{parts[0]}"):
        module = importlib.import_module(f"{module.__name__}.{parts.pop(0)}")
        if not hasattr(module, "__path__"):
            break
    found = module
    for part in parts:
        found = getattr(found, part)
    assert found is not None


def test_what_is_said_of_every_model_fits_one_trained_on_free_covers():
    """In the page's own README; of an exported page and of enlarged covers: their tests."""
    assert "network whose training covers may be copyrighted" in (ROOT / "space/README.md").read_text(encoding="utf-8")
