"""Folders, archives and tables, friendly and hostile: each file comes out once, named, or with a reason."""

import json
import os
import pickle
import tarfile
import zipfile

import datasets
import fsspec
import pytest
from archives import add, hostile_tar, jpeg

from album_gan.covers.build import archives
from album_gan.covers.build.metadata import labels_from, labels_from_name
from album_gan.covers.build.samples import samples, webdataset_key
from album_gan.covers.build.source_file import with_bytes
from album_gan.covers.build.sources import open_source


def read(place, tmp_path, **options) -> dict[str, tuple]:
    """name -> (reason, labels, bytes) of all entries of a source."""
    found = {}
    for entry in open_source(str(place), tmp_path / "downloads", **options).entries():
        assert entry.name not in found
        try:
            data = None if entry.reason else entry.read()
        except Exception as error:
            data = error
        found[entry.name] = (entry.reason, entry.labels, data)
    return found


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_hostile_tar(tmp_path, ending):
    found = read(hostile_tar(tmp_path / f"x.{ending}", "w:gz" if ending.endswith("gz") else "w"), tmp_path)
    assert {name: reason for name, (reason, _, _) in found.items()} == {
        "folder/a.jpg": None,
        "../../escaped.jpg": None,
        "/absolute.jpg": None,
        "link.jpg": "link",
        "hard.jpg": "link",
        "pipe.jpg": "not_a_file",
        "device.jpg": "not_a_file",
        "Queen - Jazz.jpg": None,
        "bad-\ufffd-name.jpg": None,
    }
    assert found["../../escaped.jpg"][2] == jpeg(2)
    assert found["bad-\ufffd-name.jpg"][2] == jpeg(5)
    assert found["Queen - Jazz.jpg"][1] == {"artist": "Queen", "title": "Jazz"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"x.{ending}"]


def test_cut_off_tar_gives_what_is_there(tmp_path):
    whole = hostile_tar(tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:6_000])
    found = read(tmp_path / "cut.tar", tmp_path)
    assert found["folder/a.jpg"][2] == jpeg(1)
    assert found["(the rest of the archive)"][0] == "unreadable"
    (tmp_path / "none.tar").write_bytes(b"no archive at all")
    assert [reason for reason, _, _ in read(tmp_path / "none.tar", tmp_path).values()] == ["unreadable"]


def test_hostile_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/ok.jpg", jpeg(1))
        archive.writestr("../up.jpg", jpeg(2))
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bomb.jpg", bytes(80 << 20))
    found = read(tmp_path / "x.zip", tmp_path)
    reasons = {name: reason for name, (reason, _, _) in found.items()}
    assert reasons == {"a/ok.jpg": None, "../up.jpg": None, "link.jpg": "link", "bomb.jpg": "too_many_bytes"}
    broken = bytearray((tmp_path / "x.zip").read_bytes())
    broken[40:60] = bytes(20)  # in the first picture
    (tmp_path / "broken.zip").write_bytes(broken)
    found = read(tmp_path / "broken.zip", tmp_path)
    assert isinstance(found["a/ok.jpg"][2], Exception)
    assert found["../up.jpg"][2] == jpeg(2)


def test_whatever_is_in_an_archive_goes_to_another_process(tmp_path):
    hostile_tar(tmp_path / "a.tar")
    hostile_tar(tmp_path / "b.tar.gz", "w:gz")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ok.jpg", jpeg(1))
        archive.writestr("bomb.jpg", bytes(80 << 20))
    found = open_source(str(tmp_path), tmp_path / "downloads").entries()
    sent = [pickle.loads(pickle.dumps(entry if entry.lasting else with_bytes(entry))) for entry in found]
    read = {entry.name: entry.read() for entry in sent if not entry.reason}
    for archive in ("a.tar", "b.tar.gz"):
        assert read[f"{archive}/folder/a.jpg"] == jpeg(1)
        assert read[f"{archive}/Queen - Jazz.jpg"] == jpeg(4)
    assert read["c.zip/ok.jpg"] == jpeg(1)
    assert [entry.reason for entry in sent if entry.name == "c.zip/bomb.jpg"] == ["too_many_bytes"]


