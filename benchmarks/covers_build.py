"""Speed, quality and memory of building a data set of covers, compared with the minimum work and an older build.

    python benchmarks/covers_build.py [--pictures 4000] [--workers 2] [--hashes 1000000] [--before CHECKOUT]

The limit is Pillow decoding, resizing and encoding the same files, in as many processes; it is measured before and
after the build, because of other work on the machine. CHECKOUT is a checkout of an older commit, whose build alternates
with this one. Then come the quality of the stored pictures, the memory for a quarter of the files and for all, and the
search for duplicates among simulated hashes. Pictures are synthetic: JPEGs of 640 to 1,400 px with grain, about 1.5
bits per pixel.
"""

import argparse
import ctypes
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.forkserver import _forkserver
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from album_gan.covers.build.cleaning import Cleaning, clean, has_opencv, squared_by_opencv  # noqa: E402
from album_gan.covers.decoding import squared  # noqa: E402
from album_gan.covers.synthetic import draw_cover  # noqa: E402

SETTINGS = Cleaning(resampling="cubic" if has_opencv() else "lanczos")
PR_SET_CHILD_SUBREAPER = 36  # of Linux
SIDES = (640, 800, 1000, 1200, 1400)


def draw(path: Path, index: int) -> None:
    rng = np.random.default_rng(index)
    side = SIDES[index % len(SIDES)]
    grain = Image.fromarray(rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8))
    grain = grain.resize((side, side), Image.Resampling.BICUBIC)
    Image.blend(draw_cover(index, side), grain, 0.35).save(path, quality=88)


def least(paths: list[Path]) -> None:
    size = (SETTINGS.resolution, SETTINGS.resolution)
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.draft("RGB", size)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(io.BytesIO(), "JPEG", quality=SETTINGS.quality)


def processor_time() -> float:
    """Processor seconds of this process and of children that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def limit(folder: Path, workers: int) -> dict:
    """Seconds and processor seconds of the minimum work."""
    paths = sorted(folder.glob("*.jpg"))
    parts = [paths[start : start + 100] for start in range(0, len(paths), 100)]
    before = processor_time()
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(least, [part[:1] for part in parts]))  # start the processes before the clock
        started = time.monotonic()
        list(pool.map(least, parts))
        seconds = time.monotonic() - started
    return {"seconds": seconds, "processor": processor_time() - before}


def built(folder: Path, workers: int) -> dict:
    """Seconds, processor seconds, covers and peak memory of a build in this process and its workers."""
    from album_gan.covers.build.build import BuildConfig, build

    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        summary = build(
            BuildConfig(sources=(str(folder),), out=Path(out) / "covers", workers=workers, cleaning=SETTINGS)
        )
        seconds = time.monotonic() - started
    _forkserver._stop()  # type: ignore[attr-defined]  # waits for the workers, so that they are counted
    used = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    counts = {"files": summary.total, "kept": summary.kept}
    return {"seconds": seconds, "processor": processor_time(), **counts, "memory": used[0], "worker_memory": used[1]}


def command_line(checkout: Path, folder: Path, workers: int) -> dict:
    """Seconds and processor seconds of a checkout's `album-gan covers build`, including process start."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # workers outlive their build by a moment
    main = "album_gan.cli.main" if (checkout / "album_gan" / "cli" / "main.py").exists() else "album_gan.cli"
    code = f"from {main} import main; import sys; sys.exit(main())"
    with tempfile.TemporaryDirectory() as out:
        words = ["covers", "build", str(folder), "--out", f"{out}/covers", "--num-workers", str(workers)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        before, started = processor_time(), time.monotonic()
        command = [sys.executable, "-c", code, *words]
        subprocess.run(command, check=True, env=environment, cwd=checkout, capture_output=True)
        seconds = time.monotonic() - started
        with suppress(ChildProcessError):
            while True:
                os.wait()
        return {"seconds": seconds, "processor": processor_time() - before}


def decibels(first: Image.Image, second: Image.Image) -> float:
    difference = np.asarray(first).astype(float) - np.asarray(second)
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9)))


