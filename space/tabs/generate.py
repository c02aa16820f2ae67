"""Generate: a wall of covers, and a cover for any typed text."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from album_gan.inference.latents import (
    DEFAULT_TRUNCATION,
    MAX_TRUNCATION,
    SEED_COUNT,
    Chosen,
    near_miss,
    seed_for_any_text,
    seed_of,
    typed_for,
)
from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.media.image_files import read_picture
from album_gan.page_style import opening_wall
from album_gan.space.errors import shows_errors
from album_gan.space.job_button import waiting
from album_gan.space.links import wall_value
from album_gan.space.screen import WITH_WALL_SIZE, read_wall_size
from album_gan.space.service import CoverService
from album_gan.space.theme import STATIC
from album_gan.space.validation import MAX_SIDE, Cover, check_seeds, check_truncation, check_wall

NOTE = "Your words choose the seed; the network cannot read."
# Most events only choose seeds; the browser fetches each cover by URL. Requests wait in this page's own queues, which
# are fair and report when they are full, rather than in gradio's.
QUICK = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


@dataclass(frozen=True)
class GenerateTab:
    """The tab's components."""

    text: gr.Textbox
    new_wall: gr.Button
    wall: gr.HTML
    truncation: gr.Slider
    label: gr.Dropdown
    picture: gr.UploadButton


def lay_out(service: CoverService, kinds: tuple[str, str]) -> GenerateTab:
    """Create the tab's components; `kinds` are the names for labels and mixtures, such as "style" and "genre"."""
    pipe = service.pipe
    choices, title = label_menu(pipe, *kinds)
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
    seeds, picked = opening_wall(pipe.fingerprint)
    note = "Hand-picked" if picked else ""
    wall = gr.HTML(
        wall_value(pipe.fingerprint, seeds, DEFAULT_TRUNCATION, note=note),
        html_template=(STATIC / "wall.html").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "wall.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="wall",
    )
    with gr.Accordion("Settings", open=False, elem_id="more"):
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
                choices,
                value="",
                label=title,
                visible=bool(pipe.labels),
                elem_id="label",
            )
        picture = gr.UploadButton("Find the cover nearest to a picture", file_types=["image"], elem_id="find-picture")
        gr.HTML(
            html_template=(STATIC / "tools.html").read_text(encoding="utf-8"),
            js_on_load="albumGan.tools(element)",
            apply_default_css=False,
        )
    return GenerateTab(text, new_wall, wall, truncation, label, picture)


def label_menu(pipe: AlbumCoverPipeline, kind: str, mixture_kind: str) -> tuple[list[tuple[str, str]], str]:
    """The choices of the label menu, (text, label) each, and its title."""
    has_classes = not set(pipe.labels).isdisjoint(pipe.menu_labels)
    kinds = [kind] * has_classes + [mixture_kind] * bool(pipe.mixtures)
    note = f" ({mixture_kind})" if len(kinds) > 1 else ""
    named = [(f"{name}{note}" if name in pipe.mixtures else name, name) for name in pipe.menu_labels]
    return [("Any", ""), *named], " or ".join(kinds).capitalize()


def wire(tab: GenerateTab, service: CoverService, wall_size: gr.Textbox) -> None:
    """Connect the tab's own events; "send", "pin" and "edit" of the wall belong to other tabs."""
    handlers, wall, settings = Handlers(service), tab.wall, [tab.truncation, tab.label]
    with_size = {**QUICK, "js": WITH_WALL_SIZE}
    found = {**with_size, "show_progress": "minimal"}
    slow = [
        tab.picture.upload(handlers.find_picture, [tab.picture, wall_size], [*settings, wall], **found),
        wall.near(handlers.similar, [*settings, wall_size], wall, **with_size),
    ]
    for search in slow:
        search.failure(None, js="() => albumGan.onWall.say('')", api_visibility="private")  # the search is over
    # The visitor's next action cancels these searches: their results would arrive later and replace its own.
    newer = {**QUICK, "cancels": slow, "trigger_mode": "always_last"}
    tab.new_wall.click(handlers.new_wall, [*settings, wall_size], wall, js=WITH_WALL_SIZE, **newer)
    tab.text.submit(handlers.find, [tab.text, wall, *settings, wall_size], wall, js=WITH_WALL_SIZE, **newer)
    tab.truncation.release(handlers.redraw, [wall, *settings], wall, **newer)
    tab.label.input(handlers.redraw, [wall, *settings], wall, **newer)
    wall.meant(handlers.find_meant, [wall, *settings, wall_size], wall, js=WITH_WALL_SIZE, **newer)
    wall.restore(handlers.restore, None, [*settings, wall], **newer)
    wall.adopt(handlers.adopt, [wall], [*settings, wall], **newer)


