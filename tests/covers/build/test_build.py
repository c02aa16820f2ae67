"""A pile becomes a data set: each file ends in the list with its reason, and nothing lands elsewhere."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections import Counter
from pathlib import Path

import datasets
import pytest
from PIL import Image
from piles import config, digests, jpeg, outcomes, pile

from album_gan.cli.main import main
from album_gan.covers.build import candidates, shards
from album_gan.covers.build.build import BuildConfig, build
from album_gan.covers.build.cleaning import STEPS, Cleaning
from album_gan.covers.build.inspect import inspect
from album_gan.covers.build.report import remedy_of
from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.split import is_held_out
from album_gan.covers.synthetic import draw_cover

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT.parent / "shared" / "covers_raw_sample"


ABSOLUTE = f"/tmp/{uuid.uuid4().hex}.jpg"  # which nobody else writes


@pytest.fixture
def messy(tmp_path) -> Path:
    """A folder and a tar with nearly everything in them."""
    folder = pile(tmp_path / "messy", 30)
    (folder / "same bytes.jpg").write_bytes(jpeg(3))
    (folder / "other quality.jpg").write_bytes(jpeg(4, quality=60))
    (folder / "<script>alert(1).jpg").write_bytes(jpeg(5)[:2000])
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("not a picture")
    Image.new("RGB", (99, 99), "red").save(folder / "blank.png")
    draw_cover(1, 90).resize((120, 60)).save(folder / "wide.png")
    draw_cover(1, 20).save(folder / "small.png")
    for number in range(12):
        (folder / f"nobody {number} - none {number}.jpg").write_bytes(jpeg(999))
    (folder / "loop").symlink_to(folder)
    with tarfile.open(folder / "more.tar", "w") as archive:
        for name, data in (("../../up.jpg", jpeg(100)), (ABSOLUTE, jpeg(101)), ("copy.jpg", jpeg(7))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder


def test_every_file_ends_in_the_list_with_its_reason(tmp_path, messy):
    before = sorted(path for path in tmp_path.rglob("*") if "out" not in path.parts)
    summary = build(config(tmp_path, messy))
    found = outcomes(tmp_path / "out")
    expected = {
        "same bytes.jpg": "exact_duplicate",
        "other quality.jpg": "near_duplicate",
        "<script>alert(1).jpg": "truncated",
        "empty.jpg": "empty",
        "notes.txt": "not_an_image",
        "blank.png": "near_blank",
        "wide.png": "not_square",
        "small.png": "too_small",
        "loop": "link",
        "more.tar/../../up.jpg": "kept",
        f"more.tar/{ABSOLUTE}": "kept",
        **{f"nobody {number} - none {number}.jpg": "placeholder" for number in range(12)},
        **{f"Artist {index} - Title {index}.jpg": "kept" for index in range(30) if index not in (3, 7)},
    }
    assert {name: found[name]["outcome"] for name in expected} == expected
    assert Counter(row["outcome"] for row in found.values())["exact_duplicate"] == 2
    assert found["more.tar/../../up.jpg"]["notes"] == "unsafe_name"
    assert len(found) == len(expected) + 3 == summary.total
    assert before == sorted(path for path in tmp_path.rglob("*") if "out" not in path.parts)
    assert not Path(ABSOLUTE).exists()

    page = (tmp_path / "out" / "report.html").read_text()
    assert "share it only if you may" in page
    assert "<script>" not in page
    assert all(f"<h3>{row['outcome'].replace('_', ' ')}" in page for row in found.values() if row["outcome"] != "kept")
    everything = json.dumps([page, (tmp_path / "out" / "README.md").read_text(), found])
    assert str(tmp_path) not in everything


def test_the_data_set_loads_and_holds_out_whole_groups(tmp_path, messy, monkeypatch):
    summary = build(config(tmp_path, messy))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(tmp_path / "cache"))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "hf"))
    assert {name: len(rows) for name, rows in loaded.items()} == {k: v for k, v in summary.splits.items() if v}
    rows = [row for split in loaded.values() for row in split]
    assert rows[0]["image"].size == (64, 64)
    assert all(is_held_out(row["group"]) == (name == "test") for name, split in loaded.items() for row in split)
    copied = {row["source_path"]: row for row in rows}
    assert copied["Artist 4 - Title 4.jpg"]["copies_found"] == 2
    borrowed = [row for row in rows if row["labels_borrowed"]]
    assert all(row["artist"] for row in borrowed)
    split = load_covers(CoverSource(train_data_dir=str(tmp_path / "out"), resolution=64))
    covers, held_out = split.train, len(split.held_out)
    assert (len(covers), held_out) == (summary.splits["train"], summary.splits["test"])


def test_covers_named_after_what_they_show_are_of_different_albums(tmp_path, caplog):
    for index in range(12):
        (tmp_path / "pile" / f"album {index}").mkdir(parents=True)
        (tmp_path / "pile" / f"album {index}" / "Cover - Front.jpg").write_bytes(jpeg(index))
    assert build(config(tmp_path, tmp_path / "pile")).groups == 12
    assert "share the group" not in caplog.text


def test_a_large_group_and_an_empty_side_of_the_split_are_reported(tmp_path, caplog):
    for index in range(6):
        (tmp_path / "pile" / str(index)).mkdir(parents=True)
        (tmp_path / "pile" / str(index) / "Miles - Blue.jpg").write_bytes(jpeg(index))
    summary = build(config(tmp_path, tmp_path / "pile"))
    assert summary.groups == 1
    assert "6 of 6 covers share the group " in caplog.text
    assert "/Miles - Blue.jpg' for example" in caplog.text
    missing = "none of 6 covers is held out" if summary.splits["train"] else "all 6 covers are held out"
    assert missing in caplog.text


def test_two_builds_give_the_same_bytes_and_a_second_run_changes_nothing(tmp_path, messy, monkeypatch):
    monkeypatch.setattr(candidates, "SHARD_FILES", 7)
    monkeypatch.setattr(shards, "ROWS", 10)
    build(config(tmp_path, messy))
    first = digests(tmp_path / "out")
    assert len([name for name in first if name.startswith("data/train")]) >= 2
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}
    build(config(tmp_path, messy))
    assert digests(tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")} == made
    (tmp_path / "out").rename(tmp_path / "before")
    build(config(tmp_path, messy, workers=2))
    assert digests(tmp_path / "out") == first


def test_sources_together_are_one_set(tmp_path):
    one, two = pile(tmp_path / "a" / "covers", 8), pile(tmp_path / "b" / "covers", 8, first=5)
    summary = build(config(tmp_path, one, two))
    assert summary.kept == 13
    assert {name: counts["exact_duplicate"] for name, counts in summary.files.items()} == {"covers": 0, "covers (2)": 3}
    arrows = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}
    summary = build(config(tmp_path, one, two, pile(tmp_path / "c", 2, first=40)))
    assert summary.kept == 15
    assert arrows.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.arrow")}.items()


def test_editions_and_albums_share_a_group(tmp_path):
    folder = pile(tmp_path / "pile", 6)
    (folder / "ARTIST 2 - Title 2!.jpg").write_bytes(jpeg(50))
    build(config(tmp_path, folder))
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "out/data/*.parquet"), split="train")
    groups = dict(zip(rows["source_path"], rows["group"], strict=True))
    assert groups["ARTIST 2 - Title 2!.jpg"] == groups["Artist 2 - Title 2.jpg"]
    assert len(set(groups.values())) == 6


def test_steps_are_switched_off_and_on(tmp_path, messy):
    build(config(tmp_path, messy, cleaning={"allow": ("near_duplicate", "placeholder", "near_blank")}))
    found = outcomes(tmp_path / "out")
    assert found["other quality.jpg"]["outcome"] == found["blank.png"]["outcome"] == "kept"
    assert Counter(row["outcome"] for row in found.values())["exact_duplicate"] == 13


def test_exact_duplicates_are_kept_where_they_are_allowed(tmp_path):
    folder = pile(tmp_path / "pile", 4)
    for number in range(2):
        (folder / f"same as 0, {number}.jpg").write_bytes(jpeg(0))
        (folder / f"small copy of 1, {number}.jpg").write_bytes(jpeg(1, quality=60))
    assert build(config(tmp_path, folder, cleaning={"allow": ("exact_duplicate",)})).kept == 6
    found = outcomes(tmp_path / "out")
    assert Counter(row["outcome"] for row in found.values()) == {"kept": 6, "near_duplicate": 2}
    original = hashlib.sha256(jpeg(1)).hexdigest()[:16]
    assert {row["kept_as"] for name, row in found.items() if name.startswith("small")} == {original}
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "out/data/*.parquet"), split="train")
    assert len(set(rows["group"])) == 4
    with pytest.raises(ValueError, match="reject and allow must name different steps, got cmyk in both"):
        Cleaning(reject=("cmyk",), allow=("cmyk",))


def test_rights_and_thumbnails(tmp_path):
    folder = pile(tmp_path / "pile", 4)
    build(config(tmp_path, folder))
    assert "## Rights\n\nNot stated." in (tmp_path / "out" / "README.md").read_text()
    build(config(tmp_path, folder, rights="Mine.\nAll of them.", thumbnails=False))
    assert "## Rights\n\nMine. All of them." in (tmp_path / "out" / "README.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image" not in page
    assert "share it only if you may" not in page


def test_bad_input_changes_nothing(tmp_path):
    folder = pile(tmp_path / "pile", 2)
    with pytest.raises(ValueError, match="out must be empty or hold an earlier build"):
        build(BuildConfig(sources=(str(folder),), out=folder.parent))
    with pytest.raises(ValueError, match="must not be inside a source"):
        build(BuildConfig(sources=(str(folder),), out=folder / "out"))
    with pytest.raises(ValueError, match="num_workers must be from 0 to 256, got -1"):
        build(config(tmp_path, folder, workers=-1))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="source must hold covers, but empty contain no files"):
        build(config(tmp_path, tmp_path / "empty"))
    assert sorted(path.name for path in folder.iterdir()) == ["Artist 0 - Title 0.jpg", "Artist 1 - Title 1.jpg"]


def test_a_picture_that_kills_its_worker_costs_only_itself(tmp_path):
    # The worker sees this through its environment: a picture with this hash ends its process.
    folder = pile(tmp_path / "pile", 4)
    victim = folder / "Artist 2 - Title 2.jpg"
    killer = tmp_path / "site"
    killer.mkdir()
    (killer / "sitecustomize.py").write_text(
        "import hashlib, multiprocessing, os\n"
        f"victim = {hashlib.sha256(victim.read_bytes()).hexdigest()!r}\n"
        "real = hashlib.sha256\n"
        "def sha256(data=b'', **options):\n"
        "    digest = real(data, **options)\n"
        "    if digest.hexdigest() == victim and multiprocessing.parent_process(): os._exit(9)\n"
        "    return digest\n"
        "hashlib.sha256 = sha256\n"
    )
    command = [sys.executable, "-m", "album_gan", "covers", "build", str(folder), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": f"{killer}{os.pathsep}{ROOT}"}
    options = ("--num-workers", "1", "--resolution", "64", "--min-size", "32")
    subprocess.run([*command, *options], check=True, env=environment)
    found = outcomes(tmp_path / "out")
    assert Counter(row["outcome"] for row in found.values()) == {"kept": 3, "corrupt": 1}
    row = found[victim.name]
    assert (row["outcome"], row["detail"]) == ("corrupt", "its decoder crashed")


def test_inspect(tmp_path):
    build(config(tmp_path, pile(tmp_path / "pile", 12)))
    lines = inspect(tmp_path / "out", tmp_path / "sheet.png")
    assert lines[0].startswith("12 covers: ")
    assert "sizes: 12 of 64x64" in lines
    assert [line for line in lines if line.startswith("artist: 12 (100%): ")]
    assert Image.open(tmp_path / "sheet.png").size == (12 * 96, 8 * 96)
    with pytest.raises(ValueError, match="found none in"):
        inspect(tmp_path / "pile", None)


def test_inspect_as_a_command(tmp_path, capsys):
    build(config(tmp_path, pile(tmp_path / "pile", 12)))
    mine = tmp_path / "mine.png"
    for sheet, words in ((tmp_path / "out" / "contact_sheet.png", []), (mine, ["--sheet", str(mine)])):
        assert main(["covers", "inspect", str(tmp_path / "out"), *words]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed[0].startswith("12 covers: ")
        assert printed[-1] == f"12 of them in {sheet}: other people's covers, do not publish"
        assert Image.open(sheet).size == (12 * 96, 8 * 96)
    assert main(["covers", "inspect", str(tmp_path / "pile")]) == 2
    assert "DIR must hold parquet files with covers, found none in" in capsys.readouterr().err
    assert main(["covers", "inspect", str(tmp_path / "nowhere")]) == 2
    assert "is not a folder; check its name" in capsys.readouterr().err


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of raw files is not here")
def test_raw_sample(tmp_path):
    build(BuildConfig(sources=(str(SAMPLE),), out=tmp_path / "out"))
    found = outcomes(tmp_path / "out")
    assert len(found) == sum(path.is_file() for path in SAMPLE.rglob("*"))
    assert {row["outcome"] for row in found.values()} <= {*STEPS, "kept"}
    with open(SAMPLE / "manifest.csv", newline="") as file:
        said = {row["file"]: row["why"] for row in csv.DictReader(file)}
    for name, why in said.items():
        outcome, notes = found[name]["outcome"], found[name]["notes"].split(",")
        if why.startswith("not an image"):
            assert outcome == ("hidden" if Path(name).name.startswith(".") else "not_an_image"), name
        elif why.startswith("non-square"):
            assert outcome == "not_square", name
        elif why.startswith("near-blank"):
            assert outcome == "near_blank", name
        elif "below a 128 px" in why or "too small" in why:
            assert outcome == "too_small", name
        elif why.startswith(("ordinary", "small (", "JPEG without", "palette (", "palette GIF", "slightly")):
            assert outcome == "kept", name
        elif "data in a .jpg" in why:
            assert "wrong_extension" in notes, name
        elif "record label" in why:
            assert "disc_label" in notes, name
        elif why.startswith("grayscale"):
            assert "grayscale" in notes, name
    pairs = Counter(row["outcome"] for row in found.values())
    assert (pairs["exact_duplicate"], pairs["near_duplicate"]) == (1, 1)


def test_the_report_says_what_would_bring_files_back(tmp_path):
    """With the number of them, which is right: a build with that option keeps so many more."""
    folder = pile(tmp_path / "pile", 12)
    for number, size in enumerate([(200, 300), (200, 300), (200, 300), (200, 800), (20, 20)]):
        draw_cover(40 + number, 300).resize(size).save(folder / f"odd {number}.png")
    build(config(tmp_path, folder))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "not square<td class=n>4<td><code>--max-crop 0.35</code> would keep up to 3" in page
    assert "12 covers from 17 files" in page
    assert "album-gan covers build pile --out DIR ..." in page
    assert "album-gan train --train_data_dir DIR --minutes 60 --resolution 64 --output_dir" in page
    assert "reject" not in page
    assert build(config(tmp_path, folder, cleaning={"max_crop": 0.35})).kept == 12 + 3


def test_remedies_count_what_they_bring_back():
    settings = Cleaning()
    sides = [(90, 90)] * 4 + [(60, 70), (130, 195), (200, 250)]
    assert remedy_of("too_small", 5, sides, settings) == "<code>--min-size 64</code> would keep up to 4"
    assert remedy_of("not_square", 2, sides, settings) == "<code>--max-crop 0.35</code> would keep up to 2"
    assert remedy_of("near_blank", 3, sides, settings).startswith("<code>--allow near_blank</code> would keep up to 3")
    assert not remedy_of("not_an_image", 3, sides, settings)
    assert not remedy_of("too_small", 1, [(20, 20)], settings)


def test_an_original_is_kept_instead_of_its_copy_in_print_colours(tmp_path):
    folder = pile(tmp_path / "pile", 3)
    cover = draw_cover(50, 700)
    cover.convert("CMYK").save(folder / "for print.jpg", quality=95)
    cover.resize((400, 400)).save(folder / "for the web.jpg", quality=90)
    build(config(tmp_path, folder))
    found = outcomes(tmp_path / "out")
    assert found["for the web.jpg"]["outcome"] == "kept"
    assert found["for print.jpg"]["outcome"] == "near_duplicate"


@pytest.mark.parametrize(
    ("name", "placeholder"),
    [
        ("album/{n} - Song {n}.jpg", False),
        ("album/Song {n}.jpg", False),
        ("{n}/Song.jpg", False),  # discs
        ("album/Artist {n} - Song.jpg", True),
        ("album {n}/folder.jpg", True),
    ],
)
def test_one_picture_is_a_placeholder_under_many_artists_or_in_many_folders(tmp_path, name, placeholder):
    folder = pile(tmp_path / "pile", 1)
    for number in range(12):
        path = folder / name.format(n=number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(50))
    assert build(config(tmp_path, folder)).kept == (1 if placeholder else 2)


def test_a_build_of_more_shards_than_files_that_may_be_open(tmp_path):
    pytest.importorskip("resource")
    pile(tmp_path / "pile", 30)
    code = (
        "import os, resource, sys; from album_gan.cli.main import main\n"
        "from album_gan.covers.build import candidates, selection\n"
        "candidates.SHARD_FILES, selection.OPEN_SHARDS = 1, 4\n"
        "opened = len(os.listdir('/dev/fd'))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, opened + 20)); sys.exit(main())"
    )
    options = ["--out", "out", "--resolution", "64", "--min-size", "32", "--num-workers", "0"]
    words = [sys.executable, "-c", code, "covers", "build", "pile", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(outcomes(tmp_path / "out")) == 30