def quality(files: list[Path]) -> dict:
    """PSNR compared with full decoding and Lanczos: of the pixels, and after JPEG encoding of both."""
    size = (SETTINGS.resolution, SETTINGS.resolution)
    shrink = squared if SETTINGS.resampling == "lanczos" else squared_by_opencv
    pixels, stored = [], []
    for file in files:
        full = Image.open(file).resize(size, Image.Resampling.LANCZOS)
        image = Image.open(file)
        image.draft("RGB", size)
        pixels.append(decibels(shrink(image.convert("RGB"), SETTINGS.resolution), full))
        buffer = io.BytesIO()
        full.save(buffer, "JPEG", quality=SETTINGS.quality)
        cleaned = clean(file.read_bytes(), file.name, SETTINGS)
        stored.append(decibels(Image.open(io.BytesIO(cleaned.jpeg)), Image.open(buffer)))
    return {"pixels": float(np.mean(pixels)), "stored": float(np.mean(stored))}


def copies_found(files: list[Path], resampling: str) -> float:
    """Fraction of pictures recognised in a copy of 0.7 times the size, saved at quality 60."""
    from album_gan.covers.build.duplicates import HASH_LIMIT, is_same
    from album_gan.covers.build.image_match import compare

    settings = Cleaning(resampling=resampling)
    found = []
    for file in files:
        image, buffer = Image.open(file), io.BytesIO()
        image.resize((image.width * 7 // 10, image.height * 7 // 10), Image.Resampling.LANCZOS).save(
            buffer, "JPEG", quality=60
        )
        one, other = (clean(data, file.name, settings) for data in (file.read_bytes(), buffer.getvalue()))
        bits = max((one.dhash ^ other.dhash).bit_count(), (one.phash ^ other.phash).bit_count())
        same = is_same(compare(*(np.frombuffer(each.thumbnail, np.uint8)[None] for each in (one, other))))[0]
        found.append(bits <= HASH_LIMIT and same)
    return float(np.mean(found))


def search(count: int) -> dict:
    """Seconds and peak memory of the search among hashes, a fifth of which are copies with a few bits flipped."""
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
    """Run a part of this file in a separate process, to measure its memory."""
    command = [sys.executable, __file__, "--part", what, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT")
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
        limits.append(limit(all_files, arguments.workers))  # before and after, because of other work
        part = alone("build", quarter, arguments.workers)
        turns = []
        for _ in range(3 if arguments.before else 0):
            turns.append([command_line(root, all_files, arguments.workers) for root in (arguments.before, ROOT)])
        psnr = quality(files[:100])  # as many of each size
        recall = {name: copies_found(files[:100], name) for name in ("lanczos", SETTINGS.resampling)}
    files, best = whole["files"], {name: (limits[0][name] + limits[1][name]) / 2 for name in limits[0]}
    print(f"{files:,} files, {whole['kept']:,} kept, {arguments.workers} workers")
    for name, run in (("before", limits[0]), ("after", limits[1])):
        print(f"least work {name:7} {files / run['seconds']:7.1f} files/s, {run['processor']:6.1f} processor seconds")
    print(f"covers build       {files / whole['seconds']:7.1f} files/s, {whole['processor']:6.1f} processor seconds")
    share = {name: best[name] / whole[name] for name in best}
    print(f"share of the limit {share['seconds']:7.2f}          {share['processor']:8.2f}")
    print("(all phases and the start of all processes included)")
    if turns:
        before, now = (sorted(turn[place]["seconds"] for turn in turns)[len(turns) // 2] for place in (0, 1))
        print(f"command line, median of {len(turns)}: {arguments.before.name} {files / before:.1f} files/s, this one "
              f"{files / now:.1f} files/s, {before / now:.2f} times as fast")  # fmt: skip
        old, new = (sum(turn[place]["processor"] for turn in turns) for place in (0, 1))
        print(
            f"command line, processor seconds {old / len(turns):.2f} and {new / len(turns):.2f}, {old / new:.2f} times"
        )
    print(
        f"PSNR against full decoding and Lanczos: {', '.join(f'{name} {value:.1f} dB' for name, value in psnr.items())}"
    )
    print(f"copies recognised: {', '.join(f'{name} {value:.3f}' for name, value in recall.items())}")
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
