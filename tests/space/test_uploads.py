"""What people send: its size, its number, what it claims to be, and a disk that cannot take it."""

import http.client
import json
import os
import sys
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from serving import free_port, page_of, serve

resource = pytest.importorskip("resource", reason="limits of processes are a matter of Unix")
gradio_client = pytest.importorskip("gradio_client", reason="the page needs album-gan[demo]")

SMALL_QUOTA = "import album_gan.space.uploads as u; u.MAX_TOTAL_BYTES, u.MAX_CLIENT_BYTES = 2_500_000, 1_000_000; "
LAUNCH = "import sys; from album_gan.space.app import launch; launch(sys.argv[1], port=int(sys.argv[2]))"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def address(tiny_model, files):
    with serve(tiny_model, free_port(), files) as address:
        yield address


def request(address, path, method="GET", body=b"", source="127.0.0.1", **headers):
    url = urlsplit(address)
    client = http.client.HTTPConnection(url.hostname, url.port, timeout=60, source_address=(source, 0))
    client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = client.getresponse()
    content = answer.read()
    client.close()
    return answer.status, content


def upload(address, content, filename='; filename="a.png"', source="127.0.0.1", **headers):
    head = f'--x\r\nContent-Disposition: form-data; name="files"{filename}\r\n\r\n'.encode()
    headers = {"content_type": "multipart/form-data; boundary=x", **headers}
    return request(address, "/gradio_api/upload", "POST", head + content + b"\r\n--x--\r\n", source, **headers)


def is_one_line(text: bytes) -> bool:
    return 0 < len(text) < 200 and text.count(b"\n") == 0 and b"Traceback" not in text


def test_an_upload_that_is_no_file_is_refused(address):
    status, text = upload(address, b"abc", filename="")
    assert (status, is_one_line(text)) == (400, True)
    assert b"send a form with one file that has a name" in text


@pytest.mark.parametrize("filename", ['; filename=""', "; filename"])
def test_an_upload_with_an_empty_name_is_named(address, filename):
    status, text = upload(address, b"abc", filename)
    [path] = json.loads(text)
    assert (status, Path(path).read_bytes()) == (200, b"abc")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multipart/form-data", b"Missing boundary"),
        ("multipart/form-data; boundary=y", b"Expected boundary"),
        ("text/plain", b"Invalid content type"),
    ],
)
def test_an_unreadable_upload_is_refused(address, kind, words):
    status, text = upload(address, b"abc", content_type=kind)
    assert (status, is_one_line(text)) == (400, True)
    assert words in text


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(address):
    status, text = upload(address, b"x" * 100, content_length="30000000")
    assert (status, b"at most 20 MB" in text, is_one_line(text)) == (413, True, True)


@pytest.mark.parametrize("path", ["upload", "call/upscale"])
def test_who_sends_too_much_before_reading_is_told_why(address, path):
    """30 MB are more than the buffers of a connection hold."""
    status, text = request(address, f"/gradio_api/{path}", "POST", b"x" * 30_000_000)
    assert (status, b"must be at most" in text, is_one_line(text)) == (413, True, True)


def test_calls_are_small_and_name_no_web_addresses(address):
    call = "/gradio_api/call/upscale"
    status, text = request(address, call, "POST", b'{"data": ["' + b"x" * 1_100_000 + b'"]}')
    assert (status, is_one_line(text)) == (413, True)
    file = {"path": "http://127.0.0.1:9/huge.png", "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [file, 64]}).encode()
    for written in (body, body.replace(b"path", b"p\\u0061th")):  # the same JSON
        status, text = request(address, call, "POST", written)
        assert (status, b"uploaded" in text) == (400, True)


def huge_picture(folder: Path) -> Path:
    """A PNG of some 200 KB that says truly that it has 16000x11000 pixels."""
    file = folder / "huge.png"
    row = zlib.compressobj()
    data = b"".join(row.compress(bytes(16_001)) for _ in range(11_000)) + row.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (16_000).to_bytes(4, "big") + (11_000).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return file


def page_process(files: Path) -> int:
    return int(next(files.glob("album-gan-page-*")).name.split("-")[3])


def peak_memory(files: Path) -> float:
    """Megabytes that the page's process had at most."""
    status = Path(f"/proc/{page_process(files)}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured as Linux does")
def test_a_picture_with_too_many_pixels_is_refused_by_its_header(address, files, tmp_path):
    """At the API, and where the page itself takes an upload."""
    client = gradio_client.Client(address, verbose=False, download_files=str(tmp_path / "client"))
    Image.new("RGB", (50, 50)).save(tmp_path / "small.png")
    client.predict(gradio_client.handle_file(tmp_path / "small.png"), 64, api_name="/upscale")
    before, huge = peak_memory(files), huge_picture(tmp_path)
    with pytest.raises(gradio_client.exceptions.AppError, match="4096"):
        client.predict(gradio_client.handle_file(huge), 2048, api_name="/upscale")
    config = json.loads(request(address, "/config")[1])
    button = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "own")
    event = next(d["id"] for d in config["dependencies"] if [button, "upload"] in [list(t) for t in d["targets"]])
    path = json.loads(upload(address, huge.read_bytes())[1])[0]
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file, ""], "fn_index": event, "session_hash": "huge"}
    request(address, "/gradio_api/queue/join", "POST", json.dumps(body).encode(), content_type="application/json")
    assert b"more than 4096 a side" in request(address, "/gradio_api/queue/data?session_hash=huge")[1]
    assert peak_memory(files) - before < 250  # decoded it takes 700, as RGB


def test_uploads_have_a_quota_for_each_client_and_one_for_all(tiny_model, tmp_path):
    port = free_port()
    command = [sys.executable, "-c", SMALL_QUOTA + LAUNCH, str(tiny_model), str(port)]
    with page_of(command, {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}):
        address, part = f"http://127.0.0.1:{port}", b"x" * 450_000
        statuses = {
            source: [upload(address, part, source=source)[0] for _ in range(4)]
            for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4")
        }
        assert statuses == {
            "127.0.0.2": [200, 200, 507, 507],
            "127.0.0.3": [200, 200, 507, 507],
            "127.0.0.4": [200, 507, 507, 507],  # 2.5 MB of all
        }
        assert is_one_line(upload(address, part, source="127.0.0.5")[1])
        assert request(address, "/cover/77.png")[0] == request(address, "/covers.zip?seeds=80-90")[0] == 200


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process is limited from outside on Linux only")
def test_a_full_disk_costs_no_cover_and_the_rest_is_told_in_a_line(tiny_model, tmp_path):
    with serve(tiny_model, free_port(), tmp_path) as address:
        resource.prlimit(page_process(tmp_path), resource.RLIMIT_FSIZE, (0, 0))  # from now on no file can be written
        for path in ("cover/77.png", "cover/77.png?size=256&title=Anna", "covers.zip?seeds=80-90", "edit/3.png"):
            status, content = request(address, f"/{path}")
            assert status == 200, path
            assert len(content) > 200
        for status, text in (request(address, "/film/1/2.mp4"), upload(address, b"abc" * 9999)):
            assert (status, is_one_line(text)) == (507, True), text
            assert b"disk of the page's computer is full" in text
        client = gradio_client.Client(address, verbose=False, download_files=str(tmp_path / "client"))
        with pytest.raises(gradio_client.exceptions.AppError, match="disk of the page's computer is full"):
            client.predict("1", api_name="/generate")