def test_hostile_folder(tmp_path):
    pile = tmp_path / "pile"
    (pile / "deep" / "er").mkdir(parents=True)
    (pile / "deep" / "er" / "a.jpg").write_bytes(jpeg(1))
    (pile / "loop").symlink_to(pile)
    (pile / "link.jpg").symlink_to("/etc/passwd")
    (pile / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(pile / "pipe.jpg")
    with open(os.fsencode(pile) + b"/\xff.jpg", "wb") as file:
        file.write(jpeg(2))
    hostile_tar(pile / "inner.tar")
    found = read(pile, tmp_path)
    reasons = {name: reason for name, (reason, _, _) in found.items() if not name.startswith("inner")}
    assert reasons == {
        "deep/er/a.jpg": None, "loop": "link", "link.jpg": "link", "broken.jpg": "link", "pipe.jpg": "not_a_file",
        "\ufffd.jpg": None,
    }  # fmt: skip
    assert found["inner.tar/folder/a.jpg"][2] == jpeg(1)
    assert list(found) == list(read(pile, tmp_path))


def test_imagefolder_labels(tmp_path):
    pile = tmp_path / "pile"
    (pile / "Jazz").mkdir(parents=True)
    (pile / "Jazz" / "1.jpg").write_bytes(jpeg(1))
    (pile / "Jazz" / "2.jpg").write_bytes(jpeg(2))
    (pile / "Jazz" / "metadata.csv").write_text("file_name,artist,Album,release_date\n1.jpg,Miles,Blue,1959-08-17\n")
    found = read(pile, tmp_path, folder_genre=True)
    assert found["Jazz/1.jpg"][1] == {"genre": "Jazz", "artist": "Miles", "title": "Blue", "year": 1959}
    assert found["Jazz/2.jpg"][1] == {"genre": "Jazz"}
    assert found["Jazz/metadata.csv"][0] == "label_file"
    (pile / "Jazz" / "metadata.jsonl").write_text('{"file_name": "2.jpg", "genre": "Cool"}\n')
    assert read(pile, tmp_path, folder_genre=True)["Jazz/2.jpg"][1] == {"genre": "Cool"}
    (pile / "Jazz" / "metadata.jsonl").write_text('{"file_name": "2.jpg", "genre": "Cool"}\nbroken\n[1]\n')
    assert read(pile, tmp_path, folder_genre=True)["Jazz/metadata.jsonl"][0] == "unreadable_labels"


def test_names_in_a_folder_have_slashes_on_windows(tmp_path, monkeypatch):
    pile = tmp_path / "pile"
    (pile / "Jazz").mkdir(parents=True)
    for name in ("Miles - Blue.jpg", "1.jpg"):
        (pile / "Jazz" / name).write_bytes(jpeg(1))
    (pile / "Jazz" / "metadata.csv").write_text("file_name,artist\n1.jpg,Nina\n")
    real = os.path.relpath
    monkeypatch.setattr(os.path, "relpath", lambda *paths: real(*paths).replace("/", "\\"))
    monkeypatch.setattr(os, "sep", "\\")
    found = read(pile, tmp_path, folder_genre=True)
    assert found["Jazz/Miles - Blue.jpg"][1] == {"genre": "Jazz", "artist": "Miles", "title": "Blue"}
    assert found["Jazz/1.jpg"][1] == {"genre": "Jazz", "artist": "Nina"}


@pytest.mark.parametrize("name", ["metadata.csv", "a/metadata.jsonl", "metadata.parquet"])
def test_metadata_in_an_archive_is_said_not_to_be_read(tmp_path, name):
    with tarfile.open(tmp_path / "x.tar", "w") as tar, zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        add(tar, name, b"file_name,genre\n1.jpg,jazz\n")
        add(tar, "1.jpg", jpeg(1))
        zipped.writestr(name, b"file_name,genre\n1.jpg,jazz\n")
        zipped.writestr("1.jpg", jpeg(1))
    for archive in ("x.tar", "x.zip"):
        found = {entry.name: entry for entry in open_source(str(tmp_path / archive), tmp_path).entries()}
        assert (found[name].reason, found[name].detail) == (
            "unreadable_labels",
            "not read inside an archive; unpack it",
        )
        assert found["1.jpg"].reason is None


def test_a_folder_as_genre(tmp_path):
    """Of pictures directly in a source, in archives, and in tables, whose rows are no folders."""
    pile = tmp_path / "jazz"
    pile.mkdir()
    (pile / "1.jpg").write_bytes(jpeg(1))
    for ending, mode in (("tar", "w"), ("TAR.GZ", "w:gz")):
        with tarfile.open(pile / f"rock.{ending}", mode) as archive:
            add(archive, "./1.jpg", jpeg(2))
            add(archive, "2.jpg", jpeg(2))
            add(archive, "punk/1.jpg", jpeg(3))
    with zipfile.ZipFile(pile / "folk.zip", "w") as archive:
        archive.writestr("1.jpg", jpeg(4))
    features = datasets.Features({"image": datasets.Image()})
    rows = [{"image": {"bytes": jpeg(5), "path": path}} for path in ("a.jpg", None)]
    datasets.Dataset.from_list(rows, features=features).to_parquet(pile / "x.parquet")
    genres = {name: labels.get("genre") for name, (_, labels, _) in read(pile, tmp_path, folder_genre=True).items()}
    assert genres == {
        "1.jpg": "jazz", "folk.zip/1.jpg": "folk", "rock.tar/./1.jpg": "rock", "rock.tar/2.jpg": "rock",
        "rock.tar/punk/1.jpg": "punk", "rock.TAR.GZ/./1.jpg": "rock", "rock.TAR.GZ/2.jpg": "rock",
        "rock.TAR.GZ/punk/1.jpg": "punk", "x.parquet/00000000/a.jpg": None, "x.parquet/00000001": None,
    }  # fmt: skip
    alone = {name: read(pile / name, tmp_path, folder_genre=True) for name in ("rock.tar", "folk.zip", "x.parquet")}
    assert alone["rock.tar"]["2.jpg"][1] == {"genre": "rock"}
    assert alone["folk.zip"]["1.jpg"][1] == {"genre": "folk"}
    assert alone["x.parquet"]["00000000/a.jpg"][1] == {}


def test_webdataset_labels(tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        add(archive, "0001.jpg", jpeg(1))
        add(archive, "0001.json", json.dumps({"genre": "rock", "year": 1971, "nested": {}}).encode())
        add(archive, "0002.jpg", jpeg(2))
        add(archive, "0002.json", b"{broken")
        add(archive, "alone.json", b"{}")
    found = read(tmp_path / "shard.tar", tmp_path)
    assert found["0001.jpg"][1] == {"genre": "rock", "year": 1971}
    assert found["0002.jpg"][1] == {}
    assert [found[name][0] for name in ("0001.json", "0002.json", "alone.json")] == ["label_file", "label_file", None]


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_sidecars_describe_the_pictures_of_their_whole_name(tmp_path, ending):
    albums = {"Mr. Bungle - California": "rock", "Mr. Scruff - Trouser Jazz": "jazz", "Mr. Mister - Go": ""}
    with tarfile.open(tmp_path / f"x.{ending}", "w:gz" if ending.endswith("gz") else "w") as archive:
        for index, (name, genre) in enumerate(albums.items()):
            if genre:
                add(archive, f"{name}.json", json.dumps({"genre": genre}).encode())
            add(archive, f"{name}.jpg", jpeg(index))
        add(archive, "x.jpg", jpeg(4))
        add(archive, "x.json", b'{"genre": "folk"}')
        add(archive, "x.meta.json", b'{"genre": "none", "year": 1999}')
    found = read(tmp_path / f"x.{ending}", tmp_path)
    assert {name: found[f"{name}.jpg"][1].get("genre", "") for name in albums} == albums
    assert found["Mr. Mister - Go.jpg"][1] == {"artist": "Mr. Mister", "title": "Go"}
    assert found["x.jpg"][1] == {"genre": "folk", "year": 1999}


def test_an_archive_whose_names_begin_alike_is_not_held_in_memory(tmp_path):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for index in range(200):
            add(archive, f"www.site.com - {index:03d}.json", b'{"year": %d}' % (1900 + index % 100))
            add(archive, f"www.site.com - {index:03d}.jpg", b"x")
    held = [0]

    def counted(entries):
        for entry in entries:
            held[0] += 1
            yield entry

    found = samples(counted(archives._tar(tmp_path / "x.tar.gz")), webdataset_key)
    for number, entry in enumerate(found):
        assert held[0] - number <= 66
        if entry.name.endswith(".jpg"):
            assert entry.labels["year"] == 1900 + number // 2 % 100


def test_parquet_labels_classes_and_lost_pictures(tmp_path):
    genres = datasets.ClassLabel(names=["folk", "punk"])
    features = datasets.Features({"cover": datasets.Image(), "label": genres, "album": datasets.Value("string")})
    rows = [
        {"cover": {"bytes": jpeg(1), "path": "a.jpg"}, "label": 1, "album": "One"},
        {"cover": {"bytes": b"", "path": None}, "label": None, "album": None},
        {"cover": None, "label": 0, "album": "Three"},
    ]
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "x.parquet")
    found = list(read(tmp_path / "x.parquet", tmp_path).items())
    assert found[0] == ("00000000/a.jpg", (None, {"genre": "punk", "title": "One"}, jpeg(1)))
    assert [reason for _, (reason, _, _) in found] == [None, None, "unreadable"]
    with pytest.raises(ValueError, match="image_column must be one of cover, got 'photo'"):
        read(tmp_path / "x.parquet", tmp_path, image_column="photo")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "x.parquet").read_bytes()[:400])
    assert [reason for reason, _, _ in read(tmp_path / "cut.parquet", tmp_path).values()] == ["unreadable"]


