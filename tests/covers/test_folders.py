"""What training reads out of a folder as people have them, and what it must leave alone."""

import hashlib
import io
import json
import tarfile

import datasets
import pytest
from pictures import encoded
from PIL import Image

from album_gan.covers.dataset import CoverSource, load_covers
from album_gan.covers.folders import CoverFiles, find_covers, read_metadata
from album_gan.covers.labels import class_name
from album_gan.covers.split import is_held_out
from album_gan.covers.synthetic import draw_cover
from album_gan.media.picture_formats import picture_endings

pytestmark = pytest.mark.usefixtures("own_cache")


def png(index: int) -> bytes:
    return encoded(draw_cover(index, 32))


def save(folder, count: int, start: int = 0, ending: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        draw_cover(index, 32).save(folder / f"{index:03d}.{ending}")


def load(folder, **settings):
    return load_covers(CoverSource(train_data_dir=str(folder), resolution=32, **settings))


def genres(folder, column: str = "auto") -> list[str]:
    covers = load(folder, label_column=column).train
    return [covers.classes[number] for number in covers.labels.tolist()]


@pytest.mark.parametrize(
    "hidden", [".candidates", ".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "a/.cache/b"]
)
def test_hidden_folders_are_not_covers(tmp_path, hidden):
    save(tmp_path / "a", 30)
    save(tmp_path / hidden, 14)
    (tmp_path / hidden / "x.parquet").write_bytes(b"not for us")
    (tmp_path / "a" / "._001.png").write_bytes(b"a Mac's resource fork")
    split = load(tmp_path)
    assert len(split.train) + len(split.held_out) == 30


@pytest.mark.parametrize("ending", ["AVIF", "jp2", "jfif", "tga", "ppm"])
def test_pictures_of_every_format_that_is_read_are_found(tmp_path, ending):
    if f".{ending.lower()}" not in picture_endings():
        pytest.skip(f"this Pillow reads no {ending}")
    save(tmp_path, 12, ending=ending)
    split = load(tmp_path)
    assert len(split.train) + len(split.held_out) == 12


def test_pictures_that_cannot_be_read_icons_and_drafts_are_no_covers():
    assert picture_endings().isdisjoint({".heic", ".jxl", ".ico", ".psd", ".eps"})
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"} < picture_endings()


def test_class_folders_are_labels(tmp_path):
    save(tmp_path / "rock", 10)
    save(tmp_path / "jazz", 10, start=10)
    found = genres(tmp_path)
    assert set(found) == {"rock", "jazz"}
    save(tmp_path, 5, start=20)  # beside the folders: of no class
    assert set(genres(tmp_path)) == {"rock", "jazz", "unknown"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_beside_and_above_pictures(tmp_path, kind):
    save(tmp_path / "train", 20)
    rows = [{"file_name": f"train/{index:03d}.png", "genre": ["rock", "jazz"][index % 2]} for index in range(15)]
    table = datasets.Dataset.from_list(rows)
    file = tmp_path / f"metadata.{kind}"
    {"csv": table.to_csv, "jsonl": table.to_json, "parquet": table.to_parquet}[kind](file)
    split = load(tmp_path, label_column="genre")
    assert len(split.train) + len(split.held_out) == 20  # those without a row are covers too
    assert split.train.classes == ("unknown", "jazz", "rock")
    expected = {png(index): ["rock", "jazz"][index % 2] if index < 15 else "unknown" for index in range(20)}
    pictures = {Image.open(io.BytesIO(data)).tobytes(): genre for data, genre in expected.items()}
    for pixels, number in zip(split.train.all_pixels(), split.train.labels.tolist(), strict=True):
        assert split.train.classes[number] == pictures[pixels.tobytes()]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_gap_in_metadata_is_no_value(tmp_path, kind):
    """pandas reads gaps among texts as NaN, whose text would be a class, and a group, of its own."""
    save(tmp_path, 60)
    genre, group = ["jazz", None], ["g1", None, None]
    rows = [
        {"file_name": f"{index:03d}.png", "genre": genre[index % 2], "group": group[index % 3]} for index in range(60)
    ]
    table = datasets.Dataset.from_list(rows)
    file = tmp_path / f"metadata.{kind}"
    {"csv": table.to_csv, "jsonl": table.to_json, "parquet": table.to_parquet}[kind](file)
    split = load(tmp_path, label_column="genre")
    assert split.train.classes == ("unknown", "jazz")
    groups = [group[index % 3] or hashlib.sha256(png(index)).hexdigest() for index in range(60)]
    assert len(split.held_out) == sum(map(is_held_out, groups)) > 0


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_values_of_metadata_are_read_as_they_are_written(tmp_path, kind):
    rows = [
        {"file_name": "0012", "artist": "NA", "catalogue": "0012", "date": "1999-02-01", "none": ""},
        {"file_name": "b.png", "artist": "None", "catalogue": "1e5", "date": "2001", "none": ""},
    ]
    file = tmp_path / f"metadata.{kind}"
    if kind == "csv":
        file.write_text("\n".join(",".join(row) for row in (rows[0], *map(dict.values, rows))))
    else:
        rows = [{**row, "none": None} for row in rows]
        file.write_text("\n".join(map(json.dumps, rows)))
    expected = {row["file_name"]: {k: v for k, v in row.items() if v and k != "file_name"} for row in rows}
    assert read_metadata(file) == expected


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_as_spreadsheets_write_it(tmp_path, separator):
    file = tmp_path / "metadata.csv"
    file.write_bytes(f"file_name{separator}genre\r\na, b.png{separator}rock, pop\r\n".encode("utf-8-sig"))
    assert read_metadata(file) == {"a, b.png": {"genre": "rock, pop"}}


def test_lists_in_metadata_keep_their_first_value(tmp_path):
    save(tmp_path, 20)
    rows = [{"file_name": f"{index:03d}.png", "genre": ["rock", "pop"] if index % 2 else None} for index in range(20)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert set(genres(tmp_path)) == {"rock", "unknown"}


def test_a_metadata_file_without_file_names_says_so(tmp_path):
    save(tmp_path, 12)
    (tmp_path / "metadata.csv").write_text("genre\nrock\n")
    with pytest.raises(ValueError, match="must be a table with a column file_name, got the columns genre; fix"):
        load(tmp_path)


def test_rows_of_metadata_that_match_no_picture_are_reported(tmp_path, caplog):
    save(tmp_path, 12)
    (tmp_path / "metadata.csv").write_text("file_name,genre\n000.png,rock\n001.PNG,jazz\n2,jazz\n")
    load(tmp_path)
    assert "metadata.csv: rows that match no picture: 2, the first is '001.PNG'" in caplog.text
    (tmp_path / "metadata.csv").write_text("file_name,genre\n000.png,rock\n")
    caplog.clear()
    load(tmp_path)
    assert not caplog.text


def test_labels_of_all_kinds_of_values():
    values = [float("nan"), None, "", "  ", ["rock", "pop"], [], 3.0, 3, 2.5, b"jazz", " hip  hop "]
    expected = ["unknown"] * 4 + ["rock", "unknown", "3", "3", "2.5", "jazz", "hip hop"]
    assert [class_name(value) for value in values] == expected


def test_lists_and_gaps_in_a_parquet_file(tmp_path):
    rows = [{"image": {"bytes": png(i), "path": None}, "group": str(i), "genre": ["rock", "pop"] if i % 2 else None,
             "number": float("nan") if i % 3 else 1.0} for i in range(40)]  # fmt: skip
    features = datasets.Features(
        {"image": datasets.Image(), "group": datasets.Value("string"),
         "genre": datasets.List(datasets.Value("string")), "number": datasets.Value("float64")}
    )  # fmt: skip
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    assert set(genres(tmp_path)) == {"unknown", "rock"}
    assert set(genres(tmp_path, "number")) == {"unknown", "1"}


def test_no_column_for_auto_says_what_it_searched(tmp_path):
    save(tmp_path, 12)
    with pytest.raises(ValueError, match="label_column auto finds one of genre, label"):
        load(tmp_path, label_column="auto")


def img2dataset_parquet(path, count: int) -> None:
    rows = [{"key": f"{index:09d}", "url": "x", "caption": "a cover", "status": "success"} for index in range(count)]
    datasets.Dataset.from_list(rows).to_parquet(path)


def test_img2dataset_with_pictures(tmp_path):
    """Its "files" format: a folder of pictures, text and JSON beside a parquet file without pictures."""
    save(tmp_path / "00000", 20, ending="jpg")
    for index in range(20):
        (tmp_path / "00000" / f"{index:03d}.json").write_text(json.dumps({"caption": "a cover"}))
    img2dataset_parquet(tmp_path / "00000.parquet", 20)
    split = load(tmp_path)
    assert len(split.train) + len(split.held_out) == 20


def test_img2dataset_with_tars_and_classes_of_webdataset(tmp_path):
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for index in range(30):
            for name, data in ((f"{index:09d}.png", png(index)), (f"{index:09d}.cls", b"%d" % (index % 2))):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    img2dataset_parquet(tmp_path / "00000.parquet", 30)
    assert find_covers(tmp_path).builder == "webdataset"
    split = load(tmp_path)
    assert len(split.train) + len(split.held_out) == 30
    assert set(genres(tmp_path)) == {"0", "1"}


def test_files_that_others_hide_are_reported(tmp_path, caplog):
    (tmp_path / "0000.tar").touch()
    assert find_covers(tmp_path).builder == "webdataset"
    img2dataset_parquet(tmp_path / "0000.parquet", 3)  # without pictures
    assert not caplog.text
    save(tmp_path, 2)
    assert find_covers(tmp_path).builder is None
    assert "only its pictures are used (2), its tars (1) are ignored" in caplog.text
    rows = [{"image": {"bytes": png(0), "path": None}}]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    assert find_covers(tmp_path).builder == "parquet"
    assert "only its parquet files are used (1), its pictures (2) and tars (1) are ignored" in caplog.text


def test_a_contact_sheet_is_no_cover(tmp_path, caplog):
    rows = [{"image": {"bytes": png(0), "path": None}}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "covers.parquet")
    (tmp_path / "contact_sheet.png").write_bytes(png(1))
    assert find_covers(tmp_path).builder == "parquet"
    assert not caplog.text


def test_rows_without_a_picture_are_no_covers(tmp_path):
    rows = [{"image": None if index % 5 == 0 else {"bytes": png(index), "path": None}} for index in range(40)]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "covers.parquet")
    split = load(tmp_path)
    assert len(split.train) + len(split.held_out) == 32


def test_only_parquet_files_are_divided_by_name(tmp_path):
    """As `album-gan covers build` writes them; a tar may be called anything."""
    names = ["test-0.parquet", "test-0.tar", "train-0.parquet"]
    files = CoverFiles(tmp_path, "parquet", [str(tmp_path / name) for name in names])
    first, second, third = files.patterns()
    assert files.patterns_by_split() == {"train": [second, third], "test": [first]}
    alone = CoverFiles(tmp_path, "parquet", files.paths[:1])
    assert alone.patterns_by_split() == {"train": [first]}
