"""The pipeline's output: covers with their seeds and names, ready to view and save."""

import base64
import html
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..light_diffusers import ImagePipelineOutput
from .atomic import write_atomic
from .latents import name_of
from .pixels import file_names, grid, png_bytes

SHOWN = 64  # covers in a notebook's grid


@dataclass
class AlbumCoverOutput(ImagePipelineOutput):
    """Covers. In a notebook it is shown as a grid with names.

    `images`: a list of PIL pictures, or an array or tensor, as `output_type` says. `seeds`, and `settings`, which draw
    each cover again (`AlbumCoverPipeline.settings`), are there for covers of seeds.
    """

    images: Any
    seeds: list[int] | None = None
    settings: list[dict[str, Any]] | None = None

    @property
    def names(self) -> list[str]:
        """Each cover's name: typed words, a seed's readable name, or its number, "1"."""
        if self.settings is None:
            return [str(number) for number in range(1, len(self.images) + 1)]
        return [settings.get("typed") or name_of(settings["seed"]) for settings in self.settings]

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write each cover as a PNG with its name, settings embedded; returns the files, in order.

        Covers with the same name get numbers. Raises OSError if files cannot be written, ValueError for arrays.
        """
        pictures = self._pictures()
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = [Path(folder) / f"{name}.png" for name in file_names(self.names)]
        for place, (file, picture) in enumerate(zip(files, pictures, strict=True)):
            write_atomic(file, png_bytes(picture, self.settings[place] if self.settings else None))
        return files

    def grid(self, columns: int | None = None, gap: int = 0) -> Image.Image:
        """All covers as one picture, about as wide as high; ValueError for arrays."""
        pictures = self._pictures()
        return grid(pictures, columns or math.ceil(len(pictures) ** 0.5), gap)

    def _pictures(self) -> list[Image.Image]:
        if not isinstance(self.images, list):
            raise ValueError(f'covers must be pictures, got {type(self.images).__name__}; draw with output_type="pil"')
        return self.images

    def _repr_html_(self) -> str | None:
        """For notebooks; None, so that they show the plain text, for arrays."""
        if not isinstance(self.images, list):
            return None
        cells = [
            f'<figure style="margin:0"><img alt="" style="display:block;width:100%" src="data:image/png;base64,'
            f'{base64.b64encode(png_bytes(picture)).decode()}"><figcaption style="font-size:12px;'
            f'overflow-wrap:anywhere">{html.escape(name)}</figcaption></figure>'
            for picture, name in zip(self.images[:SHOWN], self.names, strict=False)
        ]
        rest = f"<p>and {len(self.images) - SHOWN} more</p>" if len(self.images) > SHOWN else ""
        style = "display:grid;gap:8px;max-width:1100px;grid-template-columns:repeat(auto-fill,minmax(128px,1fr))"
        return f'<div style="{style}">{"".join(cells)}</div>{rest}'
