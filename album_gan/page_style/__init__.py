"""The stylesheet and the text font that all our pages share."""

import base64
from pathlib import Path

HERE = Path(__file__).parent
FONT = "InterText.woff2"  # Inter 4 (SIL Open Font License, OFL.txt): Latin, weights 400 to 600


def stylesheet() -> str:
    """style.css with the font inside, for a page's <style>: some 40 KB, and no request."""
    font = base64.b64encode((HERE / FONT).read_bytes()).decode()
    return (HERE / "style.css").read_text(encoding="utf-8").replace(FONT, f"data:font/woff2;base64,{font}")
