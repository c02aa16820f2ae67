"""The page's server: its API as other programs use it, its limits, and what it says of wrong input."""

import socket
import urllib.error
import urllib.request
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from serving import free_port, serve

from album_gan.latents import name_of
from album_gan.pictures import read_settings, save_png

gradio_client = pytest.importorskip("gradio_client", reason="the page needs album-gan[demo]")


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    with serve(tiny_model, free_port(), tmp_path_factory.mktemp("files")) as address:
        yield address


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    return gradio_client.Client(address, verbose=False, download_files=tmp_path_factory.mktemp("client"))


def refusal(client, *arguments, api_name) -> str:
    with pytest.raises(gradio_client.exceptions.AppError) as caught:
        client.predict(*arguments, api_name=api_name)
    message = str(caught.value)
    assert "Traceback" not in message
    return message


def test_generate_returns_the_covers_that_the_pipeline_draws(client, tiny_pipeline):
    covers = client.predict(f"1,7-8,{name_of(99)}", 0.7, None, api_name="/generate")
    assert [cover["caption"] for cover in covers] == [name_of(seed) for seed in (1, 7, 8, 99)]
    drawn = tiny_pipeline(seeds=[1, 7, 8, 99], truncation=0.7).images
    for cover, seed, expected in zip(covers, (1, 7, 8, 99), drawn, strict=True):
        with Image.open(cover["image"]) as image:
            assert read_settings(image) == tiny_pipeline.settings(seed, 0.7)
            assert np.abs(np.asarray(image, int) - np.asarray(expected, int)).max() <= 1


def test_generate_needs_seeds_only(client):
    assert len(client.predict("1", api_name="/generate")) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0-64", 1.0, None), "at most 64"),
        (("", 1.0, None), "seeds"),
        (("<img src=x>", 1.0, None), "seed"),
        (("1", 9.0, None), "truncation must be"),
        (("1", 1.0, "jazz"), "label"),
    ],
)
def test_generate_says_what_is_wrong(client, arguments, words):
    message = refusal(client, *arguments, api_name="/generate")
    assert words in message
    assert "<img" not in message


@pytest.mark.parametrize(("ending", "kind"), [("mp4", None), ("gif", "GIF"), ("webp", "WEBP")])
def test_interpolate_returns_an_animation(client, ending, kind):
    file = client.predict("1,2", 6, True, ending, api_name="/interpolate")
    assert file.endswith(f".{ending}")
    if kind:
        with Image.open(file) as animation:
            assert (animation.format, animation.n_frames, animation.size) == (kind, 6, (32, 32))
    else:
        import av

        with av.open(file) as video:
            assert sum(1 for _ in video.decode(video=0)) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1", 6, True, "mp4"), "2 or more"),
        (("1,2", 1, True, "mp4"), "frames must be"),
        (("1,2", 241, True, "mp4"), "240"),
        (("1,2", 6, True, "../exe"), "format must be"),
    ],
)
def test_interpolate_says_what_is_wrong(client, arguments, words):
    assert words in refusal(client, *arguments, api_name="/interpolate")


def test_upscale_keeps_proportions_and_settings(client, tmp_path):
    source = tmp_path / "wide.png"
    save_png(Image.effect_noise((60, 30), 80).convert("RGB"), source, {"seed": 5})
    file = client.predict(gradio_client.handle_file(source), 256, api_name="/upscale")
    with Image.open(file) as enlarged:
        assert enlarged.size == (256, 128)
        assert read_settings(enlarged) == {"seed": 5}


def test_upscale_says_what_is_wrong(client, tmp_path):
    picture, text = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (300, 20)).save(picture)
    text.write_text("not a picture")
    for file, size, words in (
        (picture, 256, "size must be"),
        (picture, 4096, "2048"),
        (text, 512, "image must be a picture"),
    ):
        assert words in refusal(client, gradio_client.handle_file(file), size, api_name="/upscale")


def test_the_api_has_three_endpoints_that_explain_themselves(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/generate", "/interpolate", "/upscale"}
    assert [p["parameter_name"] for p in endpoints["/generate"]["parameters"]] == [
        "seeds",
        "truncation",
        "label",
    ]
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 30


def test_covers_have_addresses(address, tiny_pipeline):
    with urllib.request.urlopen(f"{address}/cover/{name_of(3)}.png?model={tiny_pipeline.fingerprint}") as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert read_settings(Image.open(BytesIO(answer.read())))["seed"] == 3


@pytest.mark.parametrize("path", ["x.png", "100000000.png", "3.png?truncation=nan", "3.png?model=00000000"])
def test_covers_that_cannot_be_drawn_are_not_found(address, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}/cover/{path}")
    assert caught.value.code == 404
    caught.value.close()


def test_a_taken_port_is_told_before_a_model_is_loaded():
    from album_gan.space.app import launch

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} .* is taken.*--port {port + 1}"):
            launch("no such model", port=port)


def test_phones_are_invited_to_an_address_they_can_reach(capsys):
    from album_gan.space.app import invite

    invite(7860)
    printed = capsys.readouterr().out
    assert "127.0.0.1" not in printed
    assert "localhost" not in printed
    assert ("http://" in printed and "▀" in printed) or "on no network" in printed


def test_a_crowd_asking_for_covers_gets_each_its_own(tiny_pipeline):
    from concurrent.futures import ThreadPoolExecutor

    from album_gan.space.studio import Studio

    studio = Studio(tiny_pipeline)
    asked = [(seed % 40, (0.5, 1.0)[seed % 2]) for seed in range(80)]
    with ThreadPoolExecutor(16) as crowd:
        drawn = list(crowd.map(lambda cover: studio.pngs([cover[0]], cover[1])[0], asked))
    for (seed, truncation), png in zip(asked, drawn, strict=True):
        assert read_settings(Image.open(BytesIO(png))) == tiny_pipeline.settings(seed, truncation)


def test_words_choose_seeds_where_they_are_welcome():
    from album_gan.space.studio import seeds_of_anything

    assert seeds_of_anything("1, 7-8, ,anna") == [1, 7, 8, seeds_of_anything("Anna ")[0]]
    assert seeds_of_anything("") == []
    with pytest.raises(ValueError, match="upwards"):
        seeds_of_anything("9-3")
