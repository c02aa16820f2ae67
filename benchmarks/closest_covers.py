"""Show the samples closest to a training cover, each with that cover, to check by eye whether the model copies.

    python benchmarks/closest_covers.py --out closest.png [--model bundled] [--samples 2000] [--pairs 10]

One row of pairs for each feature space, closest first: samples above, nearest training covers below. The picture
contains covers of ../shared, which are not part of the project: look at it, then delete it.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from against_newmu import COVERS, SHARED, drawn  # noqa: E402
from PIL import Image  # noqa: E402

from album_gan import AlbumCoverPipeline  # noqa: E402
from album_gan.covers.dataset import CoverSource, load_covers  # noqa: E402
from album_gan.evaluation.extractors import EXTRACTORS, build_extractor, cached_features, features_of  # noqa: E402
from album_gan.metrics.precision_recall import nearest  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if not (SHARED / "covers").is_dir():
        sys.exit("skipped: there are no covers in ../shared/covers")
    pipe = AlbumCoverPipeline.from_pretrained(arguments.model)
    source = CoverSource(train_data_dir=str(COVERS), resolution=pipe.generator.config.resolution)
    training = load_covers(source).train.all_pixels()
    samples = drawn(pipe, arguments.samples)
    rows = []
    for space in EXTRACTORS:
        extractor = build_extractor(space)
        distances, places = nearest(features_of(samples, extractor), cached_features(training, extractor))
        closest = np.argsort(distances)[: arguments.pairs]
        print(space, "seeds", closest.tolist(), "distances", np.round(distances[closest], 2).tolist())
        rows += [np.concatenate(list(samples[closest]), 1), np.concatenate(list(training[places[closest]]), 1)]
    Image.fromarray(np.concatenate(rows)).save(arguments.out)


if __name__ == "__main__":
    main()
