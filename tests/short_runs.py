"""Short trainings of small networks, through the real command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = {
    "began": ["--began.width", "16"],
    "cgan": ["--cgan.width", "64"],
    "dcgan": ["--dcgan.width", "64"],
    "improved_dcgan": ["--improved_dcgan.width", "64"],
    "infogan": ["--infogan.width", "64"],
    "progressive": ["--progressive.width", "32"],
    "r3gan": ["--r3gan.width", "32", "--r3gan.blocks", "1"],
    "vanilla": ["--vanilla.width", "64"],
    "wgan": ["--wgan.width", "64", "--wgan.critic_steps", "2"],
    "wgan_gp": ["--wgan_gp.width", "32", "--wgan_gp.critic_steps", "2"],
}
QUICK = [
    *("--resolution", "32", "--train_batch_size", "4", "--dataloader_num_workers", "0", "--report_to", "none"),
    *("--mixed_precision", "no"),  # auto is bf16 on some CPUs, and bit for bit is not
]


def command(covers: Path, output: Path, recipe: str, *more: object) -> list[str]:
    return [
        *("--recipe", recipe, "--train_data_dir", str(covers), "--output_dir", str(output)),
        *(*QUICK, *SMALL.get(recipe, []), *map(str, more)),
    ]


def start(arguments: list[str], stdout: int = subprocess.PIPE) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    return output


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < deadline, f"{path.name} does not appear"
        time.sleep(0.01)


def wait_until(condition: Callable[[], object], seconds: float = 200) -> float:
    """Returns the time, of `time.monotonic`, at which `condition` holds; AssertionError if it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
    return time.monotonic()


def alarms_of(run: Path) -> list[dict]:
    """The alarms in the log of a run's folder, in order."""
    records = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [record["alarm"] for record in records if "alarm" in record]
