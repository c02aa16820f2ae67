"""Files appear whole or not at all; what goes wrong names the file, its folder and the way out."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from album_gan.inference.atomic import atomic_path, remove_leftovers, replace_folder, write_atomic


def test_writes_bytes_and_text_and_leaves_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", b"1\r\n", flush=True)
    write_atomic(tmp_path / "b", "Motörhead\n")
    with atomic_path(tmp_path / "c.npy", flush=True) as temporary, temporary.open("wb") as file:
        assert temporary.parent == tmp_path  # the rename must not cross file systems
        np.save(file, np.arange(3))
    assert (tmp_path / "a").read_bytes() == b"1\r\n"
    assert (tmp_path / "b").read_bytes() == "Motörhead\n".encode()
    assert np.load(tmp_path / "c.npy").tolist() == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c.npy"]


@pytest.mark.skipif(os.name == "nt", reason="whole paths have 260 characters there")
def test_names_as_long_as_systems_take(tmp_path):
    for name in ("夜" * 85, "x" * 255):
        write_atomic(tmp_path / name, name)
        assert (tmp_path / name).read_text(encoding="utf-8") == name


def test_what_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    write_atomic(tmp_path / "a", "old")

    def fail():
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise ValueError("no cover")

    with pytest.raises(ValueError, match="no cover"):
        fail()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    with atomic_path(tmp_path / "a") as one, atomic_path(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"


def test_a_full_disk_is_told_with_file_folder_and_way_out(tmp_path):
    code = (
        "import resource, signal, sys; from album_gan.inference.atomic import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomic(sys.argv[1], bytes(2000))"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True)
    assert f"a.png could not be written to {tmp_path}: File too large; make room there" in result.stderr
    assert os.listdir(tmp_path) == []


def test_errors_keep_their_kind_and_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"a could not be written to {tmp_path}/b: .*; create the folder first"):
        write_atomic(tmp_path / "b" / "a", "")
    full = "No space left on device; make room there"
    with pytest.raises(OSError, match=full) as caught, atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError, match="a could not be written"):
        write_atomic(tmp_path / "a", "")


def test_errors_of_other_files_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.webp") as caught, atomic_path(tmp_path / "a"):
        (tmp_path / "missing.webp").read_bytes()
    assert caught.value.filename.endswith("missing.webp")


def test_leftovers_of_killed_writers_go_and_fresh_ones_stay(tmp_path):
    old, new, other = tmp_path / ".a.npy.0123abcd.tmp", tmp_path / ".a.npy.0123abce.tmp", tmp_path / "notes.tmp"
    for path in (old, new, other):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    os.utime(other, (time.time() - 7200,) * 2)
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.npy.0123abce.tmp", "notes.tmp"]


def test_a_folder_is_replaced_whole(tmp_path):
    new, folder, old = (tmp_path / name for name in ("new", "folder", "old"))
    for content in ("first", "second"):
        new.mkdir()
        (new / content).write_text(content)
        replace_folder(new, folder, old)
        assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["folder", content])
