"""Which hosts, origins and paths the page answers, with which headers; and the presenter's key."""

import http.client
import json
import os
import secrets
import socket
import sys
from urllib.parse import quote, urlsplit

import pytest
from serving import free_port, page_of, serve, start_command

from album_gan.space.client import COOKIE

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")

KEY = "a key of the test"


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALBUM_GAN_PRESENTER", KEY)
        with serve(tiny_model, free_port(), tmp_path_factory.mktemp("files")) as address:
            yield address


def ask(address, path, method="GET", body=None, source=None, **headers):
    """(status, headers, text) of a request, with exactly these headers; `source` is the client's own address."""
    url = urlsplit(address)
    client = http.client.HTTPConnection(url.hostname, url.port, timeout=30, source_address=source and (source, 0))
    client.putrequest(method, path, skip_host=True)
    headers = {"host": url.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    for name, value in headers.items():
        client.putheader(name, value)
    if body is not None:
        client.putheader("content-length", str(len(body)))
    client.endheaders(body)
    answer = client.getresponse()
    text = answer.read().decode(errors="replace")
    client.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def upload(address, filename="a.png", **headers):
    body = f'--x\r\nContent-Disposition: form-data; name="files"{filename and f"; filename={json.dumps(filename)}"}\r\n'
    body = f"{body}\r\nabc\r\n--x--\r\n".encode()
    return ask(address, "/gradio_api/upload", "POST", body, content_type="multipart/form-data; boundary=x", **headers)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has 127.0.0.2 without being told")
def test_without_lan_the_page_listens_at_one_address_alone(address):
    port = urlsplit(address).port
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
    with pytest.raises(ConnectionRefusedError):  # which a page that listens everywhere would answer
        socket.create_connection(("127.0.0.2", port), timeout=10)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.1.2.3", "[::2]", "["]
)
def test_a_page_is_not_served_under_a_foreign_name(address, host):
    for path in ("/", "/cover/1.png", "/gradio_api/info"):
        status, _, text = ask(address, path, host=host)
        assert status == 421
        assert "--public-url" in text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://evil.example:7860", "null", "http://localhost:1", "x"]
)
def test_a_foreign_site_can_neither_upload_nor_call(address, origin):
    assert upload(address, origin=origin)[0] == 403
    assert ask(address, "/gradio_api/call/generate", "POST", b'{"data": ["1"]}', origin=origin)[0] == 403
    assert ask(address, "/cover/1.png", origin=origin)[0] == 403


def test_a_browser_that_hides_the_origin_of_a_foreign_form_is_refused_too(address):
    assert upload(address, sec_fetch_site="cross-site")[0] == 403
    assert ask(address, "/", sec_fetch_site="cross-site")[0] == 200  # a link from elsewhere


def test_its_own_page_and_programs_are_answered(address):
    port = urlsplit(address).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert upload(address, host=host, origin=f"http://{host}")[0] == 200
    assert upload(address)[0] == 200


def test_browsers_are_told_what_the_page_may_do(address):
    for path in ("/", "/cover/1.png", "/gradio_api/info", "/no/such/page"):
        _, headers, _ = ask(address, path)
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "object-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "huggingface" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_only_what_the_page_uses_is_open(address):
    for path in ("/openapi.json", "/docs", "/redoc", "/gradio_api/openapi.json", "/monitoring", "/gradio_api/proxy=x"):
        assert ask(address, path)[0] == 404, path
    for path in ("/gradio_api/run/generate", "/gradio_api/process_recording", "/gradio_api/vibe-edit"):
        assert ask(address, path, "POST", b"{}")[0] == 404, path
    assert ask(address, "/gradio_api/info")[0] == 200