def test_labels_are_found_and_bounded():
    assert labels_from({"Genre": "  Drum\n& Bass ", "year": "(c) 1994", "title": None}) == {
        "genre": "Drum & Bass",
        "year": 1994,
    }
    assert labels_from({"year": 12345, "artist": ["A", "B"], "title": {"x": 1}}) == {"artist": "A"}
    assert len(labels_from({"artist": "x" * 5000})["artist"]) == 300
    assert labels_from_name("x/1_2_john-lee-hooker_gold.jpg", "album_covers_j.tar") == {"artist": "john lee hooker"}
    assert labels_from_name("x/1_2_a.jpg", "other.tar") == {}
    for dash in "-\u2013\u2014":
        assert labels_from_name(f"x/A-ha {dash} Take {dash} On.jpg") == {"artist": "A-ha", "title": f"Take {dash} On"}
        assert labels_from_name(f"x/01 {dash} A-ha {dash} Take On.jpg") == {"artist": "A-ha", "title": "Take On"}
        assert labels_from_name(f"x/01 {dash} Take On.jpg") == {}
    assert labels_from_name("x/Cover - Front.jpg") == labels_from_name("x/Scan 1 - AlbumArt (Back).jpg") == {}
    assert labels_from_name("x/Miles - Front Cover.jpg") == {"artist": "Miles"}
    assert labels_from_name("x/Art Blakey - 21.jpg") == {"artist": "Art Blakey", "title": "21"}


