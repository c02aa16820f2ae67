"""What `make` does on a machine with nothing prepared."""

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving import free_port

ROOT = Path(__file__).parent.parent


def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


def clone(folder: Path) -> Path:
    """The files that git knows, as they are now."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_an_older_python_is_one_line_with_the_way_out(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo "Python 3.9.2"; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "install", tmp_path / "tools" / "install")
    process = run("tools/install", str(old), "demo", "a little", cwd=tmp_path)
    assert process.returncode == 2
    assert "needs Python 3.11 or newer" in process.stderr
    assert "Python 3.9.2; try: make PYTHON=" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert not (tmp_path / ".venv").exists()


def test_a_missing_python_says_so_too(tmp_path):
    process = run(str(ROOT / "tools" / "install"), "no-such-python", "demo", "a little", cwd=tmp_path)
    assert process.returncode == 2
    assert "'no-such-python' is:" in process.stderr


def test_the_version_is_the_same_everywhere():
    import album_gan

    assert f'version = "{album_gan.__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.slow
def test_make_demo_in_a_fresh_clone(tmp_path):
    """Installs for real, serves the page with the bundled model, and starts again without installing."""
    fresh = clone(tmp_path / "album_gan")
    port = str(free_port())
    for attempt in ("first", "second"):
        environment = {**os.environ, "PORT": port, "PYTHON": sys.executable}
        process = subprocess.Popen(
            ["make", "demo", f"PYTHON={sys.executable}"],
            cwd=fresh,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("The page is at"):
                    break
            assert f":{port}" in said[-1], "".join(said)
            assert any("downloads about" in line for line in said) == (attempt == "first")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
                assert b"Album GAN" in page.read()
        finally:
            os.killpg(process.pid, 15)
            process.wait()
