"""A Hub on this machine for tests, and Python in separate processes that know no other."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOKEN = "hf_secretOfTheTests"
CLI = "import sys; from album_gan.cli.main import main; sys.exit(main())"


class Loopback:
    """`run` gives (exit code, output) of Python code; without a token nothing private can be seen."""

    def __init__(self, address: str, folder: Path):
        self.address, self.folder = address, folder

    def environment(self, token: str | None = TOKEN, home: str = "home", **more: str) -> dict[str, str]:
        names = {
            "HF_ENDPOINT": self.address, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT),
            "HF_HOME": str(self.folder / home), "ALBUM_GAN_CACHE": str(self.folder / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
        }  # fmt: skip
        return {**os.environ, **names, **({"HF_TOKEN": token} if token else {}), **more}

    def run(self, code: str, *arguments: object, **environment: str) -> tuple[int, str]:
        words = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment(**environment), capture_output=True, text=True, timeout=250
        )
        return done.returncode, done.stdout + done.stderr

    def ask(self, path: str) -> bytes:
        """What the Hub itself knows: see `minihub.py`."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=60) as answer:
            return answer.read()


@contextmanager
def loopback(folder: Path) -> Iterator[Loopback]:
    """A Hub with nothing on it; processes run in `folder`."""
    server = subprocess.Popen([sys.executable, ROOT / "tests" / "minihub.py"], stdout=subprocess.PIPE, text=True)
    try:
        yield Loopback(server.stdout.readline().strip(), folder)
    finally:
        server.terminate()
        server.wait()
