"""Learn: from noise to covers and back, through the history that the model's training left."""

from pathlib import Path

import gradio as gr

from album_gan.space.theme import STATIC


def build(moments: list[Path]) -> None:
    """Lay out the slider "Untrained to trained"; `moments` are sheets of the same 64 seeds, first to last."""
    gr.HTML(
        {"images": [int(moment.stem) for moment in moments]},
        html_template=(STATIC / "learn.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "learn.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="history",
    )
