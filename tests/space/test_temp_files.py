"""The page's folder for uploads: private, swept, and gone with the page."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from serving import free_port, start_command

from album_gan.space.temp_files import KEEP, SWEEP_EVERY, page_folders, sweep

gradio_client = pytest.importorskip("gradio_client", reason="the page needs album-gan[demo]")
LONG_AGO = time.time() - KEEP - 1


def printed(script: str, place: Path) -> list[str]:
    """The words that a page's process prints whose temporary files lie in `place`."""
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(place)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def make_old(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(b"x")
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_old_files_are_swept_and_young_ones_stay(tmp_path):
    old, young = tmp_path / "upload" / "old.png", tmp_path / "young.png"
    young.write_bytes(b"x")
    make_old(old, old.parent)
    assert sweep(tmp_path) == 1
    assert not old.exists()
    assert not old.parent.exists()
    assert young.exists()
    assert KEEP + SWEEP_EVERY < 60 * 60  # within the hour, as the page promises


def test_the_folder_of_an_idle_page_stays_and_that_of_a_killed_one_goes(tmp_path):
    for age, is_left in ((0, True), (KEEP + 1, False)):
        page = tmp_path / f"album-gan-page-{age}"
        make_old(page / "upload" / "old.png", page / "upload")
        os.utime(page, (time.time() - age,) * 2)
        assert sweep(page) == 1
        assert page.exists() == is_left


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_running_page_says_that_its_folder_is_in_use_and_keeps_it_private(tmp_path):
    script = (
        "import os, shutil, time, album_gan.space.temp_files as files; files.SWEEP_EVERY = 0.05\n"
        "folder = files.create_page_folder(); os.utime(folder, (1, 1)); time.sleep(1)\n"
        "print(folder.stat().st_mtime > 1)\n"
        "shutil.rmtree(folder); files.new_folder(); print(folder.stat().st_mode & 0o077)"
    )
    assert printed(script, tmp_path) == ["True", "0"]


def test_links_are_never_followed(tmp_path):
    mine = tmp_path / "elsewhere" / "mine.png"
    make_old(mine)
    page = tmp_path / "pages" / "album-gan-page-1-x"
    page.mkdir(parents=True)
    (page / "inside").symlink_to(mine.parent)
    (page.parent / "album-gan-page-2-planted").symlink_to(mine.parent)
    for link in (page / "inside", page.parent / "album-gan-page-2-planted"):
        os.utime(link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    assert page_folders(page.parent) == [page]
    sweep(page)
    assert mine.exists()
    assert not (page / "inside").is_symlink()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give folders away")
def test_folders_of_other_users_are_left_alone(tmp_path):
    others = tmp_path / "album-gan-page-1-x"
    others.mkdir()
    os.chown(others, 12345, 12345)
    assert page_folders(tmp_path) == []


def upload_to(address, folder):
    source = folder / "mine.png"
    Image.effect_noise((40, 40), 60).save(source)
    client = gradio_client.Client(address, verbose=False, download_files=str(folder / "client"))
    client.predict(gradio_client.handle_file(source), 64, api_name="/upscale")


@pytest.mark.parametrize(
    "name", ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGHUP", "SIGINT"))]
)
def test_uploads_are_private_and_gone_with_the_page_or_after_a_killed_one(tiny_model, tmp_path, name):
    """What others put there, under the old, common name and under ours: nothing of it is used, followed or swept."""
    place, mine = tmp_path / "tmp", tmp_path / "elsewhere" / "mine.png"
    left = place / "album-gan-page-999999-x" / "upload" / "upload.png"
    make_old(mine, left, left.parent, left.parent.parent)
    (place / "album-gan-page").write_text("another user's")  # even root cannot make a folder of it
    (place / "album-gan-page-1-planted").symlink_to(mine.parent)
    port = free_port()
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(place), "PYTHONUNBUFFERED": "1"}
    command = start_command(tiny_model, port)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as page:
        while "The page is at" not in page.stdout.readline():
            assert page.poll() is None
        upload_to(f"http://127.0.0.1:{port}", tmp_path)
        [folder] = page_folders(place)
        assert folder.stat().st_mode & 0o077 == 0  # nobody else reads what people upload
        pictures = list(folder.rglob("mine*.png"))
        assert pictures  # the upload and what was made of it
        assert not left.exists()
        page.send_signal(getattr(signal, name))
        page.wait(30)
    assert page_folders(place) == []
    assert not any(picture.exists() for picture in pictures)
    assert mine.exists()


def test_a_full_folder_is_an_error_and_makes_room_by_what_is_oldest(tmp_path):
    script = (
        "import album_gan.space.temp_files as files; files.MAX_BYTES = 1000\n"
        "folder = files.create_page_folder(); first = files.new_folder(); (first / 'a').write_bytes(b'x' * 2000)\n"
        "try: files.new_folder()\n"
        "except OSError as error: print(error.errno)\n"
        "import os; os.utime(first / 'a', (1, 1)); print(files.new_folder().is_dir(), (first / 'a').exists())"
    )
    assert printed(script, tmp_path) == ["28", "True", "False"]
    assert page_folders(tmp_path) == []
