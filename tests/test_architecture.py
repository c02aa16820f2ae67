"""Imports go down only, from the floor of the command line to the floor of the networks."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

from album_gan.recipes.base import SHARED

ROOT = Path(__file__).parent.parent
# A room is a folder of album_gan/, or a file that stands in none. Each imports only rooms of lower floors.
FLOORS = {
    "light_diffusers": -1,
    "runtime": 0, "pretrained": 0, "metrics": 0, "networks": 0,
    "page_style": 0,
    "inference": 1,
    "hub_errors": 2, "media": 2, "recipes": 2, "editing": 2, "export": 2,
    "covers": 3,
    "evaluation": 4, "explain": 4,
    "hub": 5,
    "training": 6, "doctor": 6,
    "space": 7,
    "cli": 8,
    "__main__": 9,
}  # fmt: skip
FILES = [*sorted((ROOT / "album_gan").rglob("*.py")), *sorted((ROOT / "space").rglob("*.py"))]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "space" if parts[0] == "space" else parts[1]


def imports_of(path: Path) -> set[str]:
    """The rooms that a file imports, at the top or inside functions."""
    package = ("album_gan", *path.relative_to(ROOT / "album_gan").parts[:-1]) if "space" not in path.parts else ()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "album_gan" and len(parts) > 1 and parts[1] in FLOORS:
                found.add(parts[1])
    return found - {room_of(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    room = room_of(path)
    if room == "__init__":
        return  # public names only, imported lazily
    assert room in FLOORS, f"{room} has no floor yet: add it to FLOORS"
    for other in imports_of(path):
        assert FLOORS[other] < FLOORS[room], f"{room} must not import {other}"


def test_recipes_do_not_import_each_other():
    for path in (ROOT / "album_gan" / "recipes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                assert (node.module or node.names[0].name) in SHARED, path.name


def test_networks_import_nothing_of_ours():
    """But what stands for diffusers, which takes its place where a network is published."""
    for path in (ROOT / "album_gan" / "networks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "light_diffusers":
                continue
            assert not (isinstance(node, ast.ImportFrom) and node.level), path.name
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("album_gan")), path.name


def test_pytest_looks_into_every_folder_with_tests(pytestconfig):
    """Its defaults leave out folders called build."""
    folders = {part for file in (ROOT / "tests").rglob("test_*.py") for part in file.relative_to(ROOT).parts[:-1]}
    assert {"tests", "covers", "build"} <= folders
    left_out = pytestconfig.getini("norecursedirs")
    assert [name for name in folders if any(fnmatch(name, pattern) for pattern in left_out)] == []
