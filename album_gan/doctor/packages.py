"""Python and its packages. Standard library only."""

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from .findings import Context, Finding

OLDEST_PYTHON = (3, 11)


def check_python(_: Context) -> Iterator[Finding]:
    """Its version, and whether packages go into an environment of their own."""
    where = f"{platform.python_version()}, {sys.executable}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("problem", f"{where}: {oldest} or newer is needed", f"python{oldest} -m venv .venv")
    elif sys.maxsize < 2**32:
        yield Finding("problem", f"{where} is a 32-bit build, for which there is no torch", "install a 64-bit Python")
    else:
        yield Finding("ok", where)


def check_packages(_: Context) -> Iterator[Finding]:
    """Whether those of the core are there; which extras are complete."""
    wanted = _requirements()
    if not wanted:
        yield Finding("problem", "album-gan is not installed, only its folder is here", "pip install -e '.[train]'")
        return
    missing = {extra: [name for name in names if not _is_met(name)] for extra, names in wanted.items()}
    # That there is no torch, `check_torch` says.
    if core := [name for name in missing[""] if not name.startswith("torch") or find_spec("torch")]:
        yield Finding("problem", f"missing or too old: {', '.join(core)}", "pip install -e .")
    if missing.get("train"):
        yield Finding("note", f"training also needs {', '.join(missing['train'])}", "pip install -e '.[train]'")
    extras = sorted(extra for extra, names in missing.items() if extra and not names)
    yield Finding("ok", f"album-gan {importlib.metadata.version('album-gan')}, extras: {', '.join(extras) or 'none'}")


def _requirements() -> dict[str, list[str]]:
    """What the installed distribution requires, by extra, with the requirements of extras within; the core's is ''."""
    try:
        lines = importlib.metadata.requires("album-gan") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    direct: dict[str, list[str]] = {"": []}
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        direct.setdefault(extra[1] if extra else "", []).append(requirement)

    def all_of(extra: str) -> Iterator[str]:
        for requirement in direct.get(extra, []):
            if within := re.match(r"album-gan\[([\w\s,-]+)\]", requirement):
                for inner in within[1].split(","):
                    yield from all_of(inner.strip())
            else:
                yield requirement

    return {extra: list(all_of(extra)) for extra in direct}


def _is_met(requirement: str) -> bool:
    """Whether a distribution is installed, in a suitable version if `packaging` can compare them."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    try:
        found = importlib.metadata.version(name[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return True
    return Requirement(requirement).specifier.contains(found, prereleases=True)
