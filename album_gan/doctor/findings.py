"""What a check says, and what it is given. Standard library only."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROBE_SECONDS = 180


@dataclass(frozen=True)
class Finding:
    """What one check says: a line, and what to type if it is not good news."""

    status: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""
    name: str = ""


class Probe:
    """A process of `probes.py`, and its output once it has ended, however it ended."""

    def __init__(self, *arguments: str):
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "album_gan.doctor.probes", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        self._results: list[dict[str, Any]] | None = None

    def results(self) -> list[dict[str, Any]]:
        """Its lines; the last one has `error` if it did not finish."""
        if self._results is None:
            timed_out: list[dict[str, Any]] = []
            try:
                out, err = self.process.communicate(timeout=PROBE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                out, err = self.process.communicate()
                err, timed_out = f"did not finish within {PROBE_SECONDS} s", [{"timed_out": PROBE_SECONDS}]
            self._results = [json.loads(line) for line in out.splitlines() if line.startswith("{")] + timed_out
            if self.process.returncode and not self._found("error"):
                self._results.append({"error": self._death(err)})
        return self._results

    def get(self, key: str) -> Any:
        """The last value reported under `key`, None where there is none."""
        return next((line[key] for line in reversed(self.results()) if key in line), None)

    def error(self) -> str | None:
        """Why it ended early, and at what."""
        error = self.get("error")
        return error and f"{self.get('doing') or 'starting Python'} failed: {error}"

    def _found(self, key: str) -> bool:
        return any(key in line for line in self._results or [])

    def _death(self, err: str) -> str:
        code = self.process.returncode
        last = next((line for line in reversed(err.splitlines()) if line.strip()), "")
        return f"killed by {signal.Signals(-code).name} {last}".strip() if code < 0 else last or f"exit code {code}"


class Context:
    """What to check, and the probes, which run in parallel with other checks."""

    def __init__(self, output_dir: Path, folder: str | None, name: str | None, data_files: str | None):
        self.output_dir = output_dir
        self.data_set = (folder, name, data_files)
        self.smi = _nvidia_smi()

    def __enter__(self) -> "Context":
        self.torch = Probe("torch")
        self.covers = Probe("covers", *(part or "" for part in self.data_set)) if any(self.data_set) else None
        return self

    def __exit__(self, *_: object) -> None:
        for probe in filter(None, (self.torch, self.covers)):
            probe.process.kill()
            probe.process.communicate()


def _nvidia_smi() -> dict[str, str] | None:
    """Name, driver and newest CUDA of the first GPU, as the driver's own tool says; None without it or without one."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        first = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()[0]
        banner = subprocess.run([command], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
    name, _, driver = (part.strip() for part in first.rpartition(","))
    cuda = re.search(r"CUDA\D*?Version:\s*([\d.]+)", banner)
    return {"name": name, "driver": driver, "cuda": cuda[1] if cuda else "unknown"}
