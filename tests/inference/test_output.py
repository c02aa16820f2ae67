"""What a call returns: names, files with settings inside, a grid, a notebook's table."""

import re

import numpy as np
import pytest
from PIL import Image

from album_gan.media.image_files import read_settings


def test_names_and_files(tiny_pipeline, tmp_path):
    covers = tiny_pipeline("The Flat  Tyres; 7-8; velvet-otter-042; A/C: “DC”?")
    assert covers.names[0] == "The Flat Tyres"
    assert covers.names[3] == "velvet-otter-042"
    files = covers.save(tmp_path / "new")
    names = [file.name for file in files]
    assert names[0] == "The Flat Tyres.png"
    assert names[4] == "A-C- “DC”.png"
    settings = [read_settings(file) for file in files]
    assert settings[0]["typed"] == "The Flat Tyres"
    assert "typed" not in settings[1]
    again = tiny_pipeline(settings[0]["seed"], truncation=settings[0]["truncation"])
    assert np.abs(np.asarray(again.images[0], int) - np.asarray(Image.open(files[0]), int)).max() <= 1
    assert len({*covers.save(tmp_path / "new")}) == 5


def test_fields_by_name_and_place_as_in_diffusers(tiny_pipeline):
    covers = tiny_pipeline([7, 8])
    assert covers["images"] is covers[0] is covers.to_tuple()[0] is covers.images
    assert covers[1] == covers["seeds"] == [7, 8]
    assert len(tiny_pipeline(stems=tiny_pipeline.stems_of([7])).to_tuple()) == 1


def test_one_name_twice_makes_two_files(tiny_pipeline, tmp_path):
    files = tiny_pipeline([7, 7]).save(tmp_path)
    assert len({*files}) == len([*tmp_path.glob("*.png")]) == 2
    files = tiny_pipeline(["Bus 2", "Bus", "bus", "A/C", "A:C"]).save(tmp_path / "alike")
    assert [file.stem for file in files] == ["Bus 2", "Bus", "bus 3", "A-C", "A-C 2"]
    assert len([*(tmp_path / "alike").glob("*.png")]) == 5
    [file] = tiny_pipeline(["ö" * 150]).save(tmp_path)
    assert file.stem == "ö" * 80
    [file] = tiny_pipeline(["夜" * 150]).save(tmp_path)
    assert file.stem == "夜" * 66
    [file] = tiny_pipeline(["Con"]).save(tmp_path)
    assert file.stem == "Con-"


def test_a_collection_holds_one_cover_an_item(tiny_pipeline):
    assert tiny_pipeline(["Tyler, The Creator", 3, "velvet-otter-042"]).names[0] == "Tyler, The Creator"
    with pytest.raises(ValueError, match="empty text"):
        tiny_pipeline(["", 3])


def test_grid_and_notebook(tiny_pipeline):
    covers = tiny_pipeline(["<b>me</b>", 1, 2])
    assert covers.grid().size == (64, 64)
    assert covers.grid(3, gap=2).size == (100, 32)
    table = covers._repr_html_()
    assert table.count("data:image/png;base64,") == 3
    assert "&lt;b&gt;me&lt;/b&gt;" in table
    assert len(re.findall("<figcaption", tiny_pipeline("0-69")._repr_html_())) == 64


def test_arrays_have_no_files(tiny_pipeline, tmp_path):
    covers = tiny_pipeline([1], output_type="np")
    assert covers._repr_html_() is None
    for use in (covers.grid, lambda: covers.save(tmp_path)):
        with pytest.raises(ValueError, match='covers must be pictures, got ndarray; draw with output_type="pil"'):
            use()
    assert tiny_pipeline(latents=tiny_pipeline.latents_of([1, 2])).names == ["1", "2"]
