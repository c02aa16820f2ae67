"""How long a run trained until it reached quality milestones: a table row, with machine, commit and date.

    python benchmarks/time_to_quality.py runs/mine [--table runs/time-to-quality.md]

Minutes are of training alone, from the speeds in log.jsonl; kernel distances were measured by the run itself, against
held-out covers. With --table the row is appended to a Markdown file, which is created if missing.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from album_gan.metrics.measures import KERNEL_DISTANCE  # noqa: E402

MILESTONES = (0.1, 0.05, 0.026, 0.014, 0.01)
HEAD = (
    ["date", "commit", "machine", "covers", "recipe", "images", "images/s"]
    + [f"minutes to {KERNEL_DISTANCE.show(kid)}" for kid in MILESTONES]
    + [f"last {KERNEL_DISTANCE.name}", "minutes"]
)


def minutes_to(records: list[dict]) -> tuple[dict[float, float], float, float]:
    """{milestone: minutes}, images per second over the whole log, last distance; NaN for missing values."""
    reached: dict[float, float] = {}
    seconds, images, kid = 0.0, records[0]["images"] if records else 0, float("nan")
    start = images
    for record in records:
        if "images_per_second" in record:
            seconds += (record["images"] - images) / record["images_per_second"]
            images = record["images"]
        if "kid" in record:
            kid = record["kid"]
            for milestone in MILESTONES:
                if kid <= milestone:
                    reached.setdefault(milestone, seconds / 60)
    return reached, (images - start) / seconds if seconds else float("nan"), kid


def commit() -> str:
    """The abbreviated commit of this code, with a + if files are modified; `unknown` outside a repository."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout.strip() or "unknown"


def row(run: Path) -> list[str]:
    """One row of the table."""
    record = json.loads((run / "training.json").read_text(encoding="utf-8"))
    lines = (run / "log.jsonl").read_text(encoding="utf-8") if (run / "log.jsonl").exists() else ""  # a very short run
    log = [json.loads(line) for line in lines.splitlines()]
    whole = bool(log) and log[0]["images"] <= 0.02 * record["images"]  # older logs begin later
    reached, speed, kid = minutes_to(log)
    minutes = [f"{reached[kid]:.1f}" if whole and kid in reached else "" for kid in MILESTONES]
    number = "a stream" if record["covers"] is None else f"{record['covers']:,}"
    covers = f"{number} at {record['resolution']} px"
    return [
        datetime.date.today().isoformat(), commit(), record["hardware"], covers, record["recipe"],
        f"{record['images']:,}", f"{speed:.1f}", *minutes, KERNEL_DISTANCE.show(kid), f"{record['hours'] * 60:.1f}",
    ]  # fmt: skip


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("--table", type=Path, help="a Markdown file to append the row to")
    arguments = parser.parse_args()
    if not (arguments.run / "training.json").exists():
        sys.exit(f"run must be the folder of a finished run, got {arguments.run}; train.py makes one")
    head, cells = line(HEAD) + line(["---"] * len(HEAD)), line(row(arguments.run))
    if arguments.table:
        new = not arguments.table.exists() or not arguments.table.read_text(encoding="utf-8").strip()
        with arguments.table.open("a", encoding="utf-8") as file:
            file.write((head if new else "") + cells)
    print(head + cells, end="")


if __name__ == "__main__":
    main()
