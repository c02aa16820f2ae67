"""Images per second of the training loader, after its first pass, compared with a naive use of `datasets`.

    python benchmarks/loading.py [--covers 3000] [--workers 2]

128 px covers from synthetic 256 px JPEGs in Parquet. Naive: a `Dataset` with a transform to tensors, in a DataLoader.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import datasets  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from album_gan.covers.batches import StepSampler, batches  # noqa: E402
from album_gan.covers.dataset import CoverSource, load_covers  # noqa: E402
from album_gan.covers.synthetic import draw_cover  # noqa: E402

RESOLUTION, BATCH_SIZE = 128, 64


def write(folder: Path, count: int) -> None:
    def rows():
        for index in range(count):
            rng = np.random.default_rng(index)
            grain = Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).resize((256, 256))
            buffer = io.BytesIO()
            Image.blend(draw_cover(index, 256), grain, 0.3).save(buffer, "JPEG", quality=90)
            yield {"image": {"bytes": buffer.getvalue(), "path": None}, "group": str(index)}

    features = datasets.Features({"image": datasets.Image(), "group": datasets.Value("string")})
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(folder / "cache"))
    made.to_parquet(folder / "covers.parquet")


def ours(covers, workers: int) -> float:
    sampler = StepSampler(len(covers), BATCH_SIZE, [slice(0, BATCH_SIZE)], 0, 0, 2 * len(covers) // BATCH_SIZE)
    return timed(pixels for pixels, _ in batches(covers, sampler, workers))


def naive(folder: Path, workers: int) -> float:
    rows = datasets.load_dataset(
        "parquet", data_files=str(folder / "covers.parquet"), split="train", cache_dir=str(folder / "cache")
    )

    def transform(batch):
        images = [image.convert("RGB").resize((RESOLUTION, RESOLUTION), Image.LANCZOS) for image in batch["image"]]
        return {"image": [torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1 for image in images]}

    rows = rows.remove_columns("group").with_transform(transform)
    loader = DataLoader(rows, BATCH_SIZE, shuffle=True, num_workers=workers, drop_last=True)
    return timed(batch["image"] for batch in loader)


def timed(loaded) -> float:
    """Images per second from the second batch on."""
    remaining = iter(loaded)
    next(remaining)
    count = 0
    started = time.monotonic()
    for batch in remaining:
        count += len(batch)
    return count / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--covers", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ALBUM_GAN_CACHE"] = str(folder / "pixels")
        write(folder, arguments.covers)
        started = time.monotonic()
        source = CoverSource(train_data_dir=str(folder), resolution=RESOLUTION)
        covers = load_covers(source).train
        print(f"{len(covers):,} covers of {RESOLUTION} px; first pass {time.monotonic() - started:.1f} s")
        for workers in sorted({0, arguments.workers}):
            print(f"cached, {workers} workers    {ours(covers, workers):9.0f} images/s")
        covers.decoded = None
        print(f"decoding, {arguments.workers} workers  {ours(covers, arguments.workers):9.0f} images/s")
        print(f"naive, {arguments.workers} workers     {naive(folder, arguments.workers):9.0f} images/s")


if __name__ == "__main__":
    main()
