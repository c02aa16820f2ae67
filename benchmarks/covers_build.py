"""Speed and memory of building a data set of covers, against the least work that it can be.

    python benchmarks/covers_build.py [--pictures 8000] [--workers 2] [--hashes 1000000]

The limit: Pillow decodes, scales and encodes the same files, in as many processes, and nothing else; before the build
and after it, for other work comes and goes. Then the memory of builds of a quarter of the files and of all of them,
and the search for duplicates among simulated hashes. Pictures are drawn: 640 px JPEGs with grain, about 80 KB each.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from album_gan.covers.build.cleaning import Cleaning  # noqa: E402
from album_gan.covers.synthetic import draw_cover  # noqa: E402

SETTINGS = Cleaning()


def draw(path: Path, index: int) -> None:
    rng = np.random.default_rng(index)
    grain = Image.fromarray(rng.integers(0, 255, (80, 80, 3), dtype=np.uint8))
    grain = grain.resize((640, 640), Image.Resampling.BICUBIC)
    Image.blend(draw_cover(index, 640), grain, 0.35).save(path, quality=88)


def least(paths: list[Path]) -> None:
    size = (SETTINGS.resolution, SETTINGS.resolution)
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.draft("RGB", size)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(io.BytesIO(), "JPEG", quality=SETTINGS.quality)


def processor_time() -> float:
    """Seconds of this process and of those that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def limit(folder: Path, workers: int) -> dict:
    """Seconds and processor seconds of the least work."""
    paths = sorted(folder.glob("*.jpg"))
    parts = [paths[start : start + 100] for start in range(0, len(paths), 100)]
    before = processor_time()
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(least, [part[:1] for part in parts]))  # the processes are there before the clock starts
        started = time.monotonic()
        list(pool.map(least, parts))
        seconds = time.monotonic() - started
    return {"seconds": seconds, "processor": processor_time() - before}


def built(folder: Path, workers: int) -> dict:
    """Seconds, processor seconds, covers and peak memory of a build in this process and its workers."""
    from album_gan.covers.build.build import BuildConfig, build

    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        summary = build(BuildConfig(sources=(str(folder),), out=Path(out) / "covers", workers=workers))
        seconds = time.monotonic() - started
    used = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    counts = {"files": summary.total, "kept": summary.kept}
    return {"seconds": seconds, "processor": processor_time(), **counts, "memory": used[0], "worker_memory": used[1]}


def search(count: int) -> dict:
    """Seconds and peak memory of the search among hashes of which a fifth are copies, a few bits off."""
    from album_gan.covers.build.duplicates import near_hashes

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (count, 2), dtype=np.uint64)
    copies = count // 5
    flips = np.zeros((copies, 2), np.uint64)
    for _ in range(4):
        flips |= np.uint64(1) << rng.integers(0, 64, (copies, 2), dtype=np.uint64)
    hashes[-copies:] = hashes[:copies] ^ flips
    started = time.monotonic()
    pairs = near_hashes(hashes[:, 0], hashes[:, 1])
    seconds = time.monotonic() - started
    found = set(map(tuple, pairs.tolist()))
    recall = np.mean([(row, count - copies + row) in found for row in range(copies)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "pairs": len(pairs), "recall": float(recall), "memory": memory}


def alone(what: str, *arguments: str | int | Path) -> dict:
    """Run a part of this file in a process of its own, for its memory alone."""
    command = [sys.executable, __file__, "--part", what, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        what, *rest = arguments.part
        print(json.dumps(search(int(rest[0])) if what == "search" else built(Path(rest[0]), int(rest[1]))))
        return

    with tempfile.TemporaryDirectory() as folder:
        all_files, quarter = Path(folder) / "all", Path(folder) / "quarter"
        for made in (all_files, quarter):
            made.mkdir()
        files = [all_files / f"{index:06d}.jpg" for index in range(arguments.pictures)]
        with ProcessPoolExecutor(arguments.workers) as pool:
            list(pool.map(draw, files, range(len(files)), chunksize=50))
        for file in files[::4]:
            (quarter / file.name).hardlink_to(file)
        limits = [limit(all_files, arguments.workers)]
        whole = alone("build", all_files, arguments.workers)
        limits.append(limit(all_files, arguments.workers))  # before and after: other work comes and goes
        part = alone("build", quarter, arguments.workers)
    files, best = whole["files"], {name: (limits[0][name] + limits[1][name]) / 2 for name in limits[0]}
    print(f"{files:,} files, {whole['kept']:,} kept, {arguments.workers} workers")
    for name, run in (("before", limits[0]), ("after", limits[1])):
        print(f"least work {name:7} {files / run['seconds']:7.1f} files/s, {run['processor']:6.1f} processor seconds")
    print(f"covers build       {files / whole['seconds']:7.1f} files/s, {whole['processor']:6.1f} processor seconds")
    share = {name: best[name] / whole[name] for name in best}
    print(f"share of the limit {share['seconds']:7.2f}          {share['processor']:8.2f}")
    print("(all phases and the start of all processes included)")
    for name, run in (("a quarter", part), ("all", whole)):
        print(f"peak memory, {name:9}  {run['memory']:6.0f} MB, a worker {run['worker_memory']:.0f} MB")
    for count in (arguments.hashes // 4, arguments.hashes):
        run = alone("search", count)
        print(
            f"search, {count:9,} hashes  {run['seconds']:6.1f} s, {run['pairs']:,} pairs, copies found "
            f"{run['recall']:.3f}, {run['memory']:.0f} MB"
        )


if __name__ == "__main__":
    main()
