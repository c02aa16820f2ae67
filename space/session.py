"""What a page in a browser says about itself with every event: its size, its address and the presenter's key."""

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import gradio as gr

from album_gan.space.validation import MAX_COVERS

WALL_SIZE = 16  # covers on a projector or a laptop; a phone asks for 4
WITH_SESSION = "(...inputs) => [...inputs.slice(0, -1), albumGan.session()]"  # js of events whose last input it is


@dataclass(frozen=True)
class Session:
    """`count` covers fit on the screen; `query` is the address's; `presenter` is a key, right or wrong."""

    count: int = WALL_SIZE
    presenter: str = ""
    query: dict[str, str] = field(default_factory=dict)


def session_field() -> gr.Textbox:
    """The hidden input that carries it."""
    return gr.Textbox("", visible=False, label="session")


def read_session(text: str) -> Session:
    """The content of `session_field`; where a browser sends nonsense, the default."""
    try:
        values = json.loads(text)
        count = min(MAX_COVERS, max(1, int(values["count"])))
        return Session(count, str(values.get("presenter") or ""), read_query(str(values.get("query", ""))))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Session()


def read_query(text: str) -> dict[str, str]:
    """The fields of an address's query, "?tab=edit&seeds=1" or without the question mark."""
    try:
        return dict(parse_qsl(text.removeprefix("?")[:4000]))
    except ValueError:
        return {}
