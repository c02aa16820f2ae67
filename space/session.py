"""Who is at the page, as its script tells with every event, and the two lanes in which heavy work waits."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import gradio as gr

from album_gan.space.priority_lock import Lane
from album_gan.space.service import Studio
from album_gan.space.validation import MAX_COVERS

WALL = 16  # covers on a projector or a laptop; a phone asks for 4
SIGNED = "(...inputs) => [...inputs.slice(0, -1), albumGan.visitor()]"  # js of events whose last input is the visitor


@dataclass(frozen=True)
class Visitor:
    """`count` covers fit the screen; `query` is what the address asks for."""

    count: int = WALL
    lane: Lane = Lane.AUDIENCE
    query: dict[str, str] = field(default_factory=dict)


def visitor_field() -> gr.Textbox:
    """The unseen input that carries it."""
    return gr.Textbox("", visible=False, label="visitor")


def read_visitor(text: str, studio: Studio) -> Visitor:
    """What `visitor_field` brought; a browser may send anything, so what is unreadable is anybody."""
    try:
        said = json.loads(text)
        query = dict(parse_qsl(str(said.get("query", "")).removeprefix("?")[:4000]))
        return Visitor(min(MAX_COVERS, max(1, int(said["count"]))), studio.lane(said.get("presenter")), query)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Visitor()


class HeavyButton:
    """A button whose work waits in gradio's queue, with its place in line shown, and one that cancels it.

    The presenter has a button of her own in the same place, because her work waits in a line of its own.
    """

    def __init__(self, text: str, elem_id: str):
        self.buttons = {
            lane: gr.Button(text, variant="primary", visible=lane is Lane.AUDIENCE, elem_id=f"{elem_id}{suffix}")
            for lane, suffix in ((Lane.AUDIENCE, ""), (Lane.PRESENTER, "-first"))
        }
        self.cancel = gr.Button("Cancel", elem_id=f"{elem_id}-cancel", elem_classes="cancel")
        self._busy = f"albumGan.busy({elem_id!r}, %s)"  # shows and hides it, in the browser

    def wire(self, handler: Callable, studio: Studio, inputs: list, outputs: list, shown_on, also: tuple = ()) -> None:
        """On a click or an event of `also` run `handler(*inputs, lane, progress)`; the last input is the visitor."""
        jobs = []
        for lane, button in self.buttons.items():
            run = self._in_lane(handler, studio, lane)
            # First: gradio goes through what listens to a click one by one, and waits for each.
            button.click(None, js=f"() => {self._busy % 'true'}", api_visibility="private")
            job = gr.on(
                [button.click, *(also if lane is Lane.AUDIENCE else ())],
                run,
                inputs,
                outputs,
                js=SIGNED,
                api_visibility="private",
                concurrency_id=f"heavy-{lane.name.lower()}",
                concurrency_limit=2,
                show_progress_on=shown_on,
            )
            job.then(None, js=f"() => {self._busy % 'false'}", api_visibility="private")
            jobs.append(job)
        stop = f"() => {self._busy % 'false'}"
        self.cancel.click(None, js=stop, cancels=jobs, api_visibility="private")

    def _in_lane(self, handler: Callable, studio: Studio, lane: Lane) -> Callable:
        def run(*inputs, progress=gr.Progress()):  # noqa: B008
            who = read_visitor(inputs[-1], studio)
            if who.lane > lane:
                raise gr.Error("this line is the presenter's; reload the page")
            yield from handler(*inputs[:-1], who.lane, progress)

        return run

    def for_visitor(self, who: Visitor) -> dict:
        """Updates that show the button of her lane."""
        return {button: gr.Button(visible=lane is who.lane) for lane, button in self.buttons.items()}
