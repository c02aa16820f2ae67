"""Who makes a request: the network address of a phone or computer, and whether it is the presenter's."""

import hashlib
import hmac
import ipaddress
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import HTTPConnection

from album_gan.space.drawing_order import Lane

# Set by page.js from the presenter's link, so that addresses, which people copy and share, never have the key. Its name
# ends with the page's port: a browser sends the cookies of all pages on this computer to each.
COOKIE = "album_gan_presenter"
MAX_WRONG_KEYS = 10  # different ones, from one address
FORGET_AFTER = 600  # seconds since the last wrong key
MAX_ADDRESSES = 10_000  # remembered


@dataclass(frozen=True)
class Client:
    """`address` is an IP address; requests from one address share the per-client limits."""

    address: str = ""
    lane: Lane = Lane.AUDIENCE


class TooManyKeysError(ValueError):
    """An address has tried so many keys that it seems to be guessing."""

    def __init__(self):
        super().__init__(
            f"too many wrong presenter keys from this address; open the page with an empty "
            f"?presenter=, or wait {FORGET_AFTER // 60} minutes"
        )


class PresenterKey:
    """The secret in the presenter's link. 128 random bits, or the environment's ALBUM_GAN_PRESENTER."""

    def __init__(self):
        own = os.environ.get("ALBUM_GAN_PRESENTER")
        self.key, self._can_be_guessed = own or secrets.token_hex(16), bool(own)
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[float, set[bytes]]] = OrderedDict()  # address: last guess, keys' hashes

    def lane(self, keys: Sequence[str], address: str) -> Lane:
        """The presenter's lane if the key is among `keys`, the audience's otherwise.

        Raises TooManyKeysError once an address has tried more than `MAX_WRONG_KEYS` different wrong ones: even for the
        right key, if that is from the environment and may be short. Nobody guesses 128 bits, and behind a tunnel the
        audience has the presenter's address. An old key that a browser sends repeatedly counts once.
        """
        keys = [key for key in keys if key]
        if not keys:
            return Lane.AUDIENCE
        guesses = [key for key in keys if not hmac.compare_digest(key.encode(errors="replace"), self.key.encode())]
        is_right = len(guesses) < len(keys)
        if is_right and not self._can_be_guessed:
            return Lane.PRESENTER
        with self._lock:
            last, wrong = self._wrong.get(address, (0.0, set()))
            if time.monotonic() - last > FORGET_AFTER:
                wrong = set()
            if guesses and len(wrong) <= MAX_WRONG_KEYS:
                wrong = wrong | {hashlib.sha256(key.encode(errors="replace")).digest() for key in guesses}
                self._wrong[address] = time.monotonic(), wrong
                self._wrong.move_to_end(address)
                while len(self._wrong) > MAX_ADDRESSES:
                    self._wrong.popitem(last=False)
            if len(wrong) > MAX_WRONG_KEYS:
                raise TooManyKeysError
            return Lane.PRESENTER if is_right else Lane.AUDIENCE


def presenter_keys(request: HTTPConnection) -> list[str]:
    """The keys in a request's cookies, unchecked; one for each page that this browser presents."""
    return [unquote(value) for name, value in request.cookies.items() if name.startswith(COOKIE)]


def address_of(request: HTTPConnection) -> str:
    """The IP address of a request's sender: the TCP peer's, or on a Space the one reported by the Hub's proxy.

    Clients can put anything at the left of X-Forwarded-For; proxies append at the right.
    """
    if os.environ.get("SPACE_HOST"):
        for entry in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            try:
                if ipaddress.ip_address(entry.strip()).is_global:
                    return entry.strip()
            except ValueError:
                continue
    return request.client.host if request.client else ""
