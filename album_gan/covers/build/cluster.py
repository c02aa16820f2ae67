"""Cleaning covers on many machines: a dask cluster instead of local processes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import PIL

from ...runtime import require

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS = 20


def connect(address: str) -> "distributed.Client":
    """The cluster whose scheduler is at `address`, such as tcp://10.0.0.1:8786, or described by a scheduler file.

    Raises ImportError if distributed is not installed, ValueError if nothing responds.
    """
    require("cluster", "cluster", "distributed")
    import distributed

    place = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return distributed.Client(**place, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cluster must be the address of a dask scheduler, but {address!r} does not answer: {error}; "
            "start one with: dask scheduler"
        ) from error


def sees(client: "distributed.Client", place: str) -> bool:
    """Whether all workers can read the file or folder `place` themselves.

    Raises ValueError for a cluster that would produce different bytes than this machine, or has no workers.
    """
    facts = client.run(_facts, place)
    if not facts:
        raise ValueError("cluster must have workers, got none; start some with: dask worker ADDRESS")
    here = _facts(place)
    for worker, there in facts.items():
        if there[1:] != here[1:]:
            raise ValueError(
                f"cluster must have the same versions of album_gan, Pillow and OpenCV everywhere, but {worker} has "
                f"{there[1:]}, this machine {here[1:]}; install the same ones"
            )
    return all(readable for readable, *_ in facts.values())


def _facts(place: str) -> tuple[bool, int, str, str | None]:
    from .candidates import FORMAT_VERSION
    from .cleaning import opencv_version

    return os.access(place, os.R_OK), FORMAT_VERSION, PIL.__version__, opencv_version()