class Handlers:
    """Event handlers: values of components in, values of components out."""

    def __init__(self, service: CoverService):
        self.service, self.pipe = service, service.pipe

    @shows_errors
    def new_wall(self, truncation: float, label: str, wall_size: str) -> dict:
        """A wall of random covers."""
        seeds = [secrets.randbelow(SEED_COUNT) for _ in range(read_wall_size(wall_size))]
        return self._wall(seeds, truncation, label)

    @shows_errors
    def find(self, text: str, wall: dict, truncation: float, label: str, wall_size: str) -> dict:
        """Put the typed text's cover first and open it; a list becomes the wall."""
        chosen = check_seeds(check_text(text))
        others = [other for other in check_wall(wall) if other.seed not in {seed for seed, _ in chosen}]
        count = max(len(chosen), read_wall_size(wall_size))
        typed = chosen[0].typed
        opened = {"note": NOTE if typed else "", "meant": near_miss(typed) if typed else None, "at": time.time()}
        is_list = len(chosen) > 1  # the list becomes the wall, and no cover opens
        return self._wall(chosen if is_list else [*chosen, *others][:count], truncation, label,
                          opened=None if is_list else opened)  # fmt: skip

    @shows_errors
    def find_meant(self, wall: dict, truncation: float, label: str, wall_size: str, event: gr.EventData) -> dict:
        """The cover of a name suggested by "Did you mean ...?"."""
        return self.find(str(event.name), wall, truncation, label, wall_size)

    @shows_errors
    def redraw(self, wall: dict, truncation: float, label: str) -> dict:
        """The same seeds with new settings."""
        return self._wall(check_wall(wall), truncation, label)

    @shows_errors
    def similar(self, truncation: float, label: str, wall_size: str, event: gr.EventData, request: gr.Request) -> dict:
        """A wall of the covers most similar to a given one."""
        seed = seed_for_any_text(str(event.seed))[0]  # a pinned cover's may be words
        chosen = Chosen(seed, typed_for(seed, str(event.typed)[:200]))
        self.pipe.check_label(label)
        cover = Cover(seed, check_truncation(truncation), label or None)
        near = self.service.similar(cover, read_wall_size(wall_size) - 1, self.service.client(request))
        return self._wall([chosen, *near], truncation, label, f"Like {chosen.name}")

    @shows_errors
    def restore(self, event: gr.EventData) -> tuple[float, str, dict]:
        """Restore a cover from the settings inside its PNG."""
        settings = dict(event.settings)
        seed, model = seed_of(str(settings.get("seed"))), settings.get("model")
        typed = typed_for(seed, str(settings.get("typed") or "")[:200])
        if model != self.pipe.fingerprint:
            raise ValueError(
                f"this picture is from another model ({str(model)[:8]}); this one, {self.pipe.fingerprint}, "
                "draws different covers"
            )
        truncation, label = check_truncation(settings.get("truncation")), settings.get("label") or ""
        edited = bool(settings.get("edits")) or settings.get("style") is not None
        note = "The picture was edited; this is the original cover." if edited else ""
        opened = {"note": note, "meant": None, "at": time.time()}
        return truncation, label, self._wall([Chosen(seed, typed)], truncation, label, opened=opened)

    @shows_errors
    def adopt(self, wall: dict, event: gr.EventData) -> tuple[float, str, dict]:
        """Apply one cover's settings to the whole wall."""
        truncation, label = check_truncation(event.truncation), str(event.label or "")
        return truncation, label, self._wall(check_wall(wall), truncation, label)

    @shows_errors
    def find_picture(
        self,
        file: str,
        wall_size: str,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ):
        """The cover nearest to a picture, and covers similar to it, with the settings that they were searched with."""
        unchanged = (gr.skip(),) * 3
        client = self.service.client(request)
        with self.service.jobs.join(client, "find") as job:
            for _ in waiting(job, progress):
                yield unchanged
            progress(0.1, desc="Looking for the nearest cover")
            yield unchanged
            found = self.service.find(read_picture(file, MAX_SIDE, "the picture"), client.lane)
        cover = Cover(found.seed)
        near = self.service.similar(cover, read_wall_size(wall_size) - 1, client)
        note = f"Nearest to your picture: {found.name}, {found.seed_distance:.0%} away"
        yield cover.truncation, "", self._wall([found.seed, *near], cover.truncation, "", note)

    def _wall(
        self, seeds: Sequence[int | Chosen], truncation: float, label: str, note: str = "", opened: dict | None = None
    ):
        self.pipe.check_label(label)
        return wall_value(self.pipe.fingerprint, seeds, check_truncation(truncation), label, note, opened)


def check_text(text: str) -> str:
    """Return the text. Raises ValueError if it is empty."""
    if not text.strip():
        raise ValueError("The field is empty: type a name, a seed, anything at all.")
    return text


def add_api(service: CoverService) -> None:
    """The endpoint /generate."""

    @shows_errors
    def generate(
        seeds: str,
        truncation: float = DEFAULT_TRUNCATION,
        label: str | None = None,
        request: gr.Request = None,  # gradio's
    ):
        """Draw album covers. The same seed always gives the same cover.

        Args:
            seeds: up to 64, as text such as "1,2,7-9"; a seed is 0 to 99999999, or a name like velvet-otter-042.
                Any other text is one name ("The Flat Tyres"), whose words choose the seed; semicolons separate several.
            truncation: from 0 (all alike) to 1.5 (strange); 1 is the default.
            label: one of the model's styles; empty for each seed's own. Many models have none.

        Returns:
            The covers as PNG files, each with its name.
        """
        chosen = check_seeds(seeds)
        service.pipe.check_label(label)
        covers = [Cover(seed, check_truncation(truncation), label or None, typed) for seed, typed in chosen]
        files = service.save(covers, service.client(request))
        return [(file, cover.name) for file, cover in zip(files, covers, strict=True)]

    with gr.Row(visible=False):
        inputs = [
            gr.Textbox(label="seeds"),
            gr.Number(DEFAULT_TRUNCATION, label="truncation"),
            gr.Textbox(None, label="label"),
        ]
        gr.Button().click(
            generate,
            inputs,
            gr.Gallery(format="png", label="covers"),
            api_name="generate",
            concurrency_limit=None,  # `CoverQueue` has the limits
        )
