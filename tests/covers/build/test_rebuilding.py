"""A second build in the same place: it continues one that was killed, and replaces no data set of other sources."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from music_files import silence, tag
from piles import config, digests, jpeg, outcomes, pile

from album_gan.covers.build import archives, candidates, music_tags, sources
from album_gan.covers.build.build import build

ROOT = Path(__file__).parents[3]


def test_files_that_could_not_be_read_are_read_by_the_next_build(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "SHARD_FILES", 4)
    folder = pile(tmp_path / "pile", 12)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("x.jpg", jpeg(20))
    build(config(tmp_path, folder))
    right = digests(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    real = {"_read_file": sources._read_file, "_read_zipped": archives._read_zipped}

    def failing(name: str, victim: str):
        def read(*place):
            if victim in str(place):
                raise OSError(errno.EIO, "Input/output error")
            return real[name](*place)

        return read

    with monkeypatch.context() as patch:
        patch.setattr(sources, "_read_file", failing("_read_file", "Title 7"))
        patch.setattr(archives, "_read_zipped", failing("_read_zipped", "x.jpg"))
        for _ in range(2):
            assert build(config(tmp_path, folder)).kept == 11
        row = outcomes(tmp_path / "out")["Artist 7 - Title 7.jpg"]
        assert (row["outcome"], row["detail"]) == ("unreadable", "not read this time: OSError")
        assert not list((tmp_path / "out").rglob("finished.json"))
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}
    build(config(tmp_path, folder))
    assert digests(tmp_path / "out") == right
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}
    assert len(before.items() & after.items()) == len(after) - 2
    assert list((tmp_path / "out").rglob("finished.json"))


@pytest.mark.parametrize("victim", ["b.json", "metadata.csv", "1.mp3", "folder.jpg"])
def test_labels_and_music_that_could_not_be_read_are_read_by_the_next_build(tmp_path, monkeypatch, victim):
    folder = pile(tmp_path / "pile", 4)
    for name, index in (("a", 20), ("b", 21), ("music/folder", 22)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(jpeg(index))
    (folder / "metadata.csv").write_text("file_name,artist\na.jpg,NA\n")
    (folder / "b.json").write_text('{"artist": "Anna"}')
    for number in (1, 2):  # the second album's picture is inside
        track = silence(folder / "music" / f"{number}.mp3")
        tag(track, [(3, jpeg(30))] if number == 2 else [], album=f"Album {number}", artist="Anna")
    build(config(tmp_path, folder))
    right = digests(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")

    def failing(real):
        def read(place, *rest):
            if victim in str(place):
                raise OSError(errno.EIO, "Input/output error")
            return real(place, *rest)

        return read

    class Unreadable(music_tags._WatchedFile):
        def __init__(self, name):
            super().__init__(name)
            if name.endswith(victim):
                os.dup2(write_only, self.fileno())

    write_only = os.open(os.devnull, os.O_WRONLY)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "_read_file", failing(sources._read_file))
        patch.setattr(Path, "read_bytes", failing(Path.read_bytes))
        patch.setattr(music_tags, "_WatchedFile", Unreadable)
        build(config(tmp_path, folder))
        [row] = [row for name, row in outcomes(tmp_path / "out").items() if name.endswith(victim)]
        assert (row["outcome"], row["detail"]) == ("unreadable", "not read this time: OSError")
        assert digests(tmp_path / "out") != right
        assert not list((tmp_path / "out").rglob("finished.json"))
    os.close(write_only)
    build(config(tmp_path, folder))
    assert digests(tmp_path / "out") == right
    assert list((tmp_path / "out").rglob("finished.json"))


@pytest.mark.parametrize("failing_first", [True, False])
def test_an_archive_that_could_not_be_opened_shifts_no_others(tmp_path, monkeypatch, failing_first):
    monkeypatch.setattr(candidates, "SHARD_FILES", 4)
    folder = tmp_path / "pile"
    folder.mkdir()
    for name, first in (("a.zip", 0), ("b.zip", 6)):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for index in range(first, first + 6):
                archive.writestr(f"{index}.jpg", jpeg(index))
    real = zipfile.ZipFile

    def failing(path, *options):
        if Path(path).name == "a.zip":
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *options)

    if not failing_first:  # interrupted after all shards but the last
        build(config(tmp_path, folder))
        next((tmp_path / "out").rglob("finished.json")).unlink()
        next((tmp_path / "out").rglob("000002.arrow")).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", failing)
        assert build(config(tmp_path, folder)).kept == 6
        assert len(outcomes(tmp_path / "out")) == 7
    assert build(config(tmp_path, folder)).kept == 12
    assert len(outcomes(tmp_path / "out")) == 12


def test_a_broken_archive_is_not_read_again(tmp_path):
    folder = pile(tmp_path / "pile", 3)
    (folder / "none.tar").write_bytes(b"no archive at all")
    (folder / "none.zip").write_bytes(b"no archive at all")
    (folder / "none.parquet").write_bytes(b"no table at all")
    assert build(config(tmp_path, folder)).kept == 3
    assert list((tmp_path / "out").rglob("finished.json"))


def test_a_data_set_of_other_sources_is_not_replaced(tmp_path):
    one, two = pile(tmp_path / "one", 8), pile(tmp_path / "two", 3, first=20)
    build(config(tmp_path, one))
    before = digests(tmp_path / "out")
    with pytest.raises(ValueError, match=r"out was built from one, and this build is from two; choose another place"):
        build(config(tmp_path, two))
    assert digests(tmp_path / "out") == before
    assert build(config(tmp_path, one, two)).kept == 11


def test_a_data_set_of_another_source_with_the_same_name_is_not_replaced(tmp_path, monkeypatch):
    one, two = pile(tmp_path / "a" / "pictures", 8), pile(tmp_path / "b" / "pictures", 3, first=20)
    more = pile(tmp_path / "more", 2, first=40)
    build(config(tmp_path, one, more))
    before = digests(tmp_path / "out")
    for others in ((two,), (two, more)):
        with pytest.raises(ValueError, match="out was built from another pictures; choose another place with --out"):
            build(config(tmp_path, *others))
    assert digests(tmp_path / "out") == before
    assert str(tmp_path) not in (tmp_path / "out" / ".sources.json").read_text()
    assert build(config(tmp_path, two, one)).kept == 11
    monkeypatch.chdir(tmp_path / "a")
    assert build(config(tmp_path, "pictures")).kept == 8
    one.rename(tmp_path / "pictures")
    (tmp_path / "out" / ".sources.json").unlink()
    assert build(config(tmp_path, tmp_path / "pictures")).kept == 8


def test_covers_keep_their_sides_when_sources_are_added(tmp_path):
    def sides() -> dict[str, str]:
        return {
            id_: path.name.partition("-")[0]
            for path in (tmp_path / "out" / "data").glob("*.parquet")
            for id_ in pq.read_table(path)["id"].to_pylist()
        }

    one, more = tmp_path / "one", tmp_path / "more"
    one.mkdir(), more.mkdir()
    for index in range(40):  # another edition of each album: they share a group
        (one / f"Artist - Title {index}.jpg").write_bytes(jpeg(index))
        (more / f"Artist - Title {index}.jpg").write_bytes(jpeg(index + 100))
    build(config(tmp_path, one))
    before = sides()
    assert set(before.values()) == {"train", "test"}
    build(config(tmp_path, one, more))
    after = sides()
    assert len(after) == 80
    assert {id_: after[id_] for id_ in before} == before

    ids = {hashlib.sha256(jpeg(index)).hexdigest()[:16]: index for index in range(40)}
    [trained, held_out] = (next(ids[id_] for id_ in before if before[id_] == side) for side in ("train", "test"))
    (more / f"Artist - Title {trained}.png").write_bytes(jpeg(held_out))  # joins their groups: that for training wins
    build(config(tmp_path, one, more))
    assert {id_ for id_ in before if sides()[id_] != before[id_]} == {name for name in ids if ids[name] == held_out}

    shutil.rmtree(tmp_path / "out")
    build(config(tmp_path, one, more))
    assert any(sides()[id_] == "test" for id_ in before if before[id_] == "train")


@pytest.mark.parametrize("recorded", [True, False])
def test_a_data_set_without_its_candidates_is_still_one(tmp_path, recorded):
    one, two = pile(tmp_path / "one", 8), pile(tmp_path / "two", 3, first=20)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".DS_Store").touch()  # of a Mac
    build(config(tmp_path, one))
    shutil.rmtree(tmp_path / "out" / ".candidates")
    if not recorded:  # as by earlier versions, which kept the names among the candidates
        (tmp_path / "out" / ".sources.json").unlink()
    with pytest.raises(ValueError, match=r"out was built from one, and this build is from two; choose another place"):
        build(config(tmp_path, two))
    assert build(config(tmp_path, one, two)).kept == 11


def test_files_are_not_cleaned_again_for_another_selection(tmp_path):
    folder = pile(tmp_path / "pile", 4)
    (folder / "same.jpg").write_bytes(jpeg(1))

    def shards() -> set[tuple[str, int]]:
        return {(str(path), path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*.arrow")}

    assert build(config(tmp_path, folder)).kept == 4
    before = shards()
    allowed = ("exact_duplicate", "near_duplicate", "placeholder")
    assert build(config(tmp_path, folder, cleaning={"allow": allowed})).kept == 5
    assert shards() == before
    build(config(tmp_path, folder, cleaning={"allow": ("near_blank",)}))
    assert shards() > before


def test_two_builds_are_never_in_one_place(tmp_path):
    settings = config(tmp_path, pile(tmp_path / "pile", 3))
    assert build(settings).kept == 3
    before = digests(tmp_path / "out")
    with (
        FileLock(tmp_path / "out" / ".candidates" / ".lock"),
        pytest.raises(ValueError, match=r"out .*out is in use by another build; wait for it to end"),
    ):
        build(settings)
    assert digests(tmp_path / "out") == before
    assert build(settings).kept == 3


def killed_and_continued(tmp_path, kills: int, count: int) -> None:
    """Kill a build with SIGKILL at random moments, then let it finish: the bytes of one that was let alone."""
    folder = pile(tmp_path / "pile", count)
    command = [
        sys.executable, "-c",
        "from album_gan.covers.build import candidates, shards; candidates.SHARD_FILES, shards.ROWS = 8, 20\n"
        "from album_gan.cli.main import main; import sys; print('ready', flush=True); sys.exit(main())",
        "covers", "build", str(folder), "--resolution", "64", "--min-size", "32", "--num-workers", "0",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(out: str) -> subprocess.Popen:
        running = subprocess.Popen(
            [*command, "--out", str(tmp_path / out)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert running.stdout.readline() == b"ready\n"
        return running

    running, started = start("whole"), time.monotonic()
    assert running.wait() == 0
    duration = time.monotonic() - started
    rng = random.Random(0)
    interrupted = 0
    for _ in range(kills):
        running = start("killed")
        time.sleep(rng.uniform(0, 0.5) * duration)
        running.send_signal(signal.SIGKILL)
        interrupted += running.wait() != 0
    assert interrupted
    assert start("killed").wait() == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_a_build_killed_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    settings = config(tmp_path, pile(tmp_path / "pile", 40))
    killed = [".train-00000-of-00001.parquet.0a1b2c3d.tmp", ".files.csv.gz.0a1b2c3d.tmp"]

    def kill(unfinished: Path, _data: Path, _old: Path) -> None:
        for folder, name in zip((unfinished, settings.out), killed, strict=True):
            (folder / name).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("album_gan.covers.build.build.replace_folder", kill)
        with pytest.raises(KeyboardInterrupt):
            build(settings)
    build(settings)
    assert [path for path in settings.out.rglob(".*.tmp")] == []


def test_a_killed_build_continues(tmp_path):
    killed_and_continued(tmp_path, kills=2, count=120)


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    killed_and_continued(tmp_path, kills=10, count=1500)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "SHARD_FILES", 4)
    folder = pile(tmp_path / "pile", 12)
    real, left = candidates.write_atomic, [2]

    def full(path, content, **options):
        if not left[0]:
            raise OSError(28, "No space left on device", str(path))
        left[0] -= 1
        real(path, content, **options)

    monkeypatch.setattr(candidates, "write_atomic", full)
    with pytest.raises(OSError, match="No space left"):
        build(config(tmp_path, folder))
    assert len(list((tmp_path / "out").rglob("*.arrow"))) == 2
    left[0] = 100
    assert build(config(tmp_path, folder)).kept == 12
