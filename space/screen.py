"""How many covers fit on a visitor's screen, as the browser tells with the events that need it."""

import gradio as gr

from album_gan.space.validation import MAX_COVERS

WALL_SIZE = 16  # covers on a projector or a laptop; a phone asks for 4
# js for an event whose last input is the field.
WITH_WALL_SIZE = "(...inputs) => [...inputs.slice(0, -1), String(albumGan.wallSize())]"


def wall_size_field() -> gr.Textbox:
    """The hidden input that carries the number."""
    return gr.Textbox("", visible=False, label="wall size")


def read_wall_size(text: str) -> int:
    """Parse the content of `wall_size_field`: from 1 to `MAX_COVERS`; `WALL_SIZE` if it is not a number."""
    try:
        return min(MAX_COVERS, max(1, int(text)))
    except (ValueError, TypeError):
        return WALL_SIZE
