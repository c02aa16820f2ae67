"""A music library: one cover per album, the right one, with the right tags, and each file accounted for."""

import base64
import csv
import gzip
import io
import shutil
import subprocess
from pathlib import Path

import datasets
import mutagen
import mutagen.id3
import pytest
from music_files import CODECS, id3v22, picture, silence, tag
from PIL import Image

from album_gan.cli.main import main
from album_gan.covers.build.music_tags import read_track


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One silent file of each container, to copy."""
    folder = tmp_path_factory.mktemp("music")
    return {ending: silence(folder / f"silence.{ending}") for ending in CODECS}


@pytest.fixture
def track(files, tmp_path):
    """Makes a music file of the library: a path, pictures, tags."""

    def make(name: str, pictures=(), **tags) -> Path:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files[path.suffix[1:]], path)
        return tag(path, list(pictures), **tags)

    return make


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def built(tmp_path, *options: str) -> tuple[dict[str, dict], dict[str, str]]:
    """Rows of the data set by title, and what became of each file."""
    words = ["covers", "build", str(tmp_path / "music"), "--out", str(tmp_path / "out"), "--num-workers", "0"]
    assert main([*words, "--resolution", "64", "--min-size", "48", *options]) == 0
    rows = datasets.Dataset.from_parquet([str(path) for path in sorted((tmp_path / "out/data").glob("*.parquet"))])
    rows = rows.cast_column("image", datasets.Image(decode=False))
    with gzip.open(tmp_path / "out" / "files.csv.gz", "rt", encoding="utf-8", newline="") as file:
        outcomes = {row["file"]: row["outcome"] for row in csv.DictReader(file)}
    assert len(outcomes) == sum(path.is_file() for path in (tmp_path / "music").rglob("*"))  # each once
    return {row["title"]: row for row in rows}, outcomes


def shows(row: dict, index: int) -> bool:
    """Whether a row is the picture of this number."""
    small = [
        Image.open(io.BytesIO(data)).convert("RGB").resize((9, 9)) for data in (row["image"]["bytes"], picture(index))
    ]
    pixels = [list(image.tobytes()) for image in small]
    return sum(abs(a - b) for a, b in zip(*pixels, strict=True)) / len(pixels[0]) < 12


@pytest.mark.parametrize("ending", CODECS)
def test_front_wins_in_each_container(tmp_path, track, ending):
    for number in range(3):
        others = [] if ending == "m4a" else [(4, picture(9, 300))]  # MP4 knows no types
        track(
            f"Queen/Jazz/{number}.{ending}", [*others, (3, picture(1))],
            album="Jazz", artist=f"Queen {number}", albumartist="Queen", genre="Rock", date="1978-11-10",
        )  # fmt: skip
    rows, outcomes = built(tmp_path)
    assert sorted(outcomes.values()) == ["kept", "same_album", "same_album"]
    row = rows["Jazz"]
    assert (row["artist"], row["genre"], row["year"]) == ("Queen", "Rock", 1978)
    assert shows(row, 1)
    assert row["source_path"] == f"Queen/Jazz/0.{ending} (front cover)"
    assert not row["notes"] or "wrong_extension" not in row["notes"]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_id3_of_all_versions(tmp_path, files, track, version):
    if version == 2:
        path = tmp_path / "music" / "a.mp3"
        put(path, files["mp3"].read_bytes())
        id3v22(path, picture(1), "Old")
    else:
        path = track("a.mp3", [(3, picture(1))], album="Old")
        frames = mutagen.id3.ID3(path)
        frames.save(path, v2_version=version)
    assert path.read_bytes()[3] == version
    rows, _ = built(tmp_path)
    assert shows(rows["Old"], 1)


def test_the_bytes_decide_not_what_is_said_of_them(tmp_path, track):
    track("a/1.flac", [(3, picture(1, kind="PNG"))], mime="image/jpeg", album="PNG as JPEG")
    track("b/1.mp3", [(3, picture(2, 4000))], mime="image/png", album="Large")
    track("c/1.mp3", [(3, picture(3, 32))], album="Tiny")
    track("d/1.mp3", [(3, picture(4)[:900])], album="Cut")
    track("d/2.mp3", [(3, picture(5))], album="Cut")  # the second track has it whole
    track("e/1.mp3", [(3, picture(6)[:900])], album="Only cut")
    track("f/1.ogg", [(3, b"http://example.org/cover.jpg")], mime="-->", album="Link")
    track("g/1.mp3", [(3, b"http://example.org/cover.jpg")], mime="-->", album="Link and folder")
    put(tmp_path / "music/g/Folder.JPG", picture(7))
    track("h/1.mp3", [(8, picture(8)), (1, picture(9, 32, "PNG"))], album="Only the artist")
    put(tmp_path / "music/i/1.mp3", b"no music")
    rows, outcomes = built(tmp_path)
    assert set(rows) == {"PNG as JPEG", "Large", "Cut", "Link and folder"}
    assert rows["PNG as JPEG"]["source_format"] == "PNG"
    assert rows["Large"]["source_width"] == 4000
    assert shows(rows["Cut"], 5)
    assert shows(rows["Link and folder"], 7)
    assert outcomes["c/1.mp3 (front cover)"] == "too_small"
    assert outcomes["d/1.mp3"] == "same_album"
    assert outcomes["e/1.mp3 (front cover)"] == "truncated"
    assert outcomes["f/1.ogg"] == "linked_picture"
    assert outcomes["h/1.mp3"] == outcomes["i/1.mp3"] == "no_picture"


def test_albums_are_told_apart_and_kept_together(tmp_path, track):
    # Two albums of one name, in one folder.
    for artist, index in (("Queen", 1), ("ABBA", 2)):
        for number in range(2):
            track(f"flat/{artist} {number}.mp3", [(3, picture(index))], album="Greatest Hits", albumartist=artist)
    # A compilation without album artists, and one whose tracks lie in two folders.
    for number in range(3):
        track(f"Now/{number}.m4a", [(3, picture(3))], album="Now", artist=f"Somebody {number}", compilation="1")
    for disc in (1, 2):
        track(f"Box/CD {disc}/1.flac", [(3, picture(4))], album=f"Box (Disc {disc})", artist="A")
    put(tmp_path / "music/Box/cover.png", picture(4, 200, "PNG"))
    put(tmp_path / "music/Box/Scans/back.jpg", picture(5))
    # No tags at all.
    track("Velvet Otter - Night Bus/01.mp3")
    put(tmp_path / "music/Velvet Otter - Night Bus/front.jpg", picture(6))
    put(tmp_path / "music/Velvet Otter - Night Bus/back.jpg", picture(7))
    # Above the albums of an artist, and far from music.
    put(tmp_path / "music/Box/artist.jpg", picture(8))
    put(tmp_path / "music/folder.jpg", picture(9))
    put(tmp_path / "music/more pictures/Someone - Something.jpg", picture(10))
    rows, outcomes = built(tmp_path)
    data = datasets.Dataset.from_parquet([str(path) for path in (tmp_path / "out/data").glob("*.parquet")])
    hits = {artist: title for artist, title in zip(data["artist"], data["title"], strict=True)}
    assert hits == {
        "Queen": "Greatest Hits", "ABBA": "Greatest Hits", "Various Artists": "Now", "A": "Box",
        "Velvet Otter": "Night Bus", "Someone": "Something",
    }  # fmt: skip
    assert rows["Box"]["source_path"] == "Box/cover.png"  # the largest
    assert outcomes["Box/artist.jpg"] == outcomes["Box/Scans/back.jpg"] == outcomes["folder.jpg"] == "other_picture"
    assert rows["Night Bus"]["source_path"].endswith("front.jpg")
    assert outcomes["Velvet Otter - Night Bus/back.jpg"] == "other_picture"


def test_a_pile_of_pictures_with_a_folder_of_music_keeps_them(tmp_path, track):
    track("music/1.mp3", [(3, picture(1))], album="One")
    covers = ["Band of Horses - Cease to Begin", "Landscape - Tea Rooms", "Poster Children - Flower", "Bandcamp week"]
    covers += [f"cover{number}" for number in range(1, 4)] + ["poster 2"]
    for index, name in enumerate(covers):
        put(tmp_path / f"music/{name}.jpg", picture(10 + index))
    for index, name in enumerate(["artist", "Fanart", "folder", "landscape"]):
        put(tmp_path / f"music/{name}.jpg", picture(30 + index))
    _, outcomes = built(tmp_path)
    assert {name for name, outcome in outcomes.items() if outcome == "other_picture"} == {
        "artist.jpg", "Fanart.jpg", "folder.jpg", "landscape.jpg",
    }  # fmt: skip
    assert [name for name in covers if outcomes[f"{name}.jpg"] != "kept"] == []


def test_a_link_to_music_is_said_to_be_one(tmp_path, track):
    path = track("a/1.mp3", [(3, picture(1))], album="One")
    (tmp_path / "music/a/2.mp3").symlink_to(path)
    _, outcomes = built(tmp_path)
    assert outcomes == {"a/1.mp3 (front cover)": "kept", "a/2.mp3": "link"}


def test_the_same_bytes_with_workers(tmp_path, track):
    for number in range(6):
        track(f"{number}/1.mp3", [(3, picture(number))], album=f"Album {number}")
    built(tmp_path)
    data = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")}
    shutil.rmtree(tmp_path / "out")
    built(tmp_path, "--num-workers", "2")
    assert data == {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")}


def test_without_mutagen_one_line_says_what_to_install(tmp_path, track, monkeypatch, capsys):
    track("1.mp3", [(3, picture(1))], album="One")
    monkeypatch.setattr("album_gan.covers.build.music_tags.find_spec", lambda name: None)
    words = ["covers", "build", str(tmp_path / "music"), "--out", str(tmp_path / "out"), "--num-workers", "0"]
    assert main(words) != 0
    assert "pip install 'album-gan[music]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_libraries_of_public_reports(tmp_path, track):
    """The reports of docs/music-libraries.md, by their numbers there."""
    # 1: back covers and booklets beside music without a front cover
    track("1/1.flac", [(3, picture(10))], album="One")
    for name in ("back", "booklet 1", "matrix"):
        put(tmp_path / f"music/1/{name}.jpg", picture(11 + len(name), 300))
    # 2: the cover of a box in the folder of one disc
    for disc in (1, 2):
        track(f"2/CD {disc}/1.mp3", album="Two", albumartist="B")
    put(tmp_path / "music/2/CD 2/cover.jpg", picture(20))
    # 3: scans in a folder of their own
    track("3/CD 1 - Jupiter/1.mp3", album="Three")
    put(tmp_path / "music/3/Artwork/Cover.jpg", picture(30))
    put(tmp_path / "music/3/Artwork/Disc.jpg", picture(31, 300))
    # 4: mixes without an album, their covers beside them under the same names
    for volume in (3, 4):
        track(f"4/PM - Voices {volume}.mp3", artist="PM")
        put(tmp_path / f"music/4/PM - Voices {volume} Cover.jpg", picture(40 + volume))
    # 5: singles of different artists beside a Folder.jpg that a player left
    for number in range(2):
        track(f"5/S - Five {number}.mp3", [(3, picture(50 + number))], artist=f"S {number}")
    put(tmp_path / "music/5/Folder.jpg", picture(59, 60))
    # 6: a PNG that is called JPEG; 7: the only picture is of type "other"; 8: no format given at all
    track("6/1.mp3", [(3, picture(60, kind="PNG"))], mime="image/jpeg", album="Six")
    track("7/1.flac", [(0, picture(70))], album="Seven")
    track("8/1.mp3", [(3, picture(80))], mime="", album="Eight")
    # 9: the comment of Ogg from before picture blocks
    old = track("9/1.ogg", album="Nine")
    file = mutagen.File(old)
    file["coverart"] = base64.b64encode(picture(90)).decode()
    file.save()
    # 10: front.jpg and back.jpg in the folders of discs whose tags name one album
    for disc in ("cd1", "cd2"):
        track(f"10/{disc}/1.mp3", album="Ten")
        put(tmp_path / f"music/10/{disc}/front.jpg", picture(100))
        put(tmp_path / f"music/10/{disc}/back.jpg", picture(101, 300))
    # 12: the first track has no picture
    track("12/1.mp3", album="Twelve")
    track("12/2.mp3", [(3, picture(120))], album="Twelve")
    rows, outcomes = built(tmp_path)
    covers = {"One": 10, "Two": 20, "Three": 30, "Voices 3": 43, "Voices 4": 44, "Five 0": 50, "Five 1": 51, "Six": 60,
              "Seven": 70, "Eight": 80, "Nine": 90, "Ten": 100, "Twelve": 120}  # fmt: skip
    assert rows.keys() == covers.keys(), outcomes
    assert [title for title, index in covers.items() if not shows(rows[title], index)] == []
    assert sum(outcome == "kept" for outcome in outcomes.values()) == len(covers)


# --- what taggers write that people use


KID3 = ("kid3-cli", "-c", "set picture:{art} front", "-c", "set album 'By kid3-cli'", "-c", "save", "{path}")
TAGGERS = {
    "mp3": ("eyeD3", "-A", "By eyeD3", "-a", "Q", "--add-image", "{art}:FRONT_COVER", "{path}"),
    "flac": ("metaflac", "--import-picture-from={art}", "--set-tag=ALBUM=By metaflac", "{path}"),
    "m4a": ("AtomicParsley", "{path}", "--artwork", "{art}", "--album", "By AtomicParsley", "--overWrite"),
    **dict.fromkeys(("ogg", "opus", "wma", "wv"), KID3),
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", TAGGERS)
def test_what_taggers_write(tmp_path, files, ending):
    tool = TAGGERS[ending][0]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install eyed3 kid3-cli flac atomicparsley")
    path, art = tmp_path / "music" / f"1.{ending}", tmp_path / "art.jpg"
    put(path, files[ending].read_bytes())
    art.write_bytes(picture(1, 300))
    subprocess.run([word.format(path=path, art=art) for word in TAGGERS[ending]], check=True, capture_output=True)
    track = read_track(path)
    assert track.album == f"By {tool}"
    assert [one.data == art.read_bytes() for one in track.pictures] == [True]
    rows, outcomes = built(tmp_path)
    assert shows(rows[track.album], 1), outcomes
