"""What img2dataset and webdataset leave, made by these packages themselves, read by a build and by a training.

They are installed into an environment of their own: img2dataset does not work beside current versions of pandas and
OpenCV.
"""

import functools
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import datasets
import pytest
from music_files import picture

from album_gan.cli.main import main
from album_gan.covers.dataset import CoverSource, load_covers

pytestmark = pytest.mark.slow
COVERS = 24
DOWNLOAD = """
import sys

import pandas as pd
from img2dataset import download

if __name__ == "__main__":
    folder, server, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    numbers = range(count + 2)  # the last two are not there
    urls = {
        "url": [f"{server}/{number}.jpg" for number in numbers],
        "caption": [f"cover {number}" for number in numbers],
        "genre": [("rock", "jazz")[number % 2] for number in numbers],
        "artist": [f"Artist {number}" for number in numbers],
    }
    pd.DataFrame(urls).to_parquet(f"{folder}/urls.parquet")
    for kind in ("files", "webdataset", "parquet"):
        download(
            url_list=f"{folder}/urls.parquet", input_format="parquet", url_col="url", caption_col="caption",
            save_additional_columns=["genre", "artist"], output_folder=f"{folder}/{kind}", output_format=kind,
            image_size=128, number_sample_per_shard=10, processes_count=1, thread_count=2, retries=0,
        )
"""
SHARDS = """
import sys
from pathlib import Path

import webdataset

pictures, folder = Path(sys.argv[1]), sys.argv[2]
with webdataset.ShardWriter(f"{folder}/covers-%06d.tar", maxcount=10) as writer:
    for number in range(int(sys.argv[3])):
        writer.write({
            "__key__": f"{number:06d}", "jpg": (pictures / f"{number}.jpg").read_bytes(), "cls": number % 2,
            "json": {"artist": f"Artist {number}", "genre": ("rock", "jazz")[number % 2]}, "txt": f"cover {number}",
        })
"""


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    """A folder of each kind of output: files, webdataset and parquet of img2dataset; shards of webdataset."""
    root = tmp_path_factory.mktemp("downloads")
    (root / "pictures").mkdir()
    for number in range(COVERS):
        (root / "pictures" / f"{number}.jpg").write_bytes(picture(number))
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    python = root / "venv" / "bin" / "python"
    packages = ["img2dataset==1.47.0", "setuptools<81"]  # it imports pkg_resources
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    for name, text in (("download.py", DOWNLOAD), ("shards.py", SHARDS)):
        (root / name).write_text(text)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root / "pictures")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        run(python, root / "download.py", root, address, COVERS)
        server.shutdown()
    (root / "shards").mkdir()
    run(python, root / "shards.py", root / "pictures", root / "shards", COVERS)
    return root


def run(*words) -> None:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("kind", ["files", "webdataset", "parquet", "shards"])
def test_a_build_reads_pictures_and_labels(downloads, tmp_path, kind):
    out = tmp_path / "out"
    words = ["covers", "build", str(downloads / kind), "--out", str(out), "--num-workers", "0"]
    assert main([*words, "--resolution", "64", "--min-size", "48"]) == 0
    rows = datasets.Dataset.from_parquet([str(path) for path in sorted((out / "data").glob("*.parquet"))])
    found = dict(zip(rows["artist"], rows["genre"], strict=True))
    assert found == {f"Artist {number}": ("rock", "jazz")[number % 2] for number in range(COVERS)}


@pytest.mark.parametrize("kind", ["files", "webdataset", "parquet", "shards"])
def test_a_training_reads_them(downloads, tmp_path, kind):
    split = load_covers(CoverSource(train_data_dir=str(downloads / kind), resolution=64))
    assert len(split.train) + len(split.held_out) == COVERS
    assert split.train.all_pixels().std() > 20
