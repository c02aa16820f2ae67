"""The page's server: its API as other programs use it, its routes, and its errors."""

import json
import re
import socket
import urllib.error
import urllib.request
import zipfile
from io import BytesIO
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from PIL import Image
from serving import free_port, run_async, serve

from album_gan.inference.latents import name_of, seed_for_any_text, seed_of
from album_gan.inference.pixels import png_bytes
from album_gan.media.image_files import read_settings

pytestmark = pytest.mark.long

gradio = pytest.importorskip("gradio", reason="the page needs album-gan[demo]")
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


def test_generate_takes_a_list(client):
    covers = client.predict([1, name_of(2)], api_name="/generate")
    assert [cover["caption"] for cover in covers] == [name_of(1), name_of(2)]


def test_generate_needs_seeds_only(client):
    assert len(client.predict("1", api_name="/generate")) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0-64", 1.0, None), "at most 64"),
        (("", 1.0, None), "seeds"),
        (("123456789", 1.0, None), "seed"),
        (("1", 9.0, None), "truncation must be"),
        (("1", 1.0, "jazz"), "label must be left out"),
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


def test_frames_of_a_film_are_enlarged(client):
    with Image.open(client.predict("1,2", 3, False, "webp", 48, api_name="/interpolate")) as animation:
        assert (animation.n_frames, animation.size) == (3, (48, 48))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1", 6, True, "mp4"), "2 or more"),
        (("1,2", 1, True, "mp4"), "frames must be"),
        (("1,2", 241, True, "mp4"), "240"),
        (("1,2", 6, True, "../exe"), "format must be"),
        (("1,2", 6, True, "mp4", 31), "size must be a whole number from 32 to 512"),
    ],
)
def test_interpolate_says_what_is_wrong(client, arguments, words):
    assert words in refusal(client, *arguments, api_name="/interpolate")


def test_upscale_keeps_proportions_and_settings(client, tmp_path):
    source = tmp_path / "wide.png"
    source.write_bytes(png_bytes(Image.effect_noise((60, 30), 80).convert("RGB"), {"seed": 5}))
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
        (text, 512, "is not a readable picture"),
    ):
        assert words in refusal(client, gradio_client.handle_file(file), size, api_name="/upscale")
    assert "files must be uploaded" in refusal(client, str(picture), 256, api_name="/upscale")


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
        assert answer.headers["Cache-Control"] == "public, max-age=604800"
    with urllib.request.urlopen(f"{address}/cover/{name_of(3)}.png") as answer:  # of whichever model the page has
        assert "Cache-Control" not in answer.headers


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("cover/100000000.png", "seed must be a number from 0 to 99999999"),
        ("cover/3.exe", "covers end in .png or .webp, got .exe"),
        ("cover/3.png?truncation=nan", "truncation must be from 0 to 1.5, got 'nan'"),
        ("cover/3.png?model=00000000", "this page draws with model "),
        ("cover/3.png?label=jazz", "label must be left out, as this model has no classes, got 'jazz'"),
        ("cover/3.webp?size=4096", "size must be a whole number from 256 to 1024, got '4096'"),
        ("cover/3.png?size=512&title=Anna&layout=none", "layout must be one of headline, "),
        ("covers.zip?seeds=0-64", "seeds must be at most 64 in one list"),
        ("covers.zip?covers=[[1,9,null]]", "truncation must be from 0 to 1.5, got '9'"),
        ("covers.zip?covers=[[1,1,%22jazz%22]]", "label must be left out, as this model has no classes, got 'jazz'"),
        ("covers.zip?covers=[[[", "covers must be JSON such as "),
        ("view.json?count=0", "count must be a whole number from 1 to 64, got '0'"),
        ("deal.json?count=1e9", "count must be a whole number from 1 to 64, got '1e9'"),
        ("learn/moment/page/0.webp", "this model has no training history"),
        ("learn/moment/teaching/999.webp", "moment must be a whole number from 0 to "),
        ("learn/layers.json?model=nope", "model must be one of page, bundled, "),
        ("learn/layers.json?model=teaching&mute=1:9999", "channel of step 1 must be from 0 to 5119, got 9999"),
        ("learn/layers.json?model=teaching&mute=x", "mute must list STEP:CHANNEL, "),
        ("learn/layer.webp?model=teaching&step=99", "step must be a whole number from 0 to 15, got '99'"),
        ("learn/products.json?model=teaching&step=2", "step must be a convolution or fully connected, got reshape"),
        ("learn/products.json?model=teaching&step=5&y=99", "y must be from 0 to 7, got 99"),
        ("learn/shapes.json?recipe=upscaler", "recipe must be one of began, "),
        ("learn/shapes.json?recipe=vanilla&resolution=512", "resolution must be one of 32, 64 for vanilla, got 512"),
        ("learn/critic.json?model=page", "this model does not include its discriminator"),
        ("learn/critic.json?model=vanilla", "vanilla cannot score pictures here: it is untrained"),
        ("learn/critic.json?model=teaching&seed=-1", "seed must be a number from 0 to 99999999"),
        ("learn/norm.json?model=teaching&layer=x", "layer must be one of project_norm, "),
        ("learn/norm.webp?mode=bus", "mode must be training or evaluation, got 'bus'"),
        ("learn/walk.webp?path=bus", "path must be line or sphere, got 'bus'"),
        # Of no route: a name is one part of a path.
        ("cover/..%2f..%2fetc%2fpasswd.png", "Not Found"),
        ("learn/source/..%2F..%2Fcli.py", "Not Found"),
        ("learn/files/..%2Fpage.js", "Not Found"),
    ],
)
def test_what_cannot_be_drawn_is_not_found(address, path, words):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}/{path}")
    assert caught.value.code == 404
    assert words in caught.value.read().decode()
    caught.value.close()


