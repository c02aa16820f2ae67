"""Shared by our pages: the stylesheet, the text font, and the covers of the first wall."""

import base64
import json
from pathlib import Path

HERE = Path(__file__).parent
FONT = "InterText.woff2"  # Inter 4 (SIL Open Font License, OFL.txt): Latin, weights 400 to 600
LARGEST_WALL = 24  # covers that open a page; each screen shows as many as fit


def stylesheet() -> str:
    """style.css with the font inside, for a page's <style>: some 40 KB, and no request."""
    font = base64.b64encode((HERE / FONT).read_bytes()).decode()
    return (HERE / "style.css").read_text(encoding="utf-8").replace(FONT, f"data:font/woff2;base64,{font}")


def opening_wall(fingerprint: str) -> tuple[list[int], bool]:
    """The seeds of the wall that opens a page, and whether they were picked by hand: a pick is for one model only."""
    stage = json.loads((HERE / "stage.json").read_text(encoding="utf-8"))
    picked = stage["model"] == fingerprint
    return (stage["seeds"] if picked else list(range(LARGEST_WALL))), picked
