"""How the audience reaches the page: an address that phones can open, and its QR code."""

import io
import os
import re
import socket
from dataclasses import dataclass

NOT_SHARED = "Only this computer can open the page. Start it with --lan to let phones in."
ANYWHERE = "10.255.255.255"
# In the networks of Linux, Windows and macOS hotspots: a computer that is a hotspot may have no other route.
HOTSPOTS = ("10.42.0.254", "192.168.137.254", "192.168.2.254")
NO_NETWORK = "This computer is not on a network. Join a Wi-Fi network or start a hotspot, then start the page again."


@dataclass(frozen=True)
class Invitation:
    """`url` is empty if phones cannot reach the page; `text` then says why, and what to do."""

    url: str = ""
    text: str = NOT_SHARED
    is_public: bool = False  # phones come through a proxy or tunnel, and may seem to be this computer

    @property
    def qr(self) -> str:
        """The QR code as SVG; "" without an address."""
        if not self.url:
            return ""
        import qrcode
        from qrcode.image.svg import SvgPathImage

        buffer = io.BytesIO()
        code = qrcode.QRCode(border=2, image_factory=SvgPathImage)
        code.add_data(self.url)
        code.make_image().save(buffer)
        return buffer.getvalue().decode().partition("?>")[2].strip()

    def for_terminal(self) -> str:
        """The address and its QR code as text."""
        if not self.url:
            return self.text
        import qrcode

        text, code = io.StringIO(), qrcode.QRCode(border=2)
        code.add_data(self.url)
        code.print_ascii(out=text, invert=True)
        return f"{text.getvalue()}{self.text}"


def invitation(port: int, lan: bool, public_url: str | None = None) -> Invitation:
    """The address to share: `public_url` if given, else a Space's own, else, with `lan`, this computer's.

    Raises ValueError if public_url is not an http address.
    """
    if public_url is None and (hosts := space_hosts()):
        public_url = f"https://{hosts[0]}"
    if public_url:
        if not re.fullmatch(r"https?://[^\s\"'<>]+", public_url):
            raise ValueError(f"public-url must start with http:// or https://, got {public_url[:80]!r}")
        return Invitation(public_url, f"Phones: {public_url}", is_public=True)
    if not lan:
        return Invitation()
    address = lan_address()
    if not address:
        return Invitation(text=NO_NETWORK)
    url = f"http://{address}:{port}"
    return Invitation(url, f"Phones on the same network: {url}")


def space_hosts() -> list[str]:
    """Host names of the Space that this process serves, several with a domain of one's own; empty elsewhere."""
    return [host for host in os.environ.get("SPACE_HOST", "").lower().split(",") if host]


def lan_address() -> str:
    """This computer's address on its network, never localhost; "" without a network."""
    for elsewhere in (ANYWHERE, *HOTSPOTS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 1))  # sends nothing: only finds out which address would be used
                address = probe.getsockname()[0]
            except OSError:
                continue
        if not address.startswith(("127.", "0.")):
            return address
    return ""
