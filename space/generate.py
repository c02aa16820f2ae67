"""Generate: a wall of covers, and a cover for whatever is typed."""

import secrets
import time
from dataclasses import dataclass

import gradio as gr

from album_gan.latents import (
    DEFAULT_TRUNCATION,
    MAX_TRUNCATION,
    SEED_COUNT,
    name_of,
    seed_for_any_text,
    seed_of,
)
from album_gan.space.studio import MAX_COVERS, Studio, check_seeds, check_truncation, told
from album_gan.space.theme import HERE

WALL = 16
NOTE = "Your words choose the seed; the network cannot read."
FIRST_WALL = list(range(WALL))


def wall_of(studio: Studio, seeds: list[int], truncation: float, opened: dict | None = None) -> dict:
    """What wall.js shows. `opened` {"note", "at"} opens the first cover, once for each `at`."""
    return {
        "seeds": seeds,
        "names": [name_of(seed) for seed in seeds],
        "truncation": truncation,
        "model": studio.pipe.fingerprint,
        "opened": opened,
    }


@dataclass(frozen=True)
class GenerateTab:
    wall: gr.HTML
    truncation: gr.Slider


def build(studio: Studio) -> GenerateTab:
    """Lay out the tab and wire it. The wall's event "send" carries {"seed", "to"} for the other tabs."""
    with gr.Row(elem_id="ask"):
        text = gr.Textbox(
            placeholder="Type any name, get its cover",
            label="Type any name, get its cover",
            show_label=False,
            max_length=200,
            scale=5,
            container=False,
            elem_id="name",
        )
        new_wall = gr.Button("New wall", variant="primary", elem_id="new-wall", scale=1)
    wall = gr.HTML(
        wall_of(studio, FIRST_WALL, DEFAULT_TRUNCATION),
        html_template=(HERE / "wall.html").read_text(encoding="utf-8"),
        js_on_load=(HERE / "wall.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="wall",
    )
    with gr.Accordion("More", open=False):
        truncation = gr.Slider(
            0,
            MAX_TRUNCATION,
            DEFAULT_TRUNCATION,
            step=0.05,
            label="Truncation",
            buttons=[],
            info="Lower is safer and more alike, higher is bolder and stranger.",
        )
    # These only choose seeds: the browser then fetches each cover at its URL, so no queue is needed.
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    @told
    def draw_new_wall(truncation: float) -> dict:
        seeds = [secrets.randbelow(SEED_COUNT) for _ in range(WALL)]
        return wall_of(studio, seeds, check_truncation(truncation))

    @told
    def find(text: str, wall: dict, truncation: float) -> dict:
        if not text.strip():
            raise ValueError("the field is empty; type a seed, a name, or anything at all")
        seed, how = seed_for_any_text(text)
        others = [other for other in seeds_on(wall) if other != seed][: WALL - 1]
        opened = {"note": NOTE if how == "words" else "", "at": time.time()}
        return wall_of(studio, [seed, *others], check_truncation(truncation), opened)

    @told
    def redraw(wall: dict, truncation: float) -> dict:
        return wall_of(studio, seeds_on(wall), check_truncation(truncation))

    new_wall.click(draw_new_wall, truncation, wall, **quick)
    text.submit(find, [text, wall, truncation], wall, **quick)
    truncation.release(redraw, [wall, truncation], wall, **quick)

    @told
    def generate(seeds: str, truncation: float = DEFAULT_TRUNCATION, label: str | None = None):
        """Draw album covers. The same seed always gives the same cover.

        Args:
            seeds: up to 64 seeds as text, such as "1,2,7-9"; each is a number from 0 to 99999999 or a cover's
                name such as "velvet-otter-042".
            truncation: from 0 (all alike) to 1.5 (strange); 1 is plain.
            label: a style; this model has none, so leave it empty.

        Returns:
            The covers as PNG files, each with its name.
        """
        if label:
            raise ValueError(f"label must be empty, got {str(label)[:40]!r}; this model draws without labels")
        numbers = check_seeds(seeds)
        files = studio.save(numbers, check_truncation(truncation))
        return [(file, name_of(seed)) for file, seed in zip(files, numbers, strict=True)]

    with gr.Row(visible=False):
        asked = gr.Textbox(label="seeds")
        by = gr.Number(DEFAULT_TRUNCATION, label="truncation")
        label = gr.Textbox(None, label="label")
        gr.Button().click(
            generate,
            [asked, by, label],
            gr.Gallery(format="png", label="covers"),
            api_name="generate",
            concurrency_id="draw",
        )
    return GenerateTab(wall, truncation)


def seeds_on(wall: dict) -> list[int]:
    """The seeds of a wall that came back from a browser, which may send anything."""
    try:
        return [seed_of(seed) for seed in wall["seeds"][:MAX_COVERS]]
    except (KeyError, TypeError):
        raise ValueError("the wall is unreadable; reload the page") from None
