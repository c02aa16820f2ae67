"""The Hub and its token, which is never printed. Standard library only."""

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .findings import Context, Finding

HUB_SECONDS = 8
BY_PREFIX = re.compile(r"hf_[A-Za-z0-9]{6,}|(?<=://)[^/@\s]+:[^/@\s]+(?=@)")  # tokens; a proxy's user and password


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_hub(_: Context) -> Iterator[Finding]:
    """Whether it responds, and accepts the token."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding("ok", "not used, because HF_HUB_OFFLINE is set")
        return
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    token, source = _token()
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        yield Finding("problem", f"the token in {source} contains characters that no token has", "hf auth login")
        return
    request = urllib.request.Request(f"{endpoint}/api/whoami-v2")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=HUB_SECONDS) as answer:
            account = json.load(answer)
    except urllib.error.HTTPError as error:
        yield _refusal(error.code, endpoint, token, source)
        return
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)).strip() or type(error).__name__
        text = f"{endpoint} cannot be reached ({reason}); training and drawing do without it"
        yield Finding("note", text, "export HF_HUB_OFFLINE=1   # no waiting for it")
        return
    role = str(((account.get("auth") or {}).get("accessToken") or {}).get("role") or "unknown")
    text = f"logged in as {account.get('name')}, with a token from {source} of the kind {role}"
    yield Finding("note", f"{text}: it cannot push", "hf auth login") if role == "read" else Finding("ok", text)


def _refusal(code: int, endpoint: str, token: str | None, source: str) -> Finding:
    if code in (401, 403) and token:
        return Finding("problem", f"{endpoint} refuses the token in {source} ({code})", "hf auth login")
    if code in (401, 403):
        return Finding("ok", f"{endpoint} can be reached; no token, so nothing private, and no push")
    if 300 <= code < 400:
        text = f"{endpoint} responds with a redirect ({code}): a login page of this network?"
        return Finding("note", text, "export HF_HUB_OFFLINE=1   # or connect to the network")
    return Finding("note", f"{endpoint} responds {code}; try again later")


def hub_home() -> Path:
    """Where huggingface_hub keeps what it has downloaded."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()


def _token() -> tuple[str | None, str]:
    """The token that huggingface_hub would take, and where it is."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token, name
    path = Path(os.environ.get("HF_TOKEN_PATH") or hub_home() / "token").expanduser()
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None, str(path)
    except OSError:
        return None, str(path)


def without_secrets(text: str) -> str:
    """`text` without the tokens and passwords of this machine."""
    for secret in (_token()[0], os.environ.get("WANDB_API_KEY")):
        if secret:
            text = text.replace(secret, "***")
    return BY_PREFIX.sub("***", " ".join(text.split()))