def test_only_a_full_disk_is_insufficient_storage():
    import errno

    from album_gan.space.errors import RefusedError, answers_errors

    async def status_of(error):
        async def handler(request):
            raise error

        return (await answers_errors(handler)(None)).status_code

    errors = (OSError(errno.ENOSPC, ""), OSError(errno.EIO, ""), RefusedError(403, "no"), RefusedError(409, "later"))
    assert [run_async(status_of(error)) for error in errors] == [507, 500, 403, 409]


def test_a_taken_port_is_reported_before_a_model_is_loaded():
    from album_gan.space.app import launch

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} .* is taken.*--port {port + 1}"):
            launch("no such model", port=port)


def test_phones_are_invited_to_an_address_they_can_reach():
    from album_gan.space.lan_address import invitation

    with_lan = invitation(7860, lan=True)
    assert "127.0.0.1" not in with_lan.for_terminal()
    assert "localhost" not in with_lan.for_terminal()
    if with_lan.url:
        assert "▀" in with_lan.for_terminal()
        assert with_lan.qr.startswith("<svg")
    else:
        assert "not on a network" in with_lan.text
    without = invitation(7860, lan=False)
    assert (without.url, without.qr) == ("", "")
    assert "--lan" in without.text


def read_qr(svg: str) -> str:
    """The text of a QR code, read by OpenCV from its squares."""
    cv2 = pytest.importorskip("cv2")
    side = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    modules = np.full((side, side), 255, np.uint8)
    for x, y in re.findall(r"M(\d+),(\d+)H", svg):
        modules[int(y), int(x)] = 0
    return cv2.QRCodeDetector().detectAndDecode(modules.repeat(8, 0).repeat(8, 1))[0]


@pytest.mark.parametrize("words", ["velvet-otter-042", "Zoë & the 7 Häuser, live"])
def test_a_cover_is_taken_home_by_its_qr_code(words, tiny_pipeline, monkeypatch):
    """The code on the stage, with --lan, opens that cover on a phone."""
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from album_gan.space import lan_address
    from album_gan.space.links import read_query, view_of_link
    from album_gan.space.routes import Routes
    from album_gan.space.service import CoverService

    monkeypatch.setattr(lan_address, "lan_address", lambda: "192.168.7.42")  # this machine may be on no network
    routes = Routes(CoverService(tiny_pipeline, "cpu"), lan_address.invitation(7860, lan=True))
    client = TestClient(Starlette(routes=routes.all()), base_url="http://127.0.0.1:7860")
    query = {"seeds": words, "truncation": "0.7", "label": "", "model": tiny_pipeline.fingerprint}
    answer = client.get("/qr.svg", params=query)
    assert answer.headers["content-type"] == "image/svg+xml"
    link = read_qr(answer.text)
    assert link.startswith("http://192.168.7.42:7860?")
    fields = read_query(link.partition("?")[2])
    assert fields["model"] == tiny_pipeline.fingerprint  # so that another model's page says that its cover is another
    view = view_of_link(tiny_pipeline, fields, count=4)
    assert (view["tab"], view["truncation"]) == ("generate", 0.7)
    assert view["wall"]["seeds"] == [seed_of(words) if "otter" in words else seed_for_any_text(words)[0]]
    assert view["wall"]["typed"] == ["" if "otter" in words else words]


