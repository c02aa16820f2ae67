"""Error reporting: one clear line, never a traceback. For gradio's handlers and for routes."""

import functools
import html
import inspect
from collections.abc import Awaitable, Callable

import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from album_gan.inference.atomic import NO_SPACE
from album_gan.space.client import FORGET_AFTER, TooManyKeysError
from album_gan.space.fair_queue import QueueFullError


def describe(error: Exception) -> str:
    """One line for a ValueError or OSError, without paths on the page's computer."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in NO_SPACE:
        return "the disk of the page's computer is full; covers still work, try everything else again later"
    return f"the page's computer could not write or read a file ({error.strerror or type(error).__name__})"


def shows_errors(handler: Callable) -> Callable:
    """Decorate a gradio handler: its ValueError or OSError is shown on the page, or returned by the API."""

    def shown(error: Exception) -> gr.Error:
        # The page renders messages as HTML, and they quote user input.
        return gr.Error(html.escape(describe(error), quote=False), print_exception=False)

    @functools.wraps(handler)
    def function(*args, **kwargs):
        try:
            return handler(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise shown(error) from error

    @functools.wraps(handler)
    def generator(*args, **kwargs):
        try:
            yield from handler(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise shown(error) from error

    return generator if inspect.isgeneratorfunction(handler) else function


class RefusedError(ValueError):
    """A request that is valid but not answered now, or not to this client; `status` is the HTTP status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def answers_errors(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Decorate a route: ValueError becomes 404, a full queue 503, too many wrong keys 429.

    A `RefusedError` has its own status; an OSError is 507 for a full disk, and otherwise 500.
    """

    @functools.wraps(handler)
    async def wrapped(request: Request) -> Response:
        try:
            return await handler(request)
        except QueueFullError as error:
            return PlainTextResponse(describe(error), 503, {"Retry-After": "3"})
        except TooManyKeysError as error:
            return PlainTextResponse(describe(error), 429, {"Retry-After": str(FORGET_AFTER)})
        except RefusedError as error:
            return PlainTextResponse(describe(error), error.status)
        except ValueError as error:
            return PlainTextResponse(describe(error), 404)
        except OSError as error:
            return PlainTextResponse(describe(error), 507 if error.errno in NO_SPACE else 500)

    return wrapped
