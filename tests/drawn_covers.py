"""Folders of covers that the project draws itself, for tests."""

from pathlib import Path

from album_gan.covers.synthetic import draw_cover


def save_covers(folder: Path, count: int, size: int = 32) -> Path:
    """Write `count` covers of `size` pixels as PNG files; returns the folder, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        draw_cover(index, size).save(folder / f"{index}.png")
    return folder
