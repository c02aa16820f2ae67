"""The benchmarks' levers: each replaces something that still exists."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_each_lever_of_the_trainer_is_still_connected():
    """In a process of its own, as levers stay pulled."""
    code = "import timed_training as t\nfor lever in t.LEVERS.values(): lever()\nprint(len(t.LEVERS))"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
