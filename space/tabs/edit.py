"""Edit: make a cover darker, warmer, busier, or colour it like another one. Pictures come from the route /edit/."""

import gradio as gr

from album_gan.editing.directions import ATTRIBUTES, Editor
from album_gan.inference.latents import name_of
from album_gan.space.theme import STATIC


def lay_out(editor: Editor, first: int) -> None:
    """Create the tab, showing seed `first`. What the model cannot do is hidden."""
    gr.HTML(
        {
            "looks": list(ATTRIBUTES),
            "mixes": editor.mixes,
            "first": name_of(first),
        },
        html_template=(STATIC / "edit.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "edit.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="edit",
    )
