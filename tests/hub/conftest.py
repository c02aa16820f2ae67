"""What tests with a Hub on this machine share."""

from urllib.parse import urlencode

import pytest


@pytest.fixture
def refuse(hub):
    """Lets the Hub refuse requests until the test ends: see `minihub.REFUSALS`."""
    yield lambda path, status, message="", code="": hub.ask(
        "/test/refuse?" + urlencode({"path": path, "status": status, "message": message, "code": code})
    )
    hub.ask("/test/refuse")
