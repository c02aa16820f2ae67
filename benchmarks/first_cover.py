"""Time to the first cover from a cold start, beside importing what it needs: python benchmarks/first_cover.py

Each line is a fresh `python -c`, in turn, several times; the medians and what comes on top of the imports are printed.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 5
COMMANDS = {
    "import torch, diffusers": "import torch, diffusers",
    "import what it needs of them": "import torch; from diffusers import DiffusionPipeline, ModelMixin",
    "import album_gan": "import album_gan",
    "the first cover": "from album_gan import AlbumCoverPipeline; AlbumCoverPipeline.from_pretrained()(seeds=[1])",
}


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    for code in COMMANDS.values():
        seconds(code)  # files into the system's cache
    taken = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, code in COMMANDS.items():
            taken[name].append(seconds(code))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, values in taken.items():
        print(f"{name:<30} {medians[name]:6.2f} s   (from {min(values):.2f} to {max(values):.2f})")
    both, needed, _, cover = medians.values()
    print(f"the first cover takes {cover / both:.2f} times `import torch, diffusers`, and")
    print(
        f"{cover / needed:.2f} times the import of what it needs of them (diffusers loads its parts when they are used)"
    )


if __name__ == "__main__":
    main()
