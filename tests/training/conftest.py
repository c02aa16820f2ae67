"""Covers to train on."""

from pathlib import Path

import pytest

from album_gan.covers.synthetic import draw_cover


@pytest.fixture(scope="session")
def my_covers(tmp_path_factory) -> Path:
    """A folder of 40 drawn covers as JPEG files."""
    folder = tmp_path_factory.mktemp("my_covers")
    for index in range(40):
        draw_cover(index, 48).save(folder / f"{index}.jpg", quality=95)
    return folder
