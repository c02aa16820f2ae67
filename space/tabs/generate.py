"""Generate: a wall of covers, and a cover for whatever is typed."""

import json
import secrets
import time
from dataclasses import dataclass

import gradio as gr

from album_gan.inference.latents import (
    DEFAULT_TRUNCATION,
    MAX_TRUNCATION,
    SEED_COUNT,
    name_of,
    near_miss,
    seed_for_any_text,
    seed_of,
)
from album_gan.space.service import Studio
from album_gan.space.session import SIGNED, WALL, read_visitor
from album_gan.space.theme import STATIC
from album_gan.space.validation import Cover, check_seeds, check_truncation, seeds_on, told

NOTE = "Your words choose the seed; the network cannot read."


def first_wall(fingerprint: str) -> tuple[list[int], bool]:
    """The wall that opens the page, and whether it was picked by eye: a pick holds for one model only."""
    stage = json.loads((STATIC / "stage.json").read_text(encoding="utf-8"))
    picked = stage["model"] == fingerprint
    return (stage["seeds"] if picked else list(range(WALL))), picked


def wall_of(
    studio: Studio, seeds: list[int], truncation: float, label: str | None = None, note: str = "", opened=None
) -> dict:
    """What wall.js shows. `opened` {"note", "words", "meant", "at"} opens the first cover, once for each `at`."""
    return {
        "seeds": seeds,
        "names": [name_of(seed) for seed in seeds],
        "truncation": truncation,
        "label": label or "",
        "model": studio.pipe.fingerprint,
        "note": note,
        "opened": opened,
    }


@dataclass(frozen=True)
class GenerateTab:
    wall: gr.HTML
    truncation: gr.Slider
    label: gr.Dropdown


def build(studio: Studio, visitor: gr.Textbox) -> GenerateTab:
    """Lay out the tab and wire it. The wall's events "send" and "pin" are for the other tabs."""
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
    seeds, picked = first_wall(studio.pipe.fingerprint)
    wall = gr.HTML(
        wall_of(studio, seeds, DEFAULT_TRUNCATION, note="Picked by eye" if picked else ""),
        html_template=(STATIC / "wall.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "wall.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="wall",
    )
    with gr.Accordion("More", open=False, elem_id="more"):
        with gr.Row():
            truncation = gr.Slider(
                0,
                MAX_TRUNCATION,
                DEFAULT_TRUNCATION,
                step=0.05,
                label="Truncation",
                buttons=[],
                info="Lower is safer and more alike, higher is bolder and stranger.",
                elem_id="truncation",
            )
            label = gr.Dropdown(
                [("Any", ""), *studio.pipe.labels],
                value="",
                label="Style",
                visible=bool(studio.pipe.labels),
                elem_id="label",
            )
        gr.HTML(
            html_template=(STATIC / "tools.html").read_text(encoding="utf-8"),
            js_on_load="albumGan.tools(element)",
            apply_default_css=False,
        )
    # These only choose seeds: the browser then fetches each cover at its URL. So nobody waits for anybody here.
    quick = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

    @told
    def draw_new_wall(truncation: float, label: str, visitor: str) -> dict:
        studio.pipe.check_label(label)
        seeds = [secrets.randbelow(SEED_COUNT) for _ in range(read_visitor(visitor, studio).count)]
        return wall_of(studio, seeds, check_truncation(truncation), label)

    @told
    def find(text: str, wall: dict, truncation: float, label: str, visitor: str) -> dict:
        if not text.strip():
            raise ValueError("the field is empty; type a seed, a name, or anything at all")
        seed, how = seed_for_any_text(text)
        others = [other for other in seeds_on(wall) if other != seed][: read_visitor(visitor, studio).count - 1]
        words = how == "words"
        meant = near_miss(text) if words else None
        opened = {"note": NOTE if words else "", "words": text if words else "", "meant": meant, "at": time.time()}
        studio.pipe.check_label(label)
        return wall_of(studio, [seed, *others], check_truncation(truncation), label, opened=opened)

    @told
    def redraw(wall: dict, truncation: float, label: str) -> dict:
        studio.pipe.check_label(label)
        return wall_of(studio, seeds_on(wall), check_truncation(truncation), label)

    @told
    def more_like(truncation: float, label: str, visitor: str, event: gr.EventData) -> dict:
        seed = seed_of(str(event.seed))
        who = read_visitor(visitor, studio)
        cover = Cover(seed, check_truncation(truncation), label or None)
        studio.pipe.check_label(label)
        near = studio.more_like(cover, who.count - 1, who.lane)
        return wall_of(studio, [seed, *near], cover.truncation, label, f"Like {name_of(seed)}")

    @told
    def restore(event: gr.EventData) -> tuple[float, str, dict]:
        """A cover again, from the settings inside its PNG."""
        settings = dict(event.settings)
        seed = seed_of(str(settings.get("seed")))
        by, style = check_truncation(settings.get("truncation")), settings.get("label") or ""
        if settings.get("model") != studio.pipe.fingerprint:
            model = str(settings.get("model"))[:8]
            raise ValueError(
                f"this picture is from another model ({model}); this one, {studio.pipe.fingerprint}, draws others"
            )
        studio.pipe.check_label(style)
        opened = {"note": "", "words": "", "meant": None, "at": time.time()}
        return by, style, wall_of(studio, [seed], by, style, opened=opened)

    @told
    def find_meant(wall: dict, truncation: float, label: str, visitor: str, event: gr.EventData) -> dict:
        return find(str(event.name), wall, truncation, label, visitor)

    look = [truncation, label]
    new_wall.click(draw_new_wall, [*look, visitor], wall, js=SIGNED, **quick)
    text.submit(find, [text, wall, *look, visitor], wall, js=SIGNED, **quick)
    truncation.release(redraw, [wall, *look], wall, **quick)
    label.input(redraw, [wall, *look], wall, **quick)
    wall.meant(find_meant, [wall, *look, visitor], wall, js=SIGNED, **quick)
    wall.restore(restore, None, [truncation, label, wall], **quick)
    like = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    wall.near(more_like, [*look, visitor], wall, js=SIGNED, **like)

    @told
    def generate(seeds: str, truncation: float = DEFAULT_TRUNCATION, label: str | None = None):
        """Draw album covers. The same seed always gives the same cover.

        Args:
            seeds: up to 64, as text such as "1,2,7-9"; a seed is 0 to 99999999, or a name like velvet-otter-042.
            truncation: from 0 (all alike) to 1.5 (strange); 1 is plain.
            label: a style that this model knows; empty for any. Most models know none.

        Returns:
            The covers as PNG files, each with its name.
        """
        numbers = check_seeds(seeds)
        studio.pipe.check_label(label)
        by = check_truncation(truncation)
        files = studio.save([Cover(seed, by, label or None) for seed in numbers])
        return [(file, name_of(seed)) for file, seed in zip(files, numbers, strict=True)]

    with gr.Row(visible=False):
        asked = gr.Textbox(label="seeds")
        by = gr.Number(DEFAULT_TRUNCATION, label="truncation")
        style = gr.Textbox(None, label="label")
        gr.Button().click(
            generate,
            [asked, by, style],
            gr.Gallery(format="png", label="covers"),
            api_name="generate",
            concurrency_limit=8,  # they are drawn together all the same
        )
    return GenerateTab(wall, truncation, label)
