"""Edit: a cover made darker, warmer, busier, or coloured as another one is."""

import json

import gradio as gr
from PIL import Image

from album_gan.editing.directions import LOOKS
from album_gan.inference.latents import name_of, truncate
from album_gan.space.priority_lock import Lane
from album_gan.space.service import Studio
from album_gan.space.theme import STATIC
from album_gan.space.validation import Cover

MOST = 3.0  # of an amount, either way


def check_edits(text: str, names: list[str]) -> dict[str, float]:
    """What a browser asks for, JSON of names and amounts from -3 to 3; ValueError otherwise."""
    try:
        amounts = {str(name): float(amount) for name, amount in json.loads(text[:2000] or "{}").items()}
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError('edits must be JSON such as {"darker": 1.5}') from None
    for name, amount in amounts.items():
        if name not in names or not abs(amount) <= MOST:
            raise ValueError(f"edits must be of {', '.join(names)}, from -{MOST:g} to {MOST:g}; got {name[:40]!r}")
    return amounts


def edited(studio: Studio, cover: Cover, amounts: dict[str, float], style: int | None, lane: Lane) -> Image.Image:
    """The cover changed by `amounts`, with the colours and textures of the seed `style` if there is one."""
    pipe, editor = studio.pipe, studio.editor
    with studio.turns.take(lane):
        stems = editor.edit(pipe.stems_of([cover.seed], cover.label), amounts)
        if style is None:
            return pipe(stems=stems, truncation=cover.truncation).images[0]
        both = (stems, pipe.stems_of([style], cover.label))
        return editor.mix(*(truncate(one, pipe.generator.stem_mean, cover.truncation) for one in both))[0]


def build(studio: Studio, first: int) -> None:
    """Lay out the tab, beginning with the cover of seed `first`. What the model cannot do is not shown."""
    gr.HTML(
        {
            "looks": list(LOOKS),
            "components": [name for name in studio.editor.names if name not in LOOKS],
            "mixes": studio.editor.mixes,
            "first": name_of(first),
        },
        html_template=(STATIC / "edit.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "edit.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="edit",
    )
