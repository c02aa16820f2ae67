"""The file of decoded covers: full and unwritable disks, leftovers of killed processes, several processes at once."""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from album_gan.cli.main import main
from album_gan.covers import pixel_cache
from album_gan.covers.dataset import Covers, CoverSource, load_covers
from album_gan.covers.synthetic import draw_cover
from album_gan.doctor.machine import check_caches

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path, monkeypatch) -> CoverSource:
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "covers").mkdir()
    for index in range(40):
        draw_cover(index, 64).save(tmp_path / "covers" / f"{index}.png")
    return CoverSource(train_data_dir=str(tmp_path / "covers"), resolution=64)


@pytest.mark.parametrize(("value", "folder"), [("", ".cache/album_gan"), ("~/covers", "covers"), ("{tmp}/a", "a")])
def test_the_doctor_checks_the_folder_that_is_used(tmp_path, monkeypatch, value, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALBUM_GAN_CACHE", value.format(tmp=tmp_path))
    assert pixel_cache.cache_folder("pixels") == tmp_path / folder / "pixels"
    assert f"{tmp_path / folder}: " in next(check_caches(None)).text


def test_an_unwritable_cache_means_decoding_each_time(source, tmp_path, caplog, monkeypatch):
    expected = load_covers(source).train.pixels_of([0, 5])
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        covers = load_covers(source).train
        assert covers.decoded is None
    assert (covers.pixels_of([0, 5]) == expected).all()
    assert "set ALBUM_GAN_CACHE to another folder" in caplog.text
    assert str(tmp_path / "file") in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to make a small disk")
def test_a_disk_that_fills_is_no_bus_error(source, tmp_path):
    """Space is reserved before the file is mapped: in a separate process, which a SIGBUS would kill."""
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for the pixels by its size, which is what df shows, but not by its blocks: half of it is taken meanwhile.
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine mounts no small disk")
    script = (
        "import logging, shutil, sys; logging.basicConfig()\n"
        "from album_gan.covers import pixel_cache\n"
        "from album_gan.covers.dataset import CoverSource, load_covers\n"
        "usage = shutil.disk_usage\n"
        "pixel_cache.shutil.disk_usage = lambda folder: usage(folder)._replace(free=10**9)  # it filled since\n"
        "covers = load_covers(CoverSource(train_data_dir=sys.argv[1], resolution=64)).train\n"
        "print('DECODED', len(covers), covers.decoded, covers.pixels_of([0]).shape)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, source.train_data_dir], capture_output=True, text=True, timeout=100,
            env={**os.environ, "ALBUM_GAN_CACHE": str(disk / "cache"), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "None (1, 64, 64, 3)" in done.stdout
        assert "ALBUM_GAN_CACHE" in done.stderr
        assert not [path for path in disk.rglob("*.npy*") if path.stat().st_size]
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_the_file_is_no_longer_mapped_when_it_is_renamed(source, tmp_path, monkeypatch):
    """Windows renames no file that is mapped. A cover that cannot be read shortens the file first."""
    (tmp_path / "covers" / "broken.png").write_bytes(b"no picture")
    mapped = []

    def replace(old, new, rename=os.replace):
        mapped.append(str(old) in Path("/proc/self/maps").read_text())
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    covers = load_covers(source)
    assert len(covers.train) + len(covers.held_out) == 40
    assert mapped
    assert not any(mapped)


def test_a_cache_leaves_room_for_others(source, tmp_path, monkeypatch, caplog):
    usage, pixels = shutil.disk_usage("/"), len(load_covers(source).train) * 64 * 64 * 3
    shutil.rmtree(tmp_path / "cache")
    for free, cached in ((2 * pixels - 1, False), (2 * pixels, True)):
        monkeypatch.setattr(pixel_cache.shutil, "disk_usage", lambda folder, free=free: usage._replace(free=free))
        assert (load_covers(source).train.decoded is not None) == cached
    assert "0.0 GB to spare" in caplog.text


def test_leftovers_of_killed_processes_are_swept(source, tmp_path):
    pixels = tmp_path / "cache" / "pixels"
    pixels.mkdir(parents=True)
    old, fresh = pixels / ".a.npy.01234567.tmp", pixels / ".b.npy.89abcdef.tmp"
    for path in (old, fresh):
        path.write_bytes(b"unfinished")
    os.utime(old, (time.time() - 3 * 86_400,) * 2)
    assert len(load_covers(source).train)
    assert not old.exists()
    assert fresh.exists()


def test_several_processes_decode_once(source, tmp_path):
    script = (
        "import sys\n"
        "from album_gan.covers.dataset import CoverSource, load_covers\n"
        "print(len(load_covers(CoverSource(train_data_dir=sys.argv[1], resolution=64)).train))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, source.train_data_dir]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=150) for process in processes]
    assert len({out for out, _ in outputs}) == 1
    assert sum("decoding covers" in error for _, error in outputs) == 1, outputs


def test_the_cache_command_decodes_with_processes_what_a_training_then_maps(
    source, tmp_path, capsys, monkeypatch, caplog
):
    expected = [np.array(covers.all_pixels()) for covers in splits(source)]
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "covers" / "broken.png").write_bytes(b"no picture")
    words = ["covers", "cache", source.train_data_dir, "--resolution", "64", "--num-workers"]
    assert main([*words, "2"]) == 0
    assert "40 covers decoded at 64 px in" in capsys.readouterr().out
    assert "covers skipped" in caplog.text
    assert "could not be read when they were cached" not in caplog.text  # just now: said once
    monkeypatch.setattr(pixel_cache, "_decode_all", None)  # nothing is decoded any more
    for covers, pixels in zip(splits(source), expected, strict=True):
        assert (covers.all_pixels() == pixels).all()
    assert main([*words, "0"]) == 0
    assert main([*words, "-1"]) != 0
    assert "num_workers must be from 0 to 256" in capsys.readouterr().err


def test_covers_that_can_be_read_again_come_back_once_the_cache_is_deleted(source, tmp_path, caplog):
    broken = tmp_path / "covers" / "40.png"
    draw_cover(40, 64).save(broken)
    whole, dates = broken.read_bytes(), (time.time_ns(),) * 2
    broken.write_bytes(bytes(len(whole)))  # of the same size and date as the whole one, so of the same fingerprint
    os.utime(broken, ns=dates)
    with caplog.at_level(logging.WARNING):
        assert sum(map(len, splits(source))) == 40
        assert "1 of" in caplog.text
        assert "could not be read when they were cached" not in caplog.text  # just now: said once
        caplog.clear()
        assert sum(map(len, splits(source))) == 40
    assert "could not be read when they were cached, and are left out; to try again, delete" in caplog.text
    for pixels in (path for path in (tmp_path / "cache" / "pixels").glob("*.npy") if ".rows" not in path.name):
        pixels.unlink()
    broken.write_bytes(whole)
    os.utime(broken, ns=dates)
    assert sum(map(len, splits(source))) == 41
    assert all(covers.decoded.readable is None for covers in splits(source))  # which labels are chosen by


def splits(source: CoverSource) -> list[Covers]:
    split = load_covers(source)
    return [split.train, split.held_out]
