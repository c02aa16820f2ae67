"""Who makes a request: the network address of a phone or computer, and whether it is the presenter's."""

import hashlib
import hmac
import ipaddress
import os
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from album_gan.space.drawing_order import Lane

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
            f"too many wrong presenter keys from this address; open the page without one, or wait {FORGET_AFTER // 60} "
            "minutes"
        )


class PresenterKey:
    """The secret in the presenter's link. 128 random bits, or the environment's ALBUM_GAN_PRESENTER."""

    def __init__(self):
        own = os.environ.get("ALBUM_GAN_PRESENTER")
        self.key, self._can_be_guessed = own or secrets.token_hex(16), bool(own)
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[float, set[bytes]]] = OrderedDict()  # address: last guess, keys' hashes

    def lane(self, key: str | None, address: str) -> Lane:
        """The presenter's lane for holders of the key, the audience's for others.

        Raises TooManyKeysError once an address has tried more than `MAX_WRONG_KEYS` different wrong ones: even for the
        right key, if that is from the environment and may be short. Nobody guesses 128 bits, and behind a tunnel the
        audience has the presenter's address. An old key that a browser sends repeatedly counts once.
        """
        if not key:
            return Lane.AUDIENCE
        is_right = hmac.compare_digest(str(key).encode(errors="replace"), self.key.encode())
        if is_right and not self._can_be_guessed:
            return Lane.PRESENTER
        with self._lock:
            last, wrong = self._wrong.get(address, (0.0, set()))
            if time.monotonic() - last > FORGET_AFTER:
                wrong = set()
            if len(wrong) > MAX_WRONG_KEYS:
                raise TooManyKeysError
            if is_right:
                return Lane.PRESENTER
            wrong.add(hashlib.sha256(str(key).encode(errors="replace")).digest())
            self._wrong[address] = time.monotonic(), wrong
            self._wrong.move_to_end(address)
            while len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)
            if len(wrong) > MAX_WRONG_KEYS:
                raise TooManyKeysError
            return Lane.AUDIENCE


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
