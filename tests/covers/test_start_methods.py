"""Workers however they are started: fork, forkserver (Linux since Python 3.14) and spawn (macOS, Windows)."""

import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from drawn_covers import save_covers

from album_gan.covers.batches import StepSampler, batches, resident_batches
from album_gan.covers.dataset import CoverSource, load_covers

ROOT = Path(__file__).parents[2]
SCRIPT = """
import hashlib, json, multiprocessing, sys
from album_gan.covers.batches import StepSampler, batches
from album_gan.covers.dataset import CoverSource, load_covers

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    covers = load_covers(CoverSource(train_data_dir=sys.argv[2], resolution=64)).train
    sampler = StepSampler(len(covers), 4, [slice(0, 4)], 0, 0, 6)
    digest = hashlib.sha256()
    for pixels, _ in batches(covers, sampler, 2):
        digest.update(pixels.numpy().tobytes())
    print(json.dumps(digest.hexdigest()))
"""


@pytest.fixture(scope="module")
def covers(tmp_path_factory) -> Path:
    return save_covers(tmp_path_factory.mktemp("covers"), 60, size=64)


@pytest.fixture
def environment(tmp_path, monkeypatch) -> dict[str, str]:
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def digest(read: Iterable[tuple[torch.Tensor, object]]) -> str:
    return hashlib.sha256(b"".join(pixels.numpy().tobytes() for pixels, _ in read)).hexdigest()


@pytest.mark.parametrize("method", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_same_batches_however_workers_start(covers, environment, tmp_path, method):
    split = load_covers(CoverSource(train_data_dir=str(covers), resolution=64))
    sampler = StepSampler(len(split.train), 4, [slice(0, 4)], 0, 0, 6)
    found = {digest(batches(split.train, sampler, workers)) for workers in (0, 2)}  # the latter by fork, on Linux
    script = tmp_path / "read.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, method, covers], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert found == {json.loads(done.stdout.splitlines()[-1])}


def test_batches_that_lie_on_a_device_are_those_of_the_data_loader(covers, environment):
    covers = load_covers(CoverSource(train_data_dir=str(covers), resolution=64)).train
    sampler = StepSampler(len(covers), 8, [slice(0, 4), slice(4, 8)], 0, 3, 20)
    pairs = list(zip(batches(covers, sampler, 0), resident_batches(covers, sampler, torch.device("cpu")), strict=True))
    assert len(pairs) == 34
    assert all(torch.equal(one[0], other[0]) for one, other in pairs)


def test_a_worker_gets_the_name_of_the_pixels_not_a_copy(covers, environment):
    split = load_covers(CoverSource(train_data_dir=str(covers), resolution=64))
    size = split.train.all_pixels().nbytes
    assert size > 500_000
    sent = pickle.dumps(split.train)
    assert len(sent) < 20_000
    received = pickle.loads(sent)
    assert (received.pixels_of([3, 1]) == split.train.pixels_of([3, 1])).all()


MEMORY = """
import json, multiprocessing, sys
from pathlib import Path
from album_gan.covers.batches import StepSampler, batches
from album_gan.covers.dataset import CoverSource, load_covers

def private(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) << 10

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    covers = load_covers(CoverSource(train_data_dir=sys.argv[2], resolution=int(sys.argv[3]))).train
    sampler = StepSampler(len(covers), 1, [slice(0, 1)], 0, 0, 3 * len(covers))
    found = []
    for number, _ in enumerate(batches(covers, sampler, 2)):
        if number == 2 * len(covers):  # after two of three epochs
            found = [private(process.pid) for process in multiprocessing.active_children()]
    print(json.dumps([covers.all_pixels().nbytes, max(found)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux, which tells a process's own memory"
)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_memory_of_workers_does_not_grow_with_the_covers(covers, environment, tmp_path, method):
    script = tmp_path / "memory.py"
    script.write_text(MEMORY)
    sizes = []
    for resolution in (64, 1024):
        done = subprocess.run(
            [sys.executable, script, method, covers, str(resolution)],
            env=environment, capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        sizes.append(json.loads(done.stdout.splitlines()[-1]))
    (small, before), (large, after) = sizes
    assert large - small > 120 << 20
    print(
        f"{method}: pixels {small >> 20} and {large >> 20} MB, own memory of a worker {before >> 20}, {after >> 20} MB"
    )
    assert after - before < 60 << 20  # some batches of 3 MB each; how many wait depends on the load


TRAIN = """
import multiprocessing, sys
from album_gan.cli.train import main

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow  # the batches that it reads are tested under all start methods
def test_training_under_forkserver(covers, environment, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(TRAIN)
    words = [
        *("--recipe", "dcgan", "--dcgan.width", 64, "--train_data_dir", covers, "--output_dir", tmp_path / "run"),
        *("--resolution", 32, "--train_batch_size", 4, "--dataloader_num_workers", 2, "--report_to", "none"),
        *("--max_train_steps", 3, "--evaluation_images", 0),
    ]
    done = subprocess.run(
        [sys.executable, script, "forkserver", *map(str, words)],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "run" / "training.json").read_text())["steps"] == 3


def test_nothing_that_only_linux_has_is_imported(covers, tmp_path):
    """As on Windows: no `resource`, no affinity, no SIGHUP, folders that cannot be opened."""
    script = tmp_path / "elsewhere.py"
    script.write_text(
        "import os, signal, sys\n"
        "from album_gan.cli.train import main\n"
        "from album_gan.training import dry_run, loop\n"  # with what they import, which may need these on Linux
        "sys.modules['resource'] = None\n"
        "del os.sched_getaffinity, signal.SIGHUP, os.posix_fallocate\n"
        "if __name__ == '__main__':\n"
        "    short = ['--max_train_steps', '2', '--evaluation_images', '0']\n"
        "    sys.exit(main([*sys.argv[1:], *short]) or main([*sys.argv[1:], '--dry_run']))\n"
    )
    words = [
        *("--recipe", "dcgan", "--dcgan.width", 64, "--train_data_dir", covers, "--output_dir", tmp_path / "run"),
        *("--resolution", 32, "--train_batch_size", 4, "--dataloader_num_workers", 0, "--report_to", "none"),
    ]
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "ALBUM_GAN_CACHE": str(tmp_path / "cache"),
        "PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "default::EncodingWarning",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, script, *map(str, words)], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ours = [line for line in done.stderr.splitlines() if "EncodingWarning" in line and "/album_gan/" in line]
    assert not ours
    assert (tmp_path / "run" / "training.json").exists()
    assert "accelerate launch" in done.stdout  # the dry run's last lines


LOST_READER = """
import multiprocessing.resource_sharer as sharer, os, socket, time
from album_gan.covers.batches import leave_stopping_to_the_training_process
if {prepared}:
    leave_stopping_to_the_training_process(0)
sharer.DupFd(1)  # as for a tensor that a worker hands over
with socket.socket(socket.AF_UNIX) as reader:
    reader.connect(sharer._resource_sharer._address)
time.sleep(0.5)
"""


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="workers hand over tensors by Unix sockets")
def test_a_worker_says_nothing_when_the_training_process_is_gone():
    """An ended training printed a worker's traceback, if it ended while it took a batch."""
    printed = {}
    for prepared in (True, False):
        command = [sys.executable, "-c", LOST_READER.format(prepared=prepared)]
        printed[prepared] = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert printed[True] == ""
    assert "Traceback" in printed[False]  # else this tests nothing
