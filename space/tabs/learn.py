"""Learn: how a GAN works, shown on this page's networks. Panels are in static/learn, their data in lessons.py."""

import gradio as gr

from album_gan.space.theme import STATIC


def lay_out() -> None:
    """Create the element in which static/learn/learn.js opens one panel at a time."""
    gr.HTML(
        "",
        html_template='<div class="learn"></div>',
        js_on_load=(STATIC / "learn.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="learn",
    )
