"""Learn: from noise to covers and back, through the history that training saved with the model."""

from pathlib import Path

import gradio as gr

from album_gan.space.theme import STATIC


def lay_out(history: list[Path]) -> None:
    """The slider "Untrained to trained"; `history` are sheets of the same 64 seeds, first to last."""
    gr.HTML(
        {"images": [int(sheet.stem) for sheet in history]},
        html_template=(STATIC / "learn.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "learn.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="history",
    )
