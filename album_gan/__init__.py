"""A GAN that draws album covers: `AlbumCoverPipeline.from_pretrained()(seeds=[1, 2]).images`.

Names load when they are first used: importing this package loads neither torch nor diffusers.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for completion and type checkers, which do not follow __getattr__
    from .inference.pipeline import AlbumCoverPipeline

__all__ = ["AlbumCoverPipeline", "__version__"]

try:
    __version__ = version("album-gan")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0.0.0+unknown"


def __getattr__(name: str) -> Any:
    if name == "AlbumCoverPipeline":
        from .inference.pipeline import AlbumCoverPipeline

        return AlbumCoverPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
