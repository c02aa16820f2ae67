"""Errors of the Hub and of the connection to it, in one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import HFValidationError

from .inference.model_store import hub_answer, hub_http_error, is_local_error, on_one_line


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Turn errors of huggingface_hub, which alone runs in the block, into OSErrors that begin with `failure`.

    Those of this system, such as of a full disk, pass unchanged.
    """
    try:
        yield
    except (hub_http_error(), HFValidationError, OSError, RuntimeError) as error:
        # Whatever fails while a large file is uploaded comes as a RuntimeError that names only the file.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        if answer := hub_answer(cause):
            raise OSError(f"{failure}; the Hub responds: {answer}; {_remedy(int(answer[:3]))}") from cause
        if isinstance(cause, HFValidationError):
            raise OSError(f"{failure}: {on_one_line(cause)}; check the name") from cause
        if is_local_error(cause):
            raise cause from None
        raise OSError(
            f"{failure}, and the Hub cannot be reached ({on_one_line(cause)}); run again when online"
        ) from cause


def _remedy(status: int) -> str:
    """What to do after an HTTP status that is an error."""
    if status in (401, 404):
        return "check the name, or log in with `hf auth login`, or set HF_TOKEN, as a user with access"
    if status == 403:
        return "unless it says why, log in with `hf auth login`, or set HF_TOKEN, as a user who may do this"
    if status in (408, 429) or status >= 500:
        return "run again later"
    return "correct what it names, then run again"
