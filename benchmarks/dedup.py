"""Recall of the duplicate search, and its false positives.

    python benchmarks/dedup.py COVERS [--copies 3000] [--sheet pairs.png]

COVERS is a folder of Parquet files with distinct covers. Copies are planted: re-encoded, resized, cropped by 2 %, made
brighter or darker, and all of that. Pairs found among the covers themselves are false positives, or real duplicates not
known before: `--sheet` draws them, to check by eye (other people's covers: never publish it).
"""

import argparse
import io
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from PIL import Image, ImageDraw, ImageEnhance, ImageFont  # noqa: E402

from album_gan.covers.build.cleaning import Cleaning, clean  # noqa: E402
from album_gan.covers.build.duplicates import compare_pairs, is_same, near_hashes, originals  # noqa: E402
from album_gan.covers.build.image_match import compare  # noqa: E402


def encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    side = max(64, round(image.width * rng.uniform(0.5, 1.2)))
    return image.resize((side, side), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop 2 % on all sides, or up to 2 % on each."""
    most = round(image.width * 0.02)
    left, top, right, bottom = (most,) * 4 if rng.random() < 0.5 else rng.integers(0, most + 1, 4).tolist()
    box = (left, top, image.width - right, image.height - bottom)
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


def brightened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = 1 + rng.choice((-1, 1)) * rng.uniform(0.1, 0.15)
    return ImageEnhance.Brightness(image).enhance(factor)


PLANTED = {
    "saved again, quality 40 to 95": lambda image, rng: encode(image, int(rng.integers(40, 96))),
    "resized, 0.5 to 1.2": lambda image, rng: encode(resized(image, rng), 85),
    "cropped by 2 %": lambda image, rng: encode(cropped(image, rng), 85),
    "brightness 10 to 15 %": lambda image, rng: encode(brightened(image, rng), 85),
    "all of that": lambda image, rng: encode(
        resized(cropped(brightened(image, rng), rng), rng), int(rng.integers(40, 96))
    ),
}


def series(image: Image.Image, index: int, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Two covers that differ only in their lettering: other words, or one digit."""
    top = int(rng.choice((0.04, 0.42, 0.84)) * image.height)
    ground = np.asarray(image.convert("L"))[top : top + 30, 20:200].mean()
    font = ImageFont.load_default(26)
    made = []
    for words in ("Monday Moon", "Sunny Rain") if index % 2 == 0 else ("Volume 1", "Volume 2"):
        lettered = image.copy()
        ImageDraw.Draw(lettered).text((20, top), words, fill="white" if ground < 128 else "black", font=font)
        made.append(encode(lettered, 90))
    return made[0], made[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("covers", type=Path)
    parser.add_argument("--copies", type=int, default=3000)
    parser.add_argument("--limit", type=int, help="maximum number of covers")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()

    covers = []
    for path in sorted(arguments.covers.rglob("*.parquet")):
        covers += [row["bytes"] for row in pq.read_table(path, columns=["image"])["image"].to_pylist()]
    covers = covers[: arguments.limit]
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(covers))[: arguments.copies]
    kinds = list(PLANTED)
    copies, lettered = [], []
    for turn, index in enumerate(chosen):
        image = Image.open(io.BytesIO(covers[index])).convert("RGB")
        copies.append(PLANTED[kinds[turn % len(kinds)]](image, rng))
        if turn < 1000:
            lettered.append(series(image, turn, rng))

    settings = Cleaning(min_size=64, allow=("near_blank",))
    cleaned = [clean(data, "a.jpg", settings) for data in (*covers, *copies)]
    hashes = np.array([(c.dhash, c.phash) for c in cleaned], np.uint64)
    thumbnails = np.stack([np.frombuffer(c.thumbnail, np.uint8) for c in cleaned])
    pairs = near_hashes(hashes[:, 0], hashes[:, 1])
    same = pairs[compare_pairs(pairs, thumbnails.__getitem__)[0]]

    count = len(covers)
    seen, found = set(map(tuple, pairs.tolist())), set(map(tuple, same.tolist()))
    hits, looked = defaultdict(list), defaultdict(list)
    for turn, index in enumerate(chosen.tolist()):
        for kind in (kinds[turn % len(kinds)], "together"):
            hits[kind].append((index, count + turn) in found)
            looked[kind].append((index, count + turn) in seen)
    print(f"{count:,} covers, {len(copies):,} copies planted")
    for kind in (*kinds, "together"):
        print(f"  {kind:30} recall {np.mean(hits[kind]):.3f}   (seen by the search {np.mean(looked[kind]):.3f})")

    false = same[(same < count).all(1)]
    gone = int((originals(false, count) != np.arange(count)).sum())
    print(f"  taken for one among the covers themselves: {len(false)} pairs, {gone} of {count:,} covers go:")
    print(f"    {gone / count * 1000:.2f} in 1,000, before the true ones among them are counted by eye")
    both = [[np.frombuffer(clean(d, "a.jpg", settings).thumbnail, np.uint8) for d in two] for two in lettered]
    alike = is_same(compare(*(np.stack(side) for side in zip(*both, strict=True))))
    print(f"  series taken for one: other words {alike[::2].mean():.3f}, one digit {alike[1::2].mean():.3f}")
    if arguments.sheet and len(false):
        picture = Image.new("RGB", (200 * min(len(false), 12), 400))
        for column, pair in enumerate(false[:12]):
            for row, index in enumerate(pair):
                picture.paste(Image.open(io.BytesIO(covers[index])).resize((196, 196)), (200 * column, 200 * row))
        picture.save(arguments.sheet)


if __name__ == "__main__":
    main()