def test_a_computer_that_is_the_hotspot_has_an_address(monkeypatch):
    """It may have no route to anywhere else."""
    from album_gan.space import lan_address

    class Probe(socket.socket):
        def connect(self, address):
            if not address[0].startswith("192.168.137."):
                raise OSError("Network is unreachable")

        def getsockname(self):
            return "192.168.137.1", 40_000

    monkeypatch.setattr(lan_address.socket, "socket", Probe)
    assert lan_address.lan_address() == "192.168.137.1"
    assert lan_address.invitation(7860, lan=True).url == "http://192.168.137.1:7860"


def test_a_public_address_takes_precedence(monkeypatch):
    from album_gan.space.lan_address import invitation

    monkeypatch.setenv("SPACE_HOST", "me-covers.hf.space")
    assert invitation(7860, lan=True).url == "https://me-covers.hf.space"
    monkeypatch.setenv("SPACE_HOST", "me-covers.hf.space,covers.example.org")  # with a domain of one's own
    assert invitation(7860, lan=True).url == "https://me-covers.hf.space"
    assert invitation(7860, lan=True, public_url="https://covers.example/x").url == "https://covers.example/x"
    with pytest.raises(ValueError, match="public-url must start with http"):
        invitation(7860, lan=True, public_url="javascript:alert(1)")


def fetch(address):
    with urllib.request.urlopen(address) as answer:
        return answer.read()


def test_covers_come_large_and_with_words_on_them(address, tiny_pipeline):
    plain, worded = (
        Image.open(BytesIO(fetch(f"{address}/cover/3.{rest}")))
        for rest in ("png?size=512", "png?size=512&title=Anna&artist=The+Quiet&layout=corner")
    )
    assert plain.size == worded.size == (512, 512)
    assert read_settings(worded) == tiny_pipeline.settings(3)
    assert np.abs(np.asarray(plain, int) - np.asarray(worded, int)).max() > 60
    assert Image.open(BytesIO(fetch(f"{address}/cover/3.webp?size=256"))).format == "WEBP"


def test_many_covers_come_as_one_archive(address):
    with zipfile.ZipFile(BytesIO(fetch(f"{address}/covers.zip?seeds=3,{name_of(5)}&truncation=0.7"))) as archive:
        assert archive.namelist() == [f"01 {name_of(3)}.png", f"02 {name_of(5)}.png"]
        assert read_settings(Image.open(BytesIO(archive.read(archive.namelist()[1]))))["truncation"] == 0.7
    covers = quote(json.dumps([[3, 0.5, ""], [name_of(3), 1.2, None]]))
    with zipfile.ZipFile(BytesIO(fetch(f"{address}/covers.zip?covers={covers}"))) as archive:
        settings = [read_settings(Image.open(BytesIO(archive.read(name)))) for name in archive.namelist()]
    assert [(one["seed"], one["truncation"]) for one in settings] == [(3, 0.5), (3, 1.2)]