def test_a_space_is_framed_by_the_hub_and_called_by_its_name_or_a_public_one(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_HOST", "me-covers.hf.space")
    port = free_port()
    command = start_command(tiny_model, port, public_url="https://covers.example/hall")
    with page_of(command, {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}):
        address = f"http://127.0.0.1:{port}"
        for host in ("me-covers.hf.space", "covers.example"):
            status, headers, _ = ask(address, "/", host=host, origin=f"https://{host}")
            assert status == 200
            assert "frame-ancestors 'self' https://huggingface.co" in headers["content-security-policy"]
            assert upload(address, origin=f"https://{host}")[0] == 200  # a proxy that calls the page localhost
        assert ask(address, "/", host="evil.hf.space")[0] == 421
        assert upload(address, host="me-covers.hf.space", origin="https://evil.hf.space")[0] == 403


def test_guesses_of_the_presenters_key_are_slowed_but_an_old_key_is_not(address):

    def draw(key, source, seed=1):
        return ask(address, f"/cover/{seed}.png", source=source, cookie=f"{COOKIE}7860={quote(key)}")

    for seed in range(40):  # a browser that still sends the key of an earlier evening
        assert draw("old", "127.0.0.3", seed)[0] == 200
    statuses = [draw(secrets.token_hex(4), "127.0.0.2")[0] for _ in range(30)]
    assert statuses[:10] == [200] * 10
    assert statuses[-15:] == [429] * 15
    status, headers, text = draw(KEY, "127.0.0.2")
    assert (status, "too many wrong presenter keys" in text) == (429, True)  # else guessing could go on
    assert int(headers["retry-after"]) >= 60
    assert draw(KEY, "127.0.0.1")[0] == 200
    assert ask(address, "/cover/1.png", source="127.0.0.2")[0] == 200
    many = "; ".join(f"{COOKIE}{port}={quote(KEY) if port == 20 else port}" for port in range(40))
    assert ask(address, "/cover/1.png", source="127.0.0.4", cookie=many)[0] == 429  # many guesses in one request


def test_the_presenters_key_reaches_gradios_events(address):
    """By what happens to wrong ones."""
    many = "; ".join(f"{COOKIE}{port}={port}" for port in range(40))
    place, body = "/gradio_api/call/generate", json.dumps({"data": ["1", 1, ""]}).encode()
    for cookie, expected in (("", "event: complete"), (many, "too many wrong presenter keys")):
        headers = {"content_type": "application/json", "cookie": cookie, "source": "127.0.0.5"}
        event = json.loads(ask(address, place, "POST", body, **headers)[2])["event_id"]
        assert expected in ask(address, f"{place}/{event}", source="127.0.0.5")[2]


def test_the_presenters_key_has_128_bits(tiny_model, tmp_path, monkeypatch):
    monkeypatch.delenv("ALBUM_GAN_PRESENTER", raising=False)
    from album_gan.space.client import PresenterKey

    keys = {PresenterKey().key for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) * 4 == 128 and int(key, 16) for key in keys)


def test_an_audience_behind_a_tunnel_does_not_lock_the_presenter_out(monkeypatch):
    """All have one address then. A key of one's own may be short, and guessing it must end."""
    from album_gan.space.client import PresenterKey, TooManyKeysError
    from album_gan.space.drawing_order import Lane

    for own in (None, KEY):
        monkeypatch.setenv("ALBUM_GAN_PRESENTER", own or "")
        presenter = PresenterKey()
        for guess in range(10):
            assert presenter.lane([f"wrong {guess}"], "127.0.0.1") is Lane.AUDIENCE
        with pytest.raises(TooManyKeysError):
            presenter.lane(["wrong again"], "127.0.0.1")
        if own:
            with pytest.raises(TooManyKeysError):
                presenter.lane([own], "127.0.0.1")
        else:
            assert presenter.lane(["another page's", presenter.key], "127.0.0.1") is Lane.PRESENTER


def test_the_address_of_a_client_behind_the_hubs_proxy_cannot_be_made_up(monkeypatch):
    from starlette.requests import HTTPConnection

    from album_gan.space.client import address_of

    plain = {"type": "http", "client": ("10.0.0.9", 1), "headers": []}
    forwarded = {**plain, "headers": [(b"x-forwarded-for", b"1.1.1.1, made up, 8.8.8.8, 10.0.0.7")]}
    assert address_of(HTTPConnection(forwarded)) == "10.0.0.9"  # at home nobody is believed
    monkeypatch.setenv("SPACE_HOST", "me-covers.hf.space")
    assert address_of(HTTPConnection(forwarded)) == "8.8.8.8"
    assert address_of(HTTPConnection(plain)) == "10.0.0.9"
