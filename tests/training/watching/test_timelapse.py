"""The film of a training."""

import av
import numpy as np
from PIL import Image

from album_gan.cli.main import main
from album_gan.training.watching.timelapse import frames_of, moments_of


def test_a_film_of_the_bundled_models_history(tmp_path):
    out = tmp_path / "film.mp4"
    assert main(["timelapse", "bundled", "--out", str(out), "--fps", "4", "--seconds", "0.5"]) == 0
    with av.open(str(out)) as film:
        frames = sum(1 for _ in film.decode(video=0))
    assert frames > 20


def test_moments_come_in_order_and_fade(tmp_path):
    folder = tmp_path / "history"
    folder.mkdir()
    for images, grey in ((0, 0), (1_000, 100), (12_000, 200)):
        Image.new("RGB", (384, 384), (grey,) * 3).save(folder / f"{images:09d}.webp")
    frames = list(frames_of(moments_of(tmp_path), fps=10, seconds=1.0))
    shades = [int(np.asarray(frame)[100, 100, 0]) for frame in frames]
    assert shades == sorted(shades)
    assert (shades[0], shades[-1]) == (0, 200)
    assert len({frame.size for frame in frames}) == 1
    assert len(set(shades)) > 6


def test_a_run_without_history_is_told_in_one_line(tmp_path, capsys):
    assert main(["timelapse", str(tmp_path), "--out", str(tmp_path / "x.mp4")]) == 2
    assert "must have a history of 2 or more snapshots, got 0" in capsys.readouterr().err
    assert not (tmp_path / "x.mp4").exists()