@pytest.mark.parametrize("place", ["nowhere", "a b/c", "notes.txt"])
def test_what_is_no_source_says_so(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no pictures")
    with pytest.raises(ValueError, match="source must be a"):
        list(open_source(place, tmp_path).entries())


@pytest.fixture
def storage():
    """The file system of fsspec in memory, in place of object storage."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_storage_of_fsspec_is_a_source(tmp_path, storage):
    storage.pipe("/bucket/covers/rock/Queen - Jazz.jpg", jpeg(1))
    storage.pipe("/bucket/covers/rock/a.jpg", jpeg(2))
    storage.pipe("/bucket/covers/rock/a.json", b'{"artist": "Abba"}')
    hostile_tar(tmp_path / "more.tar")
    storage.pipe("/bucket/covers/more.tar", (tmp_path / "more.tar").read_bytes())
    found = read("memory://bucket/covers", tmp_path, folder_genre=True)
    assert found["rock/Queen - Jazz.jpg"][1:] == ({"artist": "Queen", "title": "Jazz", "genre": "rock"}, jpeg(1))
    assert found["rock/a.jpg"][1] == {"artist": "Abba", "genre": "rock"}
    assert found["rock/a.json"][0] == "label_file"
    assert found["more.tar/folder/a.jpg"][2] == jpeg(1)
    [alone] = read("memory://bucket/covers/rock/a.jpg", tmp_path).values()
    assert alone[2] == jpeg(2)
    before = open_source("memory://bucket/covers", tmp_path).identity
    storage.pipe("/bucket/covers/rock/b.jpg", jpeg(3))
    assert open_source("memory://bucket/covers", tmp_path).identity != before


def test_metadata_in_storage_describes_the_folders_below(storage, tmp_path, caplog):
    storage.pipe("/bucket/a/metadata.csv", b"file_name,genre\nc/1.jpg,jazz\n")
    storage.pipe("/bucket/a-b/metadata.csv", b"file_name,genre\n2.jpg,rock\n")
    for name in ("a/c/1.jpg", "a-b/2.jpg"):
        storage.pipe(f"/bucket/{name}", jpeg(1))
    found = read("memory://bucket", tmp_path)
    assert (found["a/c/1.jpg"][1], found["a-b/2.jpg"][1]) == ({"genre": "jazz"}, {"genre": "rock"})
    assert not caplog.text


def test_storage_that_cannot_be_listed_says_so(tmp_path):
    with pytest.raises(ValueError, match="source nothing://x cannot be listed"):
        open_source("nothing://x", tmp_path)
