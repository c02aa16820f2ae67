import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image

from album_gan.cli.main import main
from album_gan.inference.latents import name_of
from album_gan.inference.pixels import png_bytes
from album_gan.media.image_files import read_settings


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def run(tiny_model, tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder, with the tiny model -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> tuple[int, str, str]:
        arguments = shlex.split(line)
        if arguments[0] in ("generate", "interpolate", "find") and "--model" not in arguments:
            arguments += ["--model", str(tiny_model)]
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(run, tmp_path):
    """Run a command line that must fail with one line, exit code 2 and no file touched -> that line."""

    def refused(line: str) -> str:
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
        code, out, err = run(line)
        assert (code, out) == (2, "")
        assert err.startswith("album-gan: ")
        assert err.count("\n") == 1
        assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before
        return err

    return refused


def test_generate(run, tmp_path, tiny_pipeline):
    code, out, err = run("generate --seeds 7-9,velvet-otter-042,7 --out a/b --truncation 0.8 --batch-size 3")
    assert (code, out, err) == (0, "4 covers in a/b\n", "")
    names = sorted(file.name for file in (tmp_path / "a" / "b").iterdir())
    assert names == ["00000007.png", "00000008.png", "00000009.png", "09815048.png"]
    covers = tiny_pipeline(seeds=[7, 8, 9, "velvet-otter-042"], truncation=0.8).images
    for name, cover in zip(names, covers, strict=True):
        assert np.abs(pixels(tmp_path / "a" / "b" / name) - np.asarray(cover)).max() <= 1
    settings = read_settings(tmp_path / "a" / "b" / "09815048.png")
    assert settings == tiny_pipeline.settings(9_815_048, 0.8)


def test_options_with_underscores(run, tmp_path):
    assert run("generate --seeds=1 --out my_covers --batch_size=2")[0] == 0
    assert run("generate --seeds 2 --out my_covers --batch_size 2")[0] == 0
    assert run("generate --seeds 2 --out one")[1] == "1 cover in one\n"
    assert sorted(file.name for file in (tmp_path / "my_covers").iterdir()) == [
        "00000001.png",
        "00000002.png",
    ]
    assert run("interpolate --seeds 1,2 --frames 2 --no_loop --out my_loop.gif")[0] == 0
    assert (tmp_path / "my_loop.gif").exists()


@pytest.mark.parametrize(
    ("options", "host", "lan", "url", "covers"),
    [
        ("", "127.0.0.1", False, None, None),
        ("--lan --public-url https://covers.example", "0.0.0.0", True, "https://covers.example", None),
        ("--covers my_covers", "127.0.0.1", False, None, "my_covers"),
    ],
)
def test_demo_hands_its_options_on(run, monkeypatch, options, host, lan, url, covers):
    """The page itself: tests/space; that it listens on this computer alone, in tests/space/test_access.py."""
    app = pytest.importorskip("album_gan.space.app", reason="the page needs album-gan[demo]")
    started, parameters = [], inspect.signature(app.launch)
    monkeypatch.setattr(app, "launch", lambda *given: started.append(parameters.bind(*given).arguments))
    assert run(f"demo --model teaching --port 8123 --device cpu {options}")[0] == 0
    expected = {"model": "teaching", "host": host, "port": 8123, "lan": lan, "public_url": url, "device": "cpu"}
    assert started == [{**expected, "covers": covers}]


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp"])
def test_interpolate(run, tmp_path, ending):
    code, out, err = run(f"interpolate --seeds 1,2,3 --frames 6 --loop --fps 10 --out loop{ending}")
    assert (code, out, err) == (0, f"6 frames in loop{ending}\n", "")
    if ending == ".mp4":
        with av.open(str(tmp_path / "loop.mp4")) as container:
            assert len(list(container.decode(video=0))) == 6
    else:
        with Image.open(tmp_path / f"loop{ending}") as image:
            assert (image.n_frames, image.size) == (6, (32, 32))


def test_a_film_for_a_projector(run, tmp_path):
    assert run("interpolate --seeds 1,2,3 --frames 3 --size 80 --out loop.webp") == (0, "3 frames in loop.webp\n", "")
    with Image.open(tmp_path / "loop.webp") as image:
        assert (image.n_frames, image.size) == (3, (80, 80))


def test_upscale_keeps_settings(run, tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(Image.new("RGB", (32, 16), (9, 99, 199)), {"seed": 3}))
    Image.new("RGB", (20, 20), (200, 10, 10)).save(tmp_path / "b.jpg")
    code, out, err = run("upscale a.png b.jpg --size 64 --out large")
    assert (code, out, err) == (0, "2 pictures in large\n", "")
    large = [pixels(tmp_path / "large" / name) for name in ("a.png", "b.png")]
    assert [picture.shape for picture in large] == [(32, 64, 3), (64, 64, 3)]
    assert np.abs(large[0] - (9, 99, 199)).max() <= 1
    assert read_settings(tmp_path / "large" / "a.png") == {"seed": 3}
    assert read_settings(tmp_path / "large" / "b.png") is None
    Image.new("L", (9, 9)).save(tmp_path / "b.png")  # another picture of mine
    code, _, err = run("upscale b.jpg --size 64 --out .")
    assert (code, "b.png would be overwritten; choose another" in err) == (2, True)


def test_upscale_to_jpeg(run, tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(Image.new("RGB", (32, 32), (9, 99, 199)), {"seed": 3}))
    assert run("upscale a.png --size 64 --jpeg --out large") == (0, "1 picture in large\n", "")
    [file] = (tmp_path / "large").iterdir()
    with Image.open(file) as image:
        assert (file.name, image.format, image.size) == ("a.jpg", "JPEG", (64, 64))
    assert np.abs(pixels(file) - (9, 99, 199)).max() <= 2
    assert read_settings(file) == {"seed": 3}


def test_upscale_for_a_shop_with_title_and_artist(run, tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(Image.new("RGB", (32, 32), (9, 99, 199)), {"seed": 3}))
    command = "upscale a.png --store --engine lanczos --artist Band --title"
    code, out, _ = run(f"{command} Words --layout modern --out shop")
    assert code == 0
    assert "network whose training covers may be copyrighted" in " ".join(out.split())
    assert "we cannot grant the right" in out
    with Image.open(tmp_path / "shop" / "a.jpg") as image:
        assert (image.size, image.format) == ((3000, 3000), "JPEG")
        assert len(image.getcolors(1_000_000)) > 2  # there is type on it
    assert read_settings(tmp_path / "shop" / "a.jpg") == {"seed": 3}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "generate --seeds 123456789 --out x",
            "seed must be a number from 0 to 99999999 or a name, got '123456789'",
        ),
        ("generate --seeds 100000000 --out x", "seed must be a number"),
        ("generate --seeds 9-7 --out x", "write 7-9"),
        ("generate --out x", "--seeds"),
        ("generate --seeds 1", "--out"),
        ("generate --seeds 1 --out x --truncation 2", "truncation must be from 0 to 1.5, got 2.0"),
        ("generate --seeds 1 --out x --truncation much", "--truncation"),
        ("generate --seeds 1 --out x --batch-size 0", "must be a whole number, 1 or more, got '0'"),
        ("generate --seeds 1 --out taken/x", "taken is a file"),
        ("generate --seeds 1 --out taken", "taken is a file"),
        ("generate --seeds 1 --out x --model empty", "empty is not an album_gan model: model_index.json is missing"),
        ("generate --seeds 1 --out x --model /no/where", "model must be bundled, teaching, a folder or a Hub id"),
        ("generate --seeds 1 --out x --colour red", "unrecognized arguments: --colour red"),
        ("interpolate --seeds 5 --out x.mp4", "2 or more seeds, got 1"),
        ("interpolate --seeds 1,2 --frames 1 --out x.mp4", "frames must be 2 or more, got 1"),
        ("interpolate --seeds 1,2 --frames 0 --out x.mp4", "frames must be 2 or more, got 0"),
        ("interpolate --seeds 1,2 --out x.avi", "must end in .mp4, .gif or .webp, got 'x.avi'"),
        ("interpolate --seeds 1,2 --out x", "must end in .mp4, .gif or .webp, got 'x'"),
        ("interpolate --seeds 1,2 --fps 0 --out x.gif", "fps must be from 1 to 60, got 0"),
        ("interpolate --seeds 1,2 --out folder.gif", "out must be a file"),
        ("timelapse bundled --out folder.gif", "out must be a file, got the folder folder.gif; try folder.gif/trai"),
        ("evaluate --train-data-dir empty --out empty", "out must be a file, got the folder empty; try empty/numb"),
        ("export --format html --out folder.html", "out must be a file, got the folder folder.html; try"),
        ("interpolate --seeds 1,2 --out taken/x.gif", "taken is a file"),
        ("interpolate --seeds 1,2 --truncation nan --out x.gif", "truncation must be"),
        ("interpolate --seeds 1,2 --size 16 --out x.gif", "size must be from 32, the picture's longer side, to 4096"),
        (
            "upscale good.png --size 31 --out x",
            "size must be from 32, the picture's longer side, to 4096, got 31",
        ),
        ("upscale good.png --size 5000 --out x", "good.png: size must be from 32, the picture's longer side, to 4096"),
        ("timelapse bundled --seconds -1 --out x.mp4", "seconds must be above 0, got -1"),
        ("upscale good.png missing.png --size 64 --out x", "missing.png does not exist"),
        ("upscale good.png broken.png --size 64 --out x", "broken.png is not a readable picture"),
        ("upscale good.png cut.png --size 64 --out x", "cut.png is not a readable picture"),
        ("upscale good.png empty --size 64 --out x", "empty is a folder"),
        ("upscale good.png --size 64 --out .", "good.png would be overwritten"),
        ("upscale good.png empty/../good.png --size 64 --out x", "different names"),
        ("upscale good.png GOOD.bmp --size 64 --out x", "different names, got good.png and GOOD.bmp"),
        ("upscale caf\u00e9.png cafe\u0301.bmp --size 64 --out x", "different names"),
        ("upscale good.png wide.png --size 160 --title A --out x", "wide.png: covers must be 128 pixels or more for"),
        ("upscale huge.png --store --out x", "covers for stores must be at most 3000 pixels, huge.png is 3001x3001"),
        ("upscale good.png --size 64 --out taken", "taken is a file"),
        ("upscale --size 64 --out x", "IN"),
        ("upscale good.png --out x", "one of the arguments --size --store is required"),
        ("upscale good.png --size 64 --store --out x", "not allowed with argument"),
        ("upscale good.png --size 64 --engine magic --out x", "engine must be one of bundled, lanczos, diffusers:ID"),
        ("upscale good.png --size 64 --title 夜 --out x", "title has a character that no bundled font has"),
        ("upscale wide.png --store --out x", "covers for stores must be square"),
        ("demo --port seven", "port must be a number from 1 to 65535, got 'seven'"),
        ("paint", "invalid choice: 'paint'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_trace(refused, tmp_path, line, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "taken").write_text("a file")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "good.png")
    for name in ("GOOD.bmp", "caf\u00e9.png", "cafe\u0301.bmp"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    Image.new("RGB", (32, 16)).save(tmp_path / "wide.png")
    Image.new("1", (3001, 3001)).save(tmp_path / "huge.png")
    (tmp_path / "broken.png").write_bytes(b"this is not a picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:1500])
    assert message in refused(line)


def test_bad_input_does_not_harm_what_is_there(refused, run, tmp_path):
    assert run("generate --seeds 1,2 --out x")[0] == 0
    refused("generate --seeds 1,2,123456789 --out x")
    refused("upscale x/00000001.png x/missing.png --size 64 --out x")


def test_no_command_is_explained(run, capsys):
    assert main([]) == 2
    assert "COMMAND; see album-gan --help" in capsys.readouterr().err


def test_ports_from_the_environment_are_checked(refused, monkeypatch):
    monkeypatch.setenv("PORT", "99999")
    assert "got '99999'" in refused("demo")


def test_demo_without_gradio_says_what_to_install(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "pip install 'album-gan[demo]'" in refused("demo")


def test_debug_shows_the_traceback(run, monkeypatch):
    monkeypatch.setenv("ALBUM_GAN_DEBUG", "1")
    with pytest.raises(ValueError, match="seed must be"):
        run("generate --seeds 123456789 --out x")


@pytest.mark.parametrize("command", ["generate", "interpolate", "upscale", "demo"])
def test_help_has_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    example = shown.split(f"example: album-gan {command} ")[1]
    from album_gan.cli.main import build_parser

    build_parser().parse_args([command, *shlex.split(example)])


def process(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "album_gan", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_help_and_cheap_mistakes_do_not_wait_for_torch():
    code = (
        "import sys\nfrom album_gan.cli.main import main\n"
        "assert main(['generate', '--seeds', '9-7', '--out', 'y']) == 2\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'diffusers', 'gradio'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes as in POSIX")
def test_a_reader_that_has_gone_is_no_error():
    """As after `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "album_gan", "shapes", "dcgan"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_broken_pipe_is_an_error():
    script = (
        "import os; from album_gan.cli import main\n"
        "reader, writer = os.pipe(); os.close(reader)\n"
        "main._run = lambda arguments: os.write(writer, b'.')\n"  # such as a connection that is lost
        "print(main.main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("2\n", "album-gan: [Errno 32] Broken pipe\n")


def test_a_failing_process_says_one_line(tmp_path):
    failing = process("generate", "--seeds", "1", "--out", str(tmp_path / "x"), "--model", str(tmp_path))
    out, err = failing.communicate(timeout=120)
    assert failing.returncode == 2
    assert out == ""
    assert err == f"album-gan: {tmp_path} is not an album_gan model: model_index.json is missing\n"


def test_interrupted_covers_are_whole(tmp_path, tiny_model):
    folder = tmp_path / "x"
    drawing = process("generate", "--seeds", "0-999999", "--out", str(folder), "--model", str(tiny_model),
                      env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(folder.glob("*.png")):
        assert drawing.poll() is None, drawing.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    drawing.send_signal(signal.SIGINT)
    _, err = drawing.communicate(timeout=60)
    assert drawing.returncode == 130
    assert err == "album-gan: interrupted; every file already written is complete\n"
    files = list(folder.iterdir())
    assert {file.suffix for file in files} == {".png"}
    assert all(pixels(file).shape == (32, 32, 3) for file in files)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize(
    "line",
    [
        "generate --seeds 1 --out x",
        "interpolate --seeds 1,2 --out x.gif",
        "upscale good.png --size 64 --out x",
        "evaluate --train-data-dir empty --model MODEL",
    ],
)
def test_a_gpu_that_is_not_there_is_one_line(refused, tmp_path, tiny_model, line):
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "good.png")
    message = refused(f"{line.replace('MODEL', str(tiny_model))} --device cuda")
    assert "device must be available on this machine" in message
    assert "got 'cuda'; auto chooses the best" in message


def test_devices(run, refused, tmp_path):
    for device in ("auto", "cpu"):
        assert run(f"generate --seeds 1 --out {device} --device {device}")[0] == 0
    assert np.array_equal(pixels(tmp_path / "cpu" / "00000001.png"), pixels(tmp_path / "auto" / "00000001.png"))
    assert "invalid choice: 'tpu'" in refused("generate --seeds 1 --out x --device tpu")
    assert "invalid choice: 'tpu'" in refused("demo --device tpu")


FULL = """
import resource, shlex, sys
from album_gan.cli.main import main
from album_gan.inference.latents import name_of
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
for line in sys.argv[1:]:
    assert main(shlex.split(line)) == 2
"""


def test_a_full_disk_names_file_folder_and_way_out(tmp_path, tiny_model):
    """For each command; a limit on the size of files stands in for the full disk."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "history").mkdir()
    for images in ("000000000", "000001000"):
        Image.new("RGB", (384, 384)).save(tmp_path / "history" / f"{images}.webp")
    lines = {
        f"generate --seeds 1 --out x --model {tiny_model}": "00000001.png",
        f"interpolate --seeds 1,2 --frames 4 --out x/y.gif --model {tiny_model}": "y.gif",
        f"interpolate --seeds 1,2 --frames 4 --out x/y.webp --model {tiny_model}": "y.webp",
        f"interpolate --seeds 1,2 --frames 4 --out x/y.mp4 --model {tiny_model}": "y.mp4",
        f"upscale good.png --size 128 --engine lanczos --out x --model {tiny_model}": "good.png",
        "timelapse . --fps 2 --seconds 1 --out x/y.gif": "y.gif",
        f"export --format onnx --out x/y.onnx --model {tiny_model}": "y.onnx",
    }
    done = subprocess.run([sys.executable, "-c", FULL, *lines], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"album-gan: (.*)", done.stderr)
    assert said == [
        f"{name} could not be written to {tmp_path / 'x'}: File too large; make room there, or choose another folder"
        for name in lines.values()
    ]
    assert not list((tmp_path / "x").iterdir())


def test_a_missing_checkpoint_is_no_hub_id(refused):
    message = refused("generate --seeds 1 --out x --model runs/checkpoint-500")
    assert "model must be bundled, teaching, a folder or a Hub id owner/name, got 'runs/checkpoint-500'" in message


def test_train_is_a_command_too(capsys, monkeypatch):
    assert main(["train"]) == 2
    assert "Three ways to start" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "album-gan train --help" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "tyro", None)
    assert main(["train", "--recipe", "dcgan"]) == 2
    assert "train needs tyro, which is not installed; run: pip install 'album-gan[train]'" in capsys.readouterr().err


def test_words_stay_the_name_of_a_cover(run, tmp_path):
    code, out, _ = run("generate --seeds 'The Flat Tyres; velvt-oter-042; 7' --out out")
    assert code == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "The Flat Tyres.png", "velvt-oter-042.png", "00000007.png"
    }  # fmt: skip
    assert read_settings(tmp_path / "out" / "The Flat Tyres.png")["typed"] == "The Flat Tyres"
    assert "did you mean velvet-otter-042?" in out


def test_find_writes_the_nearest_covers(run, tmp_path):
    run("generate --seeds 5 --out drawn")
    code, out, _ = run("find drawn/00000005.png --out found --steps 2")
    assert code == 0
    assert f"00000005.png was drawn by this model: {name_of(5)}, seed 5" in out
    assert re.search(r"seed 5, 0\.[0-4]% away", out)
    assert {file.name for file in (tmp_path / "found").iterdir()} == {f"{name_of(5)}.png", "00000005-projected.png"}


def test_find_overwrites_nothing_beside_its_picture(run, refused, tmp_path):
    """Not the picture itself, which may be called as the nearest cover is, nor others in its folder."""
    run("generate --seeds 5 --out drawn")
    (tmp_path / "drawn" / "00000005.png").rename(tmp_path / "drawn" / f"{name_of(5)}.png")
    kept = f"{name_of(5)}.png would be overwritten; choose another"
    assert kept in refused(f"find drawn/{name_of(5)}.png --out drawn --steps 2")
    Image.open(tmp_path / "drawn" / f"{name_of(5)}.png").save(tmp_path / "drawn" / "mine.png")
    code, _, err = run("find drawn/mine.png --out drawn --steps 2")
    assert (code, kept in err) == (2, True)
    (tmp_path / "drawn" / "mine-projected.png").write_bytes(b"mine too")
    assert "mine-projected.png would be overwritten" in refused("find drawn/mine.png --out drawn --steps 2")


def test_a_video_without_av_says_what_to_install(run, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert "run: pip install 'album-gan[video]', or write a .webp" in refused("interpolate --seeds 1,2 --out x.mp4")
    assert run("interpolate --seeds 1,2 --frames 4 --out x.webp")[0] == 0
