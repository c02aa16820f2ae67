"""docs/speaker.md is true: its commands run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEAKER = (ROOT / "docs" / "speaker.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """What stands in code, as a line that begins with a program."""
    code = [*re.findall(r"`([^`\n]+)`", SPEAKER), *(line.strip() for line in SPEAKER.splitlines())]
    found = dict.fromkeys(line for line in code if re.match(r"(\.venv/bin/)?(album-gan|pip|make) |LAN=1 make", line))
    return [line for line in found if "…" not in line]


@pytest.mark.slow
def test_plan_b_is_written(tmp_path):
    [line] = [line for line in commands() if " export " in line]
    words = line.replace(".venv/bin/album-gan", "album-gan").split()
    assert words[0] == "album-gan"
    subprocess.run([sys.executable, "-m", "album_gan", *words[1:]], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "plan-b.html").stat().st_size > 10e6


@pytest.mark.parametrize("line", commands())
def test_every_command_exists(line):
    program, *words = line.replace(".venv/bin/", "").removeprefix("LAN=1 ").split()
    if program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    elif program == "album-gan":
        from album_gan.cli.main import build_parser

        build_parser().parse_args(words)
    else:
        [extra] = re.findall(r"\[(\w+)\]", line)
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
