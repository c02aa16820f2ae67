"""The notebook runs from top to bottom, offline, with its blanks left blank and with all of them filled in wrongly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "lesson.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def run(cells: list[str]) -> subprocess.CompletedProcess:
    """Run cells one after the other in one process that cannot reach the network."""
    block = "import socket\ndef refuse(*_): raise OSError('offline')\nsocket.socket.connect = refuse\n"
    return subprocess.run(
        [sys.executable, "-c", block + "\n\n".join(cells)], capture_output=True, text=True, timeout=180,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def test_it_runs_from_top_to_bottom():
    done = run(CODE)
    assert done.returncode == 0, done.stderr[-3000:]
    for words in ("right for every layer", "as in album_gan/recipes/losses.py", "modes found", "collapsed: True"):
        assert words in done.stdout


def test_solutions_are_folded_and_nothing_was_run():
    solutions = [cell for cell in CELLS if "solution" in cell["metadata"].get("tags", [])]
    assert len(solutions) == 4
    assert all(cell["metadata"]["jupyter"] == {"source_hidden": True} for cell in solutions)  # Jupyter
    assert all("".join(cell["source"]).startswith("#@title Solution") for cell in solutions)  # Colab
    assert all(not cell["outputs"] for cell in CELLS if cell["cell_type"] == "code")
    assert sum(cell.count("    ...") for cell in CODE) == 5


@pytest.mark.slow
def test_a_wrong_answer_is_noticed():
    wrong = [re.sub(r"(def transposed_size\(.*\):\n)    \.\.\.", r"\1    return w * 3", cell) for cell in CODE]
    assert wrong != CODE
    done = run(wrong)
    assert done.returncode != 0
    assert "you say 12, the network says 8" in done.stderr
