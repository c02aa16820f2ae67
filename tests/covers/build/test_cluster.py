"""Building on a dask cluster: the bytes of one process, whatever becomes of its workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from music_files import picture

from album_gan.covers.build import candidates
from album_gan.covers.build.build import BuildConfig, build
from album_gan.covers.build.cleaning import Cleaning

ROOT = Path(__file__).parents[3]
FILES = 600


@pytest.fixture(scope="module")
def pile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pile")
    for index in range(FILES):
        (folder / f"{index:03d}.png").write_bytes(picture(index, 300, "PNG"))
    return folder


@pytest.fixture
def cluster(tmp_path):
    """The file of a scheduler, and two workers as processes."""
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    options = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start(kind: str, *words: str) -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{kind}",
            "--scheduler-file",
            str(file),
            "--no-dashboard",
        ]
        return subprocess.Popen([*command, *words], **options)

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
    while not file.exists():
        assert scheduler.poll() is None
        time.sleep(0.2)
    workers = [start("worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1") for _ in range(2)]
    import distributed

    with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
    yield file, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def outputs(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file() and ".candidates" not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def config(pile: Path, out: Path, **options) -> BuildConfig:
    return BuildConfig(sources=(str(pile),), out=out, cleaning=Cleaning(resolution=64, min_size=32), **options)


@pytest.mark.slow
def test_the_same_bytes_when_a_worker_is_killed(pile, cluster, tmp_path, monkeypatch):
    file, workers = cluster
    monkeypatch.setattr(candidates, "SHARD_FILES", 10)
    build(config(pile, tmp_path / "alone"))
    real, written = candidates.write_atomic, []

    def write(path: Path, content: bytes, **options: bool) -> None:
        real(path, content, **options)
        if path.suffix == ".arrow":
            written.append(path)
            if len(written) == 3:
                workers[0].send_signal(signal.SIGKILL)

    monkeypatch.setattr(candidates, "write_atomic", write)
    build(config(pile, tmp_path / "together", cluster=str(file)))
    assert workers[0].wait() == -signal.SIGKILL
    assert len(written) == FILES // 10
    assert outputs(tmp_path / "together") == outputs(tmp_path / "alone")
    # Files that the workers cannot see are sent to them.
    monkeypatch.setattr("album_gan.covers.build.candidates.sees", lambda client, place: False)
    build(config(pile, tmp_path / "sent", cluster=str(file)))
    assert outputs(tmp_path / "sent") == outputs(tmp_path / "alone")


def test_no_cluster_says_so_before_anything_is_changed(tmp_path, monkeypatch):
    few = tmp_path / "few"
    few.mkdir()
    (few / "a.png").write_bytes(picture(0, 300, "PNG"))
    monkeypatch.setattr("album_gan.covers.build.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(ValueError, match="cluster must be the address of a dask scheduler"):
        build(config(few, tmp_path / "out", cluster="tcp://127.0.0.1:1"))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("album_gan.runtime.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'album-gan\[cluster\]'"):
        build(config(few, tmp_path / "out", cluster="tcp://127.0.0.1:1"))
