"""`album-gan covers build` on sources as people have them."""

import csv
import gzip
import hashlib
import http.server
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from loopback import CLI, loopback
from music_files import picture

from album_gan.cli.main import main
from album_gan.covers.build.build import BuildConfig
from album_gan.covers.build.cleaning import Cleaning, has_opencv
from album_gan.covers.dataset import CoverSource, load_covers

ROOT = Path(__file__).parents[3]
CUT = ("--resolution", "32", "--min-size", "32", "--num-workers", "0")


pytestmark = pytest.mark.usefixtures("own_cache")


def png(index: int) -> bytes:
    return picture(index, 64, "PNG")


def save(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        (folder / f"{index:03d}.png").write_bytes(png(index))


def save_table(path: Path, columns: dict, kinds: dict) -> None:
    """A parquet file of covers with these columns beside the picture."""
    count = len(next(iter(columns.values())))
    pictures = [{"bytes": png(index), "path": None} for index in range(count)]
    features = datasets.Features({"image": datasets.Image(), **kinds})
    datasets.Dataset.from_dict({"image": pictures, **columns}, features=features).to_parquet(path)


def save_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def build(capsys, *sources, out: Path, options: tuple = ()) -> tuple[int, str]:
    code = main(["covers", "build", *map(str, sources), "--out", str(out), *CUT, *options])
    return code, capsys.readouterr().err


def outcomes(out: Path) -> dict[str, str]:
    with gzip.open(out / "files.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return {row["file"]: row["outcome"] for row in csv.DictReader(file)}


def labels(out: Path, column: str = "genre") -> dict[str, object]:
    """source_path -> label of all covers of a built data set."""
    rows = datasets.load_dataset("parquet", data_files=str(out / "data" / "*.parquet"), split="train")
    return dict(zip(rows["source_path"], rows[column], strict=True))


# --- options


OPTIONS = (
    "--reject animation,cmyk --allow near-blank --max-crop 0.2 --quality 80 --resampling lanczos "
    "--placeholder-copies 3 --folder-genre --no-thumbnails --cluster tcp://scheduler:8786 --image-column photo "
    "--data-rights mine"
)


def test_options_become_settings_of_the_build(tmp_path, capsys, monkeypatch):
    """And are as the build has them where they are left out."""
    started = []
    summary = SimpleNamespace(kept=0, pictures=0)
    monkeypatch.setattr("album_gan.covers.build.build.build", lambda config: started.append(config) or summary)
    assert build(capsys, "one", "two", out=tmp_path / "out", options=tuple(OPTIONS.split()))[0] == 0
    assert main(["covers", "build", "one", "--out", str(tmp_path / "out"), "--num-workers", "0"]) == 0
    cleaning = Cleaning(
        resolution=32, min_size=32, max_crop=0.2, quality=80, resampling="lanczos", reject=("animation", "cmyk"),
        allow=("near_blank",),
    )  # fmt: skip
    given = BuildConfig(
        sources=("one", "two"), out=tmp_path / "out", cleaning=cleaning, workers=0, cluster="tcp://scheduler:8786",
        image_column="photo", folder_genre=True, placeholder_copies=3, thumbnails=False, rights="mine",
    )  # fmt: skip
    cleaning = Cleaning(resampling="cubic" if has_opencv() else "lanczos")
    plain = BuildConfig(sources=("one",), out=tmp_path / "out", cleaning=cleaning)
    assert started == [given, plain]


# --- hidden files and folders


@pytest.mark.parametrize("hidden", [".candidates", ".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "a/.x/b"])
def test_hidden_folders_are_not_sources(tmp_path, capsys, hidden):
    save(tmp_path / "pile" / "a", 5)
    save(tmp_path / "pile" / hidden, 3, start=50)
    (tmp_path / "pile" / "a" / "._000.png").write_bytes(b"a Mac's resource fork")
    (tmp_path / "pile" / "a" / ".38 Special.png").write_bytes(png(99))  # a real artist
    assert build(capsys, tmp_path / "pile", out=tmp_path / "out")[0] == 0
    assert sorted(labels(tmp_path / "out")) == ["a/.38 Special.png", *(f"a/{index:03d}.png" for index in range(5))]
    found = {name: outcome for name, outcome in outcomes(tmp_path / "out").items() if outcome != "kept"}
    assert set(found.values()) == {"hidden"}
    assert len(found) == 2  # the file, and the folder as a whole


def test_hidden_folders_in_archives_and_a_dot_before_the_path(tmp_path, capsys):
    save_tar(tmp_path / "mac.tar", {"./a.png": png(1), "__MACOSX/a.png": png(2), "x/.thumbnails/b.png": png(3)})
    assert build(capsys, tmp_path / "mac.tar", out=tmp_path / "out")[0] == 0
    assert outcomes(tmp_path / "out") == {
        "./a.png": "kept", "__MACOSX/a.png": "hidden", "x/.thumbnails/b.png": "hidden",
    }  # fmt: skip


def test_a_built_data_set_is_a_source(tmp_path, capsys):
    save(tmp_path / "pile", 6)
    assert build(capsys, tmp_path / "pile", out=tmp_path / "one")[0] == 0
    assert build(capsys, tmp_path / "one", out=tmp_path / "two")[0] == 0
    kept = [name for name, outcome in outcomes(tmp_path / "two").items() if outcome == "kept"]
    assert len(kept) == 6
    assert all(name.startswith("data/") for name in kept)


@pytest.fixture
def served(tmp_path):
    """A folder, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_set_built_from_the_url_of_a_parquet_file_loads(tmp_path, capsys, served):
    folder, address = served
    save_table(folder / "covers.parquet", {"genre": ["rock"] * 30}, {"genre": datasets.Value("string")})
    assert build(capsys, f"{address}/covers.parquet", out=tmp_path / "out")[0] == 0
    split = load_covers(CoverSource(train_data_dir=str(tmp_path / "out"), resolution=32, label_column="genre"))
    assert len(split.train) + len(split.held_out) == 30
    assert split.train.classes == ("unknown", "rock")


# --- labels


def test_values_of_all_kinds_become_labels(tmp_path, capsys):
    string, number = datasets.Value("string"), datasets.Value("float64")
    classes = datasets.ClassLabel(names=["folk", "punk"])
    nan = float("nan")
    for name, kind, values, expected in (
        ("floats", number, [1.0, nan, None, 2.5], ["1", None, None, "2.5"]),
        ("lists", datasets.List(string), [["rock", "pop"], [], None, ["jazz"]], ["rock", None, None, "jazz"]),
        ("class", classes, [0, 1, None, -1], ["folk", "punk", None, None]),
        ("several classes", datasets.List(classes), [[1, 0], [], [0], None], ["punk", None, "folk", None]),
        ("bytes", datasets.Value("binary"), [b"rock", b"", None, b" hip  hop"], ["rock", None, None, "hip hop"]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        save_table(folder / "covers.parquet", {"genre": values}, {"genre": kind})
        assert build(capsys, folder, out=tmp_path / f"{name} built")[0] == 0
        assert list(dict(sorted(labels(tmp_path / f"{name} built").items())).values()) == expected, name


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_beside_and_above_pictures(tmp_path, capsys, kind):
    save(tmp_path / "pile" / "train", 12)
    save(tmp_path / "pile" / "other", 1, start=20)
    write = {"csv": "to_csv", "jsonl": "to_json", "parquet": "to_parquet"}[kind]
    rows = [{"file_name": f"train/{index:03d}.png", "genre": "rock", "year": 1970 + index} for index in range(10)]
    getattr(datasets.Dataset.from_list(rows), write)(tmp_path / "pile" / f"metadata.{kind}")
    nearer = datasets.Dataset.from_list([{"file_name": "./003.png", "genre": "jazz"}])
    getattr(nearer, write)(tmp_path / "pile" / "train" / f"metadata.{kind}")
    assert build(capsys, tmp_path / "pile", out=tmp_path / "out")[0] == 0
    expected = {f"train/{index:03d}.png": "rock" if index < 10 else None for index in range(12)}
    assert labels(tmp_path / "out") == {**expected, "train/003.png": "jazz", "other/020.png": None}
    assert labels(tmp_path / "out", "year")["train/003.png"] == 1973
    assert outcomes(tmp_path / "out")[f"metadata.{kind}"] == "label_file"


def test_metadata_that_cannot_be_read_is_said_to_be_unreadable(tmp_path, capsys, caplog):
    save(tmp_path / "pile", 3)
    (tmp_path / "pile" / "metadata.csv").write_text("name,genre\n000.png,rock\n")
    assert build(capsys, tmp_path / "pile", out=tmp_path / "out")[0] == 0
    assert outcomes(tmp_path / "out")["metadata.csv"] == "unreadable_labels"
    with gzip.open(tmp_path / "out" / "files.csv.gz", "rt") as file:
        assert "not a table with a column file_name: the columns name, genre" in file.read()
    assert "could not be read: 1, the first is metadata.csv, not a table" in caplog.text
    assert "the disk" not in (tmp_path / "out" / "report.html").read_text()


def test_rows_of_metadata_that_match_no_picture_are_reported(tmp_path, capsys, caplog):
    save(tmp_path / "pile" / "a", 3)
    save(tmp_path / "pile" / "b", 3, start=3)
    (tmp_path / "pile" / "metadata.csv").write_text("file_name,genre\na/000.png,rock\nb/003.PNG,jazz\nb/4,jazz\n")
    (tmp_path / "pile" / "a" / "metadata.csv").write_text("file_name,genre\n001.PNG,rock\n")
    (tmp_path / "pile" / "b" / "metadata.csv").write_text("file_name,genre\n004.png,rock\n")
    assert build(capsys, tmp_path / "pile", out=tmp_path / "out")[0] == 0
    reported = [message for message in caplog.messages if "match no picture" in message]
    assert len(reported) == 2
    assert reported[0].startswith("a/metadata.csv: rows that match no picture: 1, the first is '001.PNG'")
    assert reported[1].startswith("metadata.csv: rows that match no picture: 2, the first is 'b/003.PNG'")


def test_classes_of_webdataset(tmp_path, capsys):
    files = {f"{index}.{ending}": data for index in range(6)
             for ending, data in (("cls", b"%d\n" % (index % 2)), ("png", png(index)))}  # fmt: skip
    save_tar(tmp_path / "shard.tar", files)
    assert build(capsys, tmp_path / "shard.tar", out=tmp_path / "out")[0] == 0
    assert labels(tmp_path / "out") == {f"{index}.png": str(index % 2) for index in range(6)}
    assert outcomes(tmp_path / "out")["0.cls"] == "label_file"


# --- img2dataset


def described(index: int) -> dict[str, bytes]:
    record = {"key": f"{index:09d}", "caption": "a cover", "genre": "rock", "status": "success", "error_message": None}
    return {f"{index:09d}.json": json.dumps(record).encode(), f"{index:09d}.png": png(index), f"{index:09d}.txt": b"c"}


@pytest.mark.parametrize("layout", ["tars", "folders"])
def test_an_img2dataset_folder_is_one_set(tmp_path, capsys, layout):
    for shard in range(2):
        files = {name: data for index in range(4) for name, data in described(10 * shard + index).items()}
        name, folder = f"{shard:05d}", tmp_path / "pile"
        folder.mkdir(exist_ok=True)
        if layout == "tars":
            save_tar(folder / f"{name}.tar", files)
        else:
            (folder / name).mkdir()
            for file, data in files.items():
                (folder / name / file).write_bytes(data)
        rows = [{"key": f"{index:09d}", "url": "x", "caption": "a cover"} for index in range(4)]
        datasets.Dataset.from_list(rows).to_parquet(folder / f"{name}.parquet")
        (folder / f"{name}_stats.json").write_text("{}")
    assert build(capsys, tmp_path / "pile", out=tmp_path / "out")[0] == 0
    found = labels(tmp_path / "out")
    assert len(found) == 8
    assert set(found.values()) == {"rock"}
    ends = {Path(name).suffix: outcome for name, outcome in outcomes(tmp_path / "out").items() if "stats" not in name}
    assert ends == {".png": "kept", ".json": "label_file", ".txt": "label_file", ".parquet": "label_file"}
    card = (tmp_path / "out" / "README.md").read_text()
    others = sum(outcome != "label_file" for outcome in outcomes(tmp_path / "out").values()) - 8
    assert f"from {8 + others} files; {others} were\nrejected" in card
    assert "label_file" not in card
    assert f"<h1>8 covers from {8 + others} files</h1>" in (tmp_path / "out" / "report.html").read_text()


def test_another_image_column_is_read_from_a_source_already_cleaned(tmp_path, capsys):
    rows = [{name: {"bytes": png(index), "path": None} for name, index in (("front", 1), ("back", 2))}]
    pictures = {name: datasets.Image() for name in ("front", "back")}
    datasets.Dataset.from_list(rows, features=datasets.Features(pictures)).to_parquet(tmp_path / "t.parquet")
    found = []
    for column in ("front", "back", "front"):
        options = ("--image-column", column)
        assert build(capsys, tmp_path / "t.parquet", out=tmp_path / "out", options=options)[0] == 0
        data = datasets.load_dataset("parquet", data_files=str(tmp_path / "out" / "data" / "*.parquet"), split="train")
        found.append(data["source_sha256"])
    assert found == [[hashlib.sha256(png(index)).hexdigest()] for index in (1, 2, 1)]


def test_parquet_files_without_pictures_alone_say_so(tmp_path, capsys):
    (tmp_path / "pile").mkdir()
    datasets.Dataset.from_list([{"url": "x"}]).to_parquet(tmp_path / "pile" / "00000.parquet")
    code, error = build(capsys, tmp_path / "pile" / "00000.parquet", out=tmp_path / "one")
    assert (code, "must have a column of pictures, got only url" in error) == (2, True)
    code, error = build(capsys, tmp_path / "pile", out=tmp_path / "two")
    assert (code, "none of 1 files is kept: 1 label_file" in error) == (2, True)


# --- what is not there


@pytest.mark.parametrize(
    "place", ["/drive/covers", "./covers", "drive/covers.zip", "drive/cover.jpg", "a/b/c", "runs/checkpoint-500"]
)
def test_a_missing_path(tmp_path, capsys, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    code, error = build(capsys, place, out=Path("out"))
    assert (code, len(error.splitlines())) == (2, 1)
    assert f"got {place!r}, and there is no such file or folder; check the path, and that its drive is" in error
    assert not (tmp_path / "out").exists()


def without_hub(folder: Path, *arguments: str) -> str:
    """What the command says in a separate process, whose Hub is a port on which nothing listens."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    words = [sys.executable, "-c", CLI, "covers", "build", *arguments, "--out", "out", *CUT]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (folder / "out").exists()
    return done.stderr


@pytest.mark.parametrize("place", ["drive/covers", "me/covers@v1"])
def test_a_missing_path_that_could_be_a_hub_id(tmp_path, place):
    error = without_hub(tmp_path, place)
    assert f"source {place!r} is neither a folder nor a file here, and the Hub cannot be reached" in error


def test_push_to_an_unreachable_hub(tmp_path):
    save(tmp_path / "pile", 2)
    error = without_hub(tmp_path, "pile", "--push-to-hub", "me/covers")
    assert "push_to_hub 'me/covers' cannot be checked, and the Hub cannot be reached" in error


# --- full disks


@pytest.fixture
def small_files():
    """No file may grow beyond 20 KB, which stands in for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_names_the_folder_of_the_build(tmp_path, capsys, request):
    save(tmp_path / "pile", 8)
    request.getfixturevalue("small_files")
    code, error = build(capsys, tmp_path / "pile", out=tmp_path / "out")
    assert code == 2
    assert f"could not be written to {tmp_path / 'out' / '.candidates'}" in error
    assert "make room there, or choose another folder" in error


def test_a_full_disk_names_the_folder_of_a_download(tmp_path, capsys, served, request):
    folder, address = served
    save_tar(folder / "covers.tar", {f"{index}.png": png(index) for index in range(8)})
    request.getfixturevalue("small_files")
    code, error = build(capsys, f"{address}/covers.tar", out=tmp_path / "out")
    assert code == 2
    assert f"covers.tar.part could not be written to {tmp_path / 'out' / '.candidates' / 'downloads'}" in error
    assert "make room there, or choose another folder" in error


def test_a_full_disk_names_the_folder_of_the_hub_cache(tmp_path):
    save(tmp_path / "pile", 8)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + CLI
    with loopback(tmp_path) as hub:
        code, text = hub.run(CLI, "covers", "build", *CUT, "pile", "--out", "one", "--push-to-hub", "me/covers")
        assert code == 0, text
        code, text = hub.run(limited, "covers", "build", *CUT, "me/covers", "--out", "two")
        assert code == 2
        assert f"no download to {tmp_path / 'home' / 'hub'}" in text
        assert "HF_HOME" in text


def test_builds_start_without_loading_torch():
    """A build's processes start in half a second: torch alone takes longer."""
    code = "import sys, album_gan.covers.build.build; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
