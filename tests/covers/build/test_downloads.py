"""Archives by URL: a download resumes where the line dropped, or starts over, and what is missing is said."""

import http.server
import tarfile
import threading

import pytest
from archives import add, hostile_tar, jpeg

from album_gan.covers.build import download as downloads
from album_gan.covers.build.sources import open_source


class Flaky(http.server.BaseHTTPRequestHandler):
    """Serves one file, and drops the line after a few thousand bytes, unless asked to resume."""

    content = jpeg(1, 600) * 20
    version = '"1"'
    asked: list = []  # noqa: RUF012 -- shared by the threads of one server

    def do_GET(self):
        if self.path.endswith("missing.tar"):
            self.send_error(404)
            return
        start = 0
        if self.headers.get("If-Range") == self.version:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.asked.append(start)
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.version)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        end = start + 60_000 if len(self.asked) < 3 else None
        self.wfile.write(self.content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "BLOCK", 1000)
    monkeypatch.setenv("ALBUM_GAN_RETRY_SECONDS", "0")
    Flaky.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_download_resumes_where_the_line_dropped(tmp_path, server):
    path = downloads.download(f"{server}/x.tar", tmp_path / "d" / "x.tar")
    assert path.read_bytes() == Flaky.content
    assert Flaky.asked == [0, 60_000, 120_000]
    assert [file.name for file in path.parent.iterdir()] == ["x.tar"]
    downloads.download(f"{server}/x.tar", path)
    assert len(Flaky.asked) == 3


def test_download_goes_on_for_as_long_as_more_arrives(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    assert downloads.download(f"{server}/x.tar", tmp_path / "x.tar").read_bytes() == Flaky.content
    assert len(Flaky.asked) == 3
    monkeypatch.setattr(Flaky, "do_GET", lambda self: (self.asked.append(0), self.send_error(503)))
    with pytest.raises(ValueError, match="could not be downloaded: HTTP Error 503"):
        downloads.download(f"{server}/y.tar", tmp_path / "y.tar")
    assert len(Flaky.asked) == 3 + 2


def test_download_begins_anew_when_the_file_has_changed(tmp_path, server):
    (tmp_path / "x.tar.part").write_bytes(b"old")
    (tmp_path / "x.tar.version").write_text('"0"')
    assert downloads.download(f"{server}/x.tar", tmp_path / "x.tar").read_bytes() == Flaky.content
    assert Flaky.asked[0] == 0


def test_download_in_chunks_begins_anew_when_the_line_drops(tmp_path, server, monkeypatch):
    def in_chunks(self):
        self.asked.append(0)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(self.content), self.content))
        if len(self.asked) > 1:
            self.wfile.write(b"0\r\n\r\n")

    monkeypatch.setattr(Flaky, "protocol_version", "HTTP/1.1")
    monkeypatch.setattr(Flaky, "do_GET", lambda self: (in_chunks(self), setattr(self, "close_connection", True)))
    assert downloads.download(f"{server}/x.tar", tmp_path / "x.tar").read_bytes() == Flaky.content
    assert len(Flaky.asked) == 2


def test_download_says_what_is_missing(tmp_path, server):
    with pytest.raises(ValueError, match="could not be downloaded: HTTP Error 404"):
        downloads.download(f"{server}/missing.tar", tmp_path / "x.tar")
    assert not list(tmp_path.iterdir())


def test_url_of_a_tar_is_a_source(tmp_path, server, monkeypatch):
    monkeypatch.setattr(Flaky, "content", hostile_tar(tmp_path / "h.tar").read_bytes())
    source = open_source(f"{server}/album_covers_x.tar", tmp_path / "downloads")
    assert source.name == "album_covers_x.tar"
    assert len(list(source.entries())) == 9


def test_urls_with_the_same_file_name_are_downloaded_apart(tmp_path, server, monkeypatch):
    names = []
    for number, address in enumerate((f"{server}/a/main.tar", f"{server}/b/main.tar", f"{server}/b/main.tar?part=2")):
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            add(archive, f"{number}.jpg", jpeg(number))
        monkeypatch.setattr(Flaky, "content", (tmp_path / "x.tar").read_bytes())
        names += [entry.name for entry in open_source(address, tmp_path / "downloads").entries()]
    assert names == ["0.jpg", "1.jpg", "2.jpg"]
