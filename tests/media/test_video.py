import av
import numpy as np
import pytest
from PIL import Image

from album_gan.media.video import ENDINGS, check_ending, write_animation

COLOURS = [(230, 30, 40), (20, 200, 60), (30, 60, 220), (240, 240, 230), (10, 10, 15), (90, 90, 90)]


def frames(size=(32, 32)):
    return (Image.new("RGB", size, colour) for colour in COLOURS)


def read(path) -> list[np.ndarray]:
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(path) as image:
        pictures = []
        for i in range(image.n_frames):
            image.seek(i)
            pictures.append(np.asarray(image.convert("RGB")))
        return pictures


@pytest.mark.parametrize("ending", ENDINGS)
def test_frames_come_back(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    write_animation(frames(), path, fps=20)
    back = read(path)
    assert len(back) == len(COLOURS)
    for picture, colour in zip(back, COLOURS, strict=True):
        assert picture.shape == (32, 32, 3)
        assert np.abs(picture[16, 16].astype(int) - colour).max() <= 8
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_mp4_plays_in_browsers(tmp_path):
    write_animation(frames((33, 47)), tmp_path / "x.MP4", fps=24)
    with av.open(str(tmp_path / "x.MP4")) as container:
        video = container.streams.video[0]
        assert (video.codec.name, video.pix_fmt) == ("h264", "yuv420p")
        assert (video.width, video.height) == (32, 46)
        assert video.average_rate == 24
        assert float(video.duration * video.time_base) == pytest.approx(len(COLOURS) / 24)
    raw = (tmp_path / "x.MP4").read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")  # faststart


@pytest.mark.parametrize(("ending", "fps", "duration"), [(".gif", 20, 50), (".webp", 20, 50)])
def test_pictures_loop_forever_at_the_right_pace(tmp_path, ending, fps, duration):
    write_animation(frames(), tmp_path / f"x{ending}", fps)
    with Image.open(tmp_path / f"x{ending}") as image:
        image.seek(1)
        image.load()
        assert image.info["loop"] == 0
        assert image.info["duration"] == duration


@pytest.mark.parametrize("ending", [".gif", ".webp"])
@pytest.mark.parametrize("fps", [1, 7, 24, 29, 30, 45, 50, 60])
def test_a_film_of_eight_seconds_takes_eight_seconds(tmp_path, ending, fps):
    """Each frame lasts a whole number of hundredths or thousandths of a second; together they are right to a frame."""
    film = (Image.new("RGB", (8, 8), COLOURS[number % len(COLOURS)]) for number in range(8 * fps))
    write_animation(film, tmp_path / f"x{ending}", fps)
    with Image.open(tmp_path / f"x{ending}") as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            durations.append(image.info["duration"])
    assert abs(sum(durations) - 8_000) <= 1_000 / fps
    assert max(durations) - min(durations) <= (10 if ending == ".gif" else 1)
    assert min(durations) >= (20 if ending == ".gif" else 1)  # players slow down anything faster


@pytest.mark.parametrize("name", ["x.avi", "x", "x.png", "mp4", "x.mp4.txt"])
def test_unknown_endings_are_refused_before_a_frame_is_drawn(tmp_path, name):
    drawn = []
    with pytest.raises(ValueError, match=r"must end in \.mp4, \.gif or \.webp"):
        write_animation((drawn.append(1) for _ in range(2)), tmp_path / name, fps=30)
    assert drawn == []
    assert list(tmp_path.iterdir()) == []


def test_endings_in_any_case():
    assert check_ending("A.GIF") == ".gif"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_broken_video_leaves_the_old_one_and_nothing_else(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"old")

    def broken():
        yield from frames()
        raise RuntimeError("the network melted")

    with pytest.raises(RuntimeError, match="melted"):
        write_animation(broken(), path, fps=30)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_broken_frame_is_not_reported_as_the_video(tmp_path, ending):
    noise = Image.effect_noise((32, 32), 99)
    noise.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(OSError, match=r"^image file is truncated"):
        write_animation(iter([noise, cut]), tmp_path / f"x{ending}", fps=30)


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_frames_and_bad_speeds_are_refused(tmp_path, ending):
    with pytest.raises(ValueError, match="at least one frame"):
        write_animation([], tmp_path / f"x{ending}", fps=30)
    for fps in (0, -1, 61):
        with pytest.raises(ValueError, match=f"fps must be from 1 to 60, got {fps}"):
            write_animation(frames(), tmp_path / f"x{ending}", fps)
    assert list(tmp_path.iterdir()) == []
