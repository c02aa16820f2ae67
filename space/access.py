"""Access control: the page answers requests to its own host names, from its own origin, for the paths it uses.

It also sends the headers that tell browsers what the page may load and who may frame it.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response

from album_gan.space.client import address_of
from album_gan.space.lan_address import lan_address, space_hosts

LOCAL = ("localhost", "127.0.0.1", "::1")
HUB = ("https://huggingface.co", "https://*.huggingface.co", "https://*.hf.space")  # may frame a Space
# What gradio's scripts and API clients call. Left out: calls past the queue, recording, proxies, others' results.
GRADIO_PATHS = (
    "app_id", "call/", "cancel", "config", "file=", "heartbeat/", "info", "login_check", "mcp", "queue/", "reset",
    "startup-events", "theme.css", "upload", "upload_progress",
)  # fmt: skip
MAX_EVENTS_PER_CLIENT = 200  # in gradio's queue; an audience behind one router is one client
CONTENT_SOURCES = (
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # gradio compiles the scripts that components bring
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' data: blob:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
)


def public_hosts(public_url: str | None) -> set[str]:
    """Host names, without ports, of a proxy in front of the page."""
    return {*space_hosts(), *filter(None, [hostname(public_url or "")])}


def local_hosts(host: str, lan: bool) -> set[str]:
    """Host names and addresses of this computer."""
    return {*LOCAL, host.lower(), *filter(None, [lan and lan_address()])} - {"0.0.0.0", "::"}


class AccessControl:
    """ASGI middleware for a page with these `local_hosts` and `public_hosts`.

    Other host names are refused because another site can make its own name resolve to this computer (DNS rebinding);
    other origins because another site could make browsers upload. The address that a request was sent to is always one
    of this computer's.
    """

    def __init__(self, app: Callable, local: set[str], public: set[str]):
        self.app, self.local, self.public = app, local, public
        framing = " ".join(("frame-ancestors 'self'", *(HUB if space_hosts() else ())))
        self.headers = {
            "Content-Security-Policy": "; ".join((*CONTENT_SOURCES, framing)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
        }

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """ASGI: refuse requests from other origins and for other hosts, and add security headers to responses."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # the page has no web sockets

        async def send_with_headers(message: dict) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(HTTPConnection(scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refuse(self, request: HTTPConnection) -> Response | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        name = hostname(f"//{host}")
        own_address = (request.scope.get("server") or ("",))[0]
        if name not in {*self.local, *self.public, own_address}:
            remedy = "open it at its own address, or start it with --public-url"
            return PlainTextResponse(f"this page is not served as {host[:100]!r}; {remedy}", 421)
        foreign = origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}")
        sends = request.scope["method"] not in ("GET", "HEAD")
        cross_site = request.headers.get("sec-fetch-site") == "cross-site" and sends and origin is None
        if (foreign and hostname(origin) not in self.public) or cross_site:
            return PlainTextResponse("requests from other sites are refused", 403)
        prefix, _, path = request.scope["path"].partition("/gradio_api/")
        if not path and prefix.startswith(("/run/", "/api/", "/monitoring")):
            return PlainTextResponse("not found", 404)
        if path and not path.startswith(GRADIO_PATHS):
            return PlainTextResponse("use the queue, for example POST /gradio_api/call/generate", 404)
        return None


class EventLimit:
    """ASGI middleware that keeps one client from filling gradio's queue; `events` maps ids to the queue's events."""

    def __init__(self, app: Callable, events: dict):
        self.app, self.events = app, events

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """ASGI: answer 503 to a client that has too many events waiting."""
        joins = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(
            ("/gradio_api/queue/join", "/gradio_api/call/")
        )  # fmt: skip
        if joins and sum(self._events_of(address_of(HTTPConnection(scope)))) >= MAX_EVENTS_PER_CLIENT:
            full = {"detail": "the queue is full of your requests; try again in a few seconds"}
            await JSONResponse(full, 503, {"Retry-After": "3"})(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _events_of(self, address: str) -> Iterator[bool]:
        return (address_of(event.request) == address for event in list(self.events.values()))


def hostname(url: str) -> str | None:
    """The host in a URL; None without one."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
