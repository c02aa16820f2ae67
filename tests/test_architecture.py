"""Imports go down only, from the floor of the command line to the floor of the networks."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "draws": 0, "words": 0, "latents": 0, "images": 0, "pictures": 0, "animation": 0, "sleeve": 0, "networks": 0,
    "losses": 0, "augmentation": 0, "averaging": 0, "metrics": 0, "performance": 0, "model_files": 0, "pretrained": 0,
    "upscaling": 1, "pipeline": 1, "recipes": 1, "covers": 1, "journal": 1, "progress": 1, "alarms": 1,
    "checkpoint": 2, "processes": 2, "evaluation": 2, "monitor": 2, "models": 2, "timelapse": 2, "neighbours": 2,
    "directions": 2, "card": 2, "hub": 2, "deploy": 2, "export": 2,
    "training": 3,
    "dry_run": 4, "cli": 4, "cli_covers": 4, "space": 4,
}  # fmt: skip
NEIGHBOURS = {
    ("pipeline", "upscaling"),
    ("latents", "words"),
    ("augmentation", "draws"),
    ("cli", "space"),
    ("cli", "cli_covers"),
    ("card", "evaluation"),
    ("hub", "card"),
    ("deploy", "hub"),
    ("hub", "checkpoint"),
    ("monitor", "evaluation"),
    ("monitor", "models"),
}
FILES = [*sorted((ROOT / "album_gan").rglob("*.py")), *sorted((ROOT / "space").glob("*.py"))]


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
        assert FLOORS[other] < FLOORS[room] or (room, other) in NEIGHBOURS, f"{room} must not import {other}"


def test_recipes_do_not_import_each_other():
    for path in (ROOT / "album_gan" / "recipes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                assert {alias.name for alias in node.names} == {"base"}, path.name


def test_networks_import_nothing_of_ours():
    for path in (ROOT / "album_gan" / "networks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path.name
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("album_gan")), path.name
