"""Time to the first cover from a cold start, compared with importing torch: python benchmarks/first_cover.py

With `--beside FOLDER`, another checkout of this repository is timed in alternation in the same run. Each measurement is
a new process; medians are printed.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROUNDS = 3
COVER = "from album_gan import AlbumCoverPipeline; AlbumCoverPipeline.from_pretrained()(seeds=[1])"
WALL = """
import time
from album_gan import AlbumCoverPipeline
pipe = AlbumCoverPipeline.from_pretrained()
times = []
for _ in range(16):
    start = time.perf_counter()
    pipe(seeds="0-15")
    times.append(time.perf_counter() - start)
print(sorted(times)[8])
"""
# Adds the checkout itself, as an editable install would.
PAGE = (
    "import importlib.util, pathlib, sys, album_gan; root = pathlib.Path(album_gan.__file__).parent.parent\n"
    "album_gan.__path__.append(str(root))\n"
    "from album_gan.space.app import launch; launch(None, '127.0.0.1', int(sys.argv[1]))"
)


def run(code: str, checkout: Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=checkout, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def seconds(code: str, checkout: Path) -> float:
    start = time.perf_counter()
    process = run(code, checkout)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    return time.perf_counter() - start


def wall_seconds(checkout: Path) -> float:
    """Seconds to draw 16 covers once everything is loaded."""
    return float(run(WALL, checkout).communicate()[0])


def page_seconds(checkout: Path) -> float:
    """Seconds from the command until the page answers with its first cover."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    process = run(PAGE, checkout, str(port))
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/cover/5.png", timeout=5).read()
                return time.perf_counter() - start
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(process.communicate()[1][-2000:])
    finally:
        process.kill()
        process.communicate()


def measure(checkouts: dict[str, Path]) -> dict[str, list[float]]:
    tasks = {"import torch": lambda: seconds("import torch", ROOT)}
    for name, folder in checkouts.items():
        tasks[f"the first cover{name}"] = lambda folder=folder: seconds(COVER, folder)
        tasks[f"a wall of 16{name}"] = lambda folder=folder: wall_seconds(folder)
        tasks[f"the page's first cover{name}"] = lambda folder=folder: page_seconds(folder)
    for task in tasks.values():
        task()  # warm the file cache
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            taken[name].append(task())
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    beside = parser.parse_args().beside
    taken = measure({"": ROOT, **({", beside": beside.resolve()} if beside else {})})
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, values in taken.items():
        print(f"{name:<34} {medians[name]:6.2f} s   (from {min(values):.2f} to {max(values):.2f})")
    print(f"the first cover takes {medians['the first cover'] / medians['import torch']:.2f} times `import torch`")
    if beside:
        for name in ("the first cover", "a wall of 16", "the page's first cover"):
            print(f"{name}: {medians[name] / medians[name + ', beside']:.2f} of the time beside")


if __name__ == "__main__":
    main()