def test_a_film_leads_from_cover_to_cover(address, tmp_path):
    import av

    file = tmp_path / "film.mp4"
    file.write_bytes(fetch(f"{address}/film/1/{name_of(2)}.mp4"))
    with av.open(str(file)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 90


def test_random_seeds_come_with_their_names(address):
    dealt = json.loads(fetch(f"{address}/deal.json?count=5"))
    assert [name for _, name in dealt] == [name_of(seed) for seed, _ in dealt]
    assert len({seed for seed, _ in dealt}) == 5


def test_a_crowd_asking_for_covers_gets_each_its_own(tiny_pipeline):
    from concurrent.futures import ThreadPoolExecutor

    from album_gan.space.service import CoverService
    from album_gan.space.validation import Cover

    service = CoverService(tiny_pipeline)
    covers = [Cover(seed % 40, (0.5, 1.0)[seed % 2]) for seed in range(80)]
    with ThreadPoolExecutor(16) as crowd:
        drawn = list(crowd.map(lambda cover: service.pngs([cover])[0], covers))
    for (seed, truncation, *_), png in zip(covers, drawn, strict=True):
        assert read_settings(Image.open(BytesIO(png))) == tiny_pipeline.settings(seed, truncation)


def test_words_choose_seeds_where_they_are_welcome():
    from album_gan.space.validation import check_several

    seeds = [seed for seed, _ in check_several("1, 7-8, ,anna")]
    assert seeds == [1, 7, 8, seed_for_any_text("Anna ")[0]]
    with pytest.raises(ValueError, match="upwards"):
        check_several("9-3")


def test_the_menu_is_named_after_the_columns(tmp_path):
    from album_gan.inference.pipeline import AlbumCoverPipeline
    from album_gan.networks.lite_generator import LiteGenerator
    from album_gan.space.app import label_kinds, training_record
    from album_gan.space.page import build_page
    from album_gan.space.service import CoverService
    from album_gan.space.tabs.generate import label_menu

    network = LiteGenerator(
        resolution=32, classes=["old", "new"], class_counts=[0, 5, 5], mixtures={"techno": [0, 1, 4]}
    )
    AlbumCoverPipeline(network).save_pretrained(tmp_path)
    assert label_kinds(training_record(str(tmp_path))) == ("label", "mixture")
    assert label_kinds({"label_column": "auto", "mixture_column": None}) == ("label", "mixture")
    assert label_kinds({"label_column": "era", "mixture_column": "scene,label"}) == ("era", "scene or label")
    (tmp_path / "training.json").write_text(json.dumps({"label_column": "era", "mixture_column": "scene"}))
    pipe = AlbumCoverPipeline.from_pretrained(tmp_path)
    page = build_page(CoverService(pipe, "cpu"), "", label_kinds(training_record(str(tmp_path))))
    [label] = [part["props"] for part in page.config["components"] if part["props"].get("elem_id") == "label"]
    assert label["label"] == "Era or scene"
    assert label["choices"] == [("Any", ""), ("techno (scene)", "techno"), ("old", "old"), ("new", "new")]

    classes = [f"era {number}" for number in range(1, 66)]
    many = AlbumCoverPipeline(LiteGenerator(32, classes=classes, mixtures={"techno": [0] + [1] * 65}))
    assert label_menu(many, "era", "scene") == ([("Any", ""), ("techno", "techno")], "Scene")


def test_a_model_with_styles_draws_them(tmp_path):
    """By its API, and by the addresses of covers, edited covers and films."""
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from album_gan.inference.pipeline import AlbumCoverPipeline
    from album_gan.networks.lite_generator import LiteGenerator
    from album_gan.space.page import build_page
    from album_gan.space.routes import Routes
    from album_gan.space.service import CoverService

    network = LiteGenerator(resolution=32, classes=["jazz", "metal"])
    network.label.weight.data.normal_()
    AlbumCoverPipeline(network).save_pretrained(tmp_path / "model")
    service = CoverService(AlbumCoverPipeline.from_pretrained(tmp_path / "model"), "cpu")
    [generate] = [
        event.fn for event in build_page(service, "", ("label", "mixture")).fns.values() if event.api_name == "generate"
    ]
    request = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"), headers={}, cookies={})
    pictures = [generate("1", 1.0, label, request)[0][0] for label in ("jazz", "metal", "")]
    assert [read_settings(picture)["label"] for picture in pictures] == ["jazz", "metal", None]
    assert len({np.asarray(Image.open(picture)).tobytes() for picture in pictures}) == 3
    with pytest.raises(gradio.Error, match="one of jazz, metal"):
        generate("1", 1.0, "polka", request)

    client = TestClient(Starlette(routes=Routes(service).all()))
    for path in ("/cover/1.png", "/edit/1.png", "/film/1/2.mp4"):
        answers = [client.get(path, params={"label": label}) for label in ("jazz", "metal", "")]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 3
        if path.endswith("png"):
            shown = [Image.open(BytesIO(answer.content)) for answer in answers]
            assert [read_settings(image)["label"] for image in shown] == ["jazz", "metal", None]
            assert len({image.tobytes() for image in shown}) == 3


def picture_at(address, path, **query):
    return Image.open(BytesIO(fetch(f"{address}/{path}?{urlencode(query)}")))


def test_an_edited_cover_is_darker_and_says_what_was_done(address):
    plain = picture_at(address, "edit/3.png")
    darker = picture_at(address, "edit/3.png", edits='{"darker": 2}', style="5", truncation="0.9")
    wanted = {"edits": {"darker": 2.0}, "seed": 3, "style": 5, "truncation": 0.9}
    assert wanted.items() <= read_settings(darker).items()
    assert np.asarray(picture_at(address, "edit/3.png", edits='{"darker": 2}')).mean() < np.asarray(plain).mean()
    unchanged = picture_at(address, "cover/3.png")
    assert np.abs(np.asarray(plain, int) - np.asarray(unchanged, int)).max() <= 1
    assert picture_at(address, "edit/3.webp", size=512).size == (512, 512)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"warmer": 1, "darker": 4}', "from -3 to 3, got 4 of 'darker'"),
        ('{"darker": NaN}', "from -3 to 3, got nan"),
        ('{"<b>": 1}', "edits must be of darker"),
        ("[1]", "must be JSON"),
        ('{"darker": "x"}', "must be JSON"),
        ("{" * 5000, "must be JSON"),
    ],
)
def test_wrong_edits_are_refused(text, words):
    from album_gan.space.validation import check_edits

    with pytest.raises(ValueError, match=words):
        check_edits(text, ["darker", "warmer"])
    assert check_edits("", ["darker"]) == {}
