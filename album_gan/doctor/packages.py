"""Python and its packages. Standard library only."""

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator

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
    missing: dict[str, list[str]] = {}
    complete = set()
    for extra, requirement in _requirements():
        complete.add(extra)
        if not _is_met(requirement):
            missing.setdefault(extra, []).append(requirement)
    if not complete:
        yield Finding("problem", "album-gan is not installed, only its folder is here", "pip install -e '.[train]'")
        return
    if core := [name for name in missing.pop("", []) if not name.startswith("torch")]:
        yield Finding("problem", f"missing or too old: {', '.join(core)}", "pip install -e .")
    if "train" in missing:
        yield Finding("note", f"training also needs {', '.join(missing['train'])}", "pip install -e '.[train]'")
    extras = sorted(complete - missing.keys() - {""})
    yield Finding("ok", f"album-gan {importlib.metadata.version('album-gan')}, extras: {', '.join(extras) or 'none'}")


def _requirements() -> Iterator[tuple[str, str]]:
    """(extra, requirement) of the installed distribution; the core's extra is ''."""
    try:
        requirements = importlib.metadata.requires("album-gan") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in requirements:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        if not requirement.startswith("album-gan"):
            yield extra[1] if extra else "", requirement


def _is_met(requirement: str) -> bool:
    """Whether a distribution is there, in a version that fits where `packaging` can compare them."""
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
