"""Data that a browser sends with every event: how many covers fit its screen, and the presenter's key."""

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl

import gradio as gr

from album_gan.space.validation import MAX_COVERS

WALL_SIZE = 16  # covers on a projector or a laptop; a phone asks for 4
WITH_SESSION = "(...inputs) => [...inputs.slice(0, -1), albumGan.session()]"  # js, where the session is last


@dataclass(frozen=True)
class Session:
    """`count` covers fit on the screen; `presenter` is an unchecked key."""

    count: int = WALL_SIZE
    presenter: str = ""


def session_field() -> gr.Textbox:
    """The hidden input that carries the session."""
    return gr.Textbox("", visible=False, label="session")


def read_session(text: str) -> Session:
    """Parse the content of `session_field`; the default if it is invalid."""
    try:
        values = json.loads(text)
        count = min(MAX_COVERS, max(1, int(values["count"])))
        return Session(count, str(values.get("presenter") or ""))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Session()


def read_query(text: str) -> dict[str, str]:
    """The fields of a query string, with or without the leading question mark."""
    try:
        return dict(parse_qsl(text.removeprefix("?")))
    except ValueError:
        return {}
