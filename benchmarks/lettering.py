"""How much lettering OCR finds on covers: the model's, held-out ones, and the sheet of DCGAN's authors.

    python benchmarks/lettering.py [--model bundled] [--samples 500] [--environment runs/lettering]

The reader is PP-OCR (rapidocr-onnxruntime, with its networks in the wheel), which was not used in any training here. It
gets its own environment, created at first use, because its OpenCV would replace another. Covers of 128 px are enlarged
four times. A cover has text if the reader's confidence in a line is at least one half; letters and digits are counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

if TYPE_CHECKING:  # the reader's environment has no torch
    from album_gan import AlbumCoverPipeline

READER = "rapidocr-onnxruntime==1.4.4"
ENVIRONMENT = ROOT / "runs" / "lettering"
LARGER = 4  # factor
SURE = 0.5
SAMPLES = 500


def lettering(covers: np.ndarray, environment: Path = ENVIRONMENT) -> dict[str, float]:
    """Covers uint8 (N, R, R, 3) -> fraction of covers with text, and characters per cover, not counting spaces."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", READER], check=True)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "covers.npy", covers)
        words = [python, __file__, "--read", Path(folder) / "covers.npy"]
        output = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    counts = np.array(json.loads(output.splitlines()[-1]))
    return {"covers": len(covers), "with_text": float((counts > 0).mean()), "characters": float(counts.mean())}


def read(file: Path) -> list[int]:
    """Number of characters found on each cover; runs in the reader's environment."""
    import cv2
    from rapidocr_onnxruntime import RapidOCR

    reader, counts = RapidOCR(text_score=SURE), []
    for cover in np.load(file):
        large = cv2.resize(cover[:, :, ::-1], None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
        lines, _ = reader(large)
        counts.append(sum(letter.isalnum() for _, text, _ in lines or () for letter in text))
    return counts


def measure(
    pipe: "AlbumCoverPipeline", samples: int = SAMPLES, environment: Path = ENVIRONMENT
) -> dict[str, dict[str, float]]:
    """`lettering` of the "model" (seeds from 0 on), and of "held_out" covers and the "sheet", if in ../shared."""
    from against_newmu import COVERS, SHEET, drawn, sheet_tiles

    from album_gan.covers.dataset import CoverSource, load_covers

    sets = {"model": drawn(pipe, samples)}
    if COVERS.is_dir():
        source = CoverSource(train_data_dir=str(COVERS), resolution=pipe.generator.config.resolution)
        sets["held_out"] = load_covers(source).held_out.all_pixels()[:samples]
    if SHEET.exists():
        sets["sheet"] = sheet_tiles()
    return {name: lettering(covers, environment) for name, covers in sets.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, help="of the reader")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read(arguments.read)))
        return
    from album_gan import AlbumCoverPipeline

    pipe = AlbumCoverPipeline.from_pretrained(arguments.model)
    print("| covers | how many | with text | characters each |\n| --- | ---: | ---: | ---: |")
    for name, found in measure(pipe, arguments.samples, arguments.environment.absolute()).items():
        print(f"| {name} | {found['covers']:,} | {found['with_text']:.0%} | {found['characters']:.1f} |")


if __name__ == "__main__":
    main()
