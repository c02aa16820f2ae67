"""Compare the bundled model with the cover sheet of DCGAN's authors, against the same held-out covers.

    python benchmarks/against_newmu.py [--model bundled] [--samples 2000]

The sheet (Newmu/dcgan_code, 2015) has 100 tiles of 128 px, so kernel distances are for 100 against 100 pictures, as
mean and spread of 50 draws. Needs the sheet and the covers in ../shared, which are not part of the project.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
SHEET = SHARED / "anchors" / "newmu_dcgan_albums_128px.png"
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from album_gan import AlbumCoverPipeline  # noqa: E402
from album_gan.covers.dataset import CoverSource, load_covers  # noqa: E402
from album_gan.evaluation.compare import compare  # noqa: E402
from album_gan.evaluation.table import table  # noqa: E402

COVERS = SHARED / "covers"
TILE, GAP, TILES = 128, 1, 10


def sheet_tiles() -> np.ndarray:
    """(100, 128, 128, 3) uint8"""
    sheet = np.asarray(Image.open(SHEET).convert("RGB"))
    starts = [
        number * (TILE + GAP) + (sheet.shape[0] - TILES * TILE - (TILES - 1) * GAP) // 2 for number in range(TILES)
    ]
    return np.stack([sheet[y : y + TILE, x : x + TILE] for y in starts for x in starts])


def drawn(pipe: AlbumCoverPipeline, samples: int) -> np.ndarray:
    """Seeds from 0 on at truncation 1, (samples, R, R, 3) uint8."""
    return np.stack([np.asarray(cover) for cover in pipe(seeds=range(samples), truncation=1.0, progress=True).images])


def measure(pipe: AlbumCoverPipeline, samples: int) -> dict[str, dict[str, Any]]:
    """Results of `evaluation.compare` for the model (seeds from 0 on, truncation 1) and the sheet."""
    split = load_covers(CoverSource(train_data_dir=str(COVERS), resolution=TILE))
    held_out, training = split.held_out.all_pixels(), split.train.all_pixels()
    pixels, tiles = drawn(pipe, samples), sheet_tiles()
    return {
        "model": compare(pixels, held_out, training, subset=len(tiles)),
        "sheet": compare(tiles, held_out, subset=len(tiles)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not SHEET.exists():
        sys.exit(f"skipped: {SHEET.name} is not in ../shared/anchors")
    results = measure(AlbumCoverPipeline.from_pretrained(arguments.model), arguments.samples)
    for name, result in results.items():
        print(f"\n{name}\n{table(result)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
