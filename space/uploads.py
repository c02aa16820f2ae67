"""Limits on requests and uploads: the size of a request, and upload quotas per client and in total.

Without them a few large uploads would fill the disk.
"""

import json
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse

from album_gan.space.client import address_of
from album_gan.space.errors import describe
from album_gan.space.temp_files import KEEP, SPARE_BYTES, SWEEP_EVERY

MAX_FILE_BYTES = 20_000_000
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + 10_000  # of a request: one file and the form around it
MAX_BODY_BYTES = 1_000_000  # of any other request
MAX_TOTAL_BYTES = 1_000_000_000  # of all uploads within the hour; at most half of the free disk space
MAX_CLIENT_BYTES = 100_000_000  # per client; at most half of the total


class RefusedBodyError(Exception):
    """The request is refused; the message is for its sender."""

    def __init__(self, message: str, status: int = 413):
        super().__init__(message)
        self.status = status


@dataclass
class Upload:
    """One upload: its sender's address, bytes received so far, and start time."""

    address: str
    size: int = 0
    begun: float = field(default_factory=time.monotonic)


class UploadQuota:
    """Counts the bytes of uploads that may still be on the disk, including failed ones."""

    def __init__(self, folder: Path):
        self.total = min(MAX_TOTAL_BYTES, max(0, shutil.disk_usage(folder).free - SPARE_BYTES) // 2)
        self.per_client = min(MAX_CLIENT_BYTES, self.total // 2)
        self._uploads: deque[Upload] = deque()

    def begin(self, address: str) -> Upload:
        """Register an upload; its size grows as it arrives."""
        self._uploads.append(Upload(address))
        return self._uploads[-1]

    def left(self, address: str) -> int:
        """Number of bytes that this address may still upload."""
        while self._uploads and time.monotonic() - self._uploads[0].begun > KEEP + 2 * SWEEP_EVERY:
            self._uploads.popleft()
        by_client = sum(upload.size for upload in self._uploads if upload.address == address)
        return min(self.per_client - by_client, self.total - sum(upload.size for upload in self._uploads))


class BodyLimits:
    """ASGI middleware that refuses requests that are too large, before and while they arrive."""

    def __init__(self, app: Callable, quota: UploadQuota):
        self.app, self.quota = app, quota

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """ASGI: pass a request on, or answer with the reason for refusing it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched_send(message: dict) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        is_upload = scope["path"].rstrip("/").endswith("/upload")
        limited = self._limit_upload if is_upload else limit_body
        try:
            await self.app(scope, await limited(HTTPConnection(scope), receive), watched_send)
        except Exception as error:
            if started:
                raise
            if isinstance(error, RefusedBodyError):
                text, status = str(error), error.status
            elif isinstance(error, OSError):
                text, status = describe(error), 507
            elif is_upload:  # gradio's parser raises various errors for truncated forms and forms without a file
                text, status = "the upload cannot be read; send a form with one file that has a name", 400
            else:
                raise
            # uvicorn drops the rest of the request. Closing the connection now would reset it before a client that is
            # still sending reads the response; connections.py closes it once nothing more arrives.
            await PlainTextResponse(text, status)(scope, receive, send)

    async def _limit_upload(self, request: HTTPConnection, receive: Callable) -> Callable:
        upload = self.quota.begin(address_of(request))

        def check(size: int, left: int) -> None:
            if size > MAX_UPLOAD_BYTES:
                raise RefusedBodyError(
                    f"pictures must be at most {MAX_FILE_BYTES // 1_000_000} MB; shrink this one first"
                )
            if left < 0:
                raise RefusedBodyError("the space for uploads is used up; it is freed within the hour", 507)

        expected = content_length(request)
        check(expected, self.quota.left(upload.address) - expected)

        async def counted() -> dict:
            message = await receive()
            upload.size += len(message.get("body", b""))
            check(upload.size, self.quota.left(upload.address))
            return message

        return counted


def content_length(request: HTTPConnection) -> int:
    """The declared size of a request in bytes; 0 if it declares none."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() else 0


async def limit_body(request: HTTPConnection, receive: Callable) -> Callable:
    """Read a small body completely, check it, and return a `receive` that replays it. Raises RefusedBodyError.

    Files given as a URL are refused: gradio would download them, of any size, to this computer's disk.
    """
    body, more, expected = b"", True, content_length(request)
    while more:
        if max(expected, len(body)) > MAX_BODY_BYTES:
            raise RefusedBodyError(f"requests must be at most {MAX_BODY_BYTES // 1_000_000} MB")
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if len(body) > MAX_BODY_BYTES:
        raise RefusedBodyError(f"requests must be at most {MAX_BODY_BYTES // 1_000_000} MB")
    if names_address(body):
        raise RefusedBodyError("files must be uploaded, not given as a URL", 400)
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict:
        return pending.pop() if pending else await receive()  # only the client's disconnection can follow the body

    return replay


def names_address(body: bytes) -> bool:
    """Whether a JSON body gives a file as a URL."""
    try:
        values = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while values:
        value = values.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and path.strip().lower().startswith(("http:", "https:")):
                return True
            values += value.values()
        elif isinstance(value, list):
            values += value
    return False
