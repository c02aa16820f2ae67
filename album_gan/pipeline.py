"""AlbumCoverPipeline: seeds in, covers out.

    pipe = AlbumCoverPipeline.from_pretrained()
    pipe(seeds=[42, "velvet-otter-042"]).images

A cover depends on the model, the seed, the truncation and the label alone. This file is published with the weights,
beside latents.py, words.py, images.py, model_files.py and upscaling.py: it imports nothing else of this package at
the top.
"""

import hashlib
import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image
from tqdm.auto import tqdm

from .images import to_pil, to_zero_one
from .latents import (
    DEFAULT_TRUNCATION,
    SEED_COUNT,
    classes_of,
    latents_of,
    name_of,
    parse_seeds,
    path,
    seed_of,
    truncate,
)
from .model_files import (
    FP16_WEIGHTS,
    WEIGHTS,
    check_index,
    find_model,
    load_network,
    rounded_weights,
    to_safetensors,
    write_whole,
)
from .upscaling import Engine, find_engine, upscale
from .words import NOUNS  # noqa: F401  latents.py needs it, and diffusers fetches only what this file names

Seeds = int | str | Iterable[int | str]
Labels = int | str | None


@dataclass
class AlbumCoverOutput(ImagePipelineOutput):
    """`images`: pictures, or one array or tensor; `seeds`: theirs, None if latents or stems were given."""

    seeds: list[int] | None = None


class AlbumCoverPipeline(DiffusionPipeline):
    """Draws album covers with one generator: a ModelMixin with `embed` (B, latent_dim) -> stem (B, C, 4, 4),
    `paint` stem -> images (B, 3, R, R) in [-1, 1], the buffer `stem_mean` (C, 4, 4), and `resolution`,
    `latent_dim` and `format_version` in its config. It is put into evaluation mode.

    `upscaler`, where there is one, enlarges (B, 3, H, W) in [-1, 1] and has `reach` (see `upscaling.one_pass`)."""

    _optional_components: ClassVar = ["upscaler"]

    def __init__(self, generator: ModelMixin, upscaler: ModelMixin | None = None):
        super().__init__()
        self.register_modules(generator=generator.eval(), upscaler=upscaler)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike | None = None,
        *,
        variant: str | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        revision: str | None = None,
        local_files_only: bool | None = None,
        token: str | bool | None = None,
    ) -> "AlbumCoverPipeline":
        """Load a model: bundled (the default), teaching (a small DCGAN), both in this package, a folder, or a Hub id.

        No code is loaded with it. `variant` "fp16" asks for that file; both hold the same values. Weights
        are float32 in memory unless `dtype` says otherwise. `revision`, `local_files_only` and `token` are
        for the Hub.
        Raises OSError when there is no such model, ValueError when it is not one of ours or is damaged.
        """
        folder = find_model(source, revision, bool(local_files_only), token, ("generator", "upscaler"), variant)
        check_index(folder, source or "bundled", cls.__name__)
        # A model without an upscaler of its own, such as a training run's, takes the bundled one.
        places = [place / "upscaler" for place in (folder, find_model("bundled"))]
        place = next((place for place in places if place.is_dir()), None)
        pipeline = cls(
            load_network(folder / "generator", "paint", variant), place and load_network(place, "reach", variant)
        )
        if dtype is not None and dtype != torch.float32:
            _ = pipeline.fingerprint  # of the true weights: rounded ones would give another
            pipeline.to(dtype)
        return pipeline if device is None else pipeline.to(device)

    def save_pretrained(self, save_directory: str | os.PathLike) -> None:
        """Write the model as float32 and float16 safetensors, both holding the values rounded to float16.

        model_index.json, which makes a folder a model, comes last, and each file appears whole or not at all.
        The weights in memory keep their precision. Raises ValueError for weights that float16 cannot hold.
        """
        for name, network in (("generator", self.generator), ("upscaler", self.upscaler)):
            if network is None:
                continue
            folder = Path(save_directory) / name
            folder.mkdir(parents=True, exist_ok=True)
            rounded = rounded_weights(network)
            widened = {name: t.float() if t.is_floating_point() else t for name, t in rounded.items()}
            write_whole(folder / FP16_WEIGHTS, to_safetensors(rounded))
            write_whole(folder / WEIGHTS, to_safetensors(widened))
            network.save_config(folder)
        self.save_config(save_directory)

    @cached_property
    def fingerprint(self) -> str:
        """8 hex digits that name this model: the SHA-256 of its fp16 weights file begins with them.

        Worked out once: build a new pipeline after changing weights.
        """
        return hashlib.sha256(to_safetensors(rounded_weights(self.generator))).hexdigest()[:8]

    @property
    def labels(self) -> list[str]:
        """The classes that `label` may name; empty for a model that draws without labels."""
        return list(self.generator.config.get("classes") or ())

    @property
    def class_counts(self) -> list[int]:
        """Training covers of no class, and of each of `labels`; empty where the model did not count them."""
        return list(self.generator.config.get("class_counts") or ())

    def settings(self, seed: int | str, truncation: float = DEFAULT_TRUNCATION, label: str | None = None) -> dict:
        """What it takes to draw a cover again, for the text inside its PNG (`pictures.save_png`)."""
        seed = seed_of(seed)
        return {
            "format": 1,
            "model": self.fingerprint,
            "seed": seed,
            "name": name_of(seed),
            "truncation": truncation,
            "label": label or None,
        }

    def latents_of(self, seeds: Seeds) -> torch.Tensor:
        """The latents z (N, latent_dim) of seeds, standard normal, float32."""
        return torch.from_numpy(latents_of(_seed_list(seeds), self.generator.config.latent_dim))

    def stems_of(
        self, seeds: Seeds | None = None, label: str | None = None, *, latents: np.ndarray | torch.Tensor | None = None
    ) -> torch.Tensor:
        """The stems (N, C, 4, 4) of seeds, or of latents (N, latent_dim), not truncated.

        Covers are truncated and interpolated as stems, and are best edited as stems. Raises ValueError for a label
        that the model does not know.
        """
        seeds = None if seeds is None else _seed_list(seeds)
        z = self.latents_of(seeds) if latents is None else self._checked(latents, "latents", self._latent_shape)
        numbers = self._class_numbers(label, None, seeds, len(z))
        return self._embed(z, numbers).clone()  # the clone is free of inference mode, so gradients may pass it

    def __call__(
        self,
        seeds: Seeds | None = None,
        *,
        num_images: int = 1,
        generator: torch.Generator | None = None,
        latents: np.ndarray | torch.Tensor | None = None,
        stems: np.ndarray | torch.Tensor | None = None,
        truncation: float = DEFAULT_TRUNCATION,
        label: str | None = None,
        class_labels: Labels | Sequence[Labels] = None,
        batch_size: int = 16,
        output_type: str = "pil",
        return_dict: bool = True,
        progress: bool = False,
    ) -> AlbumCoverOutput | tuple:
        """Draw covers of `seeds`: a seed, a name, several of them, or a list as text, "1,2,7-9".

        Or of `latents` (B, latent_dim), or of `stems` (B, C, 4, 4); truncation, 0 to 1.5, acts on these too.
        With none of the three, `num_images` seeds are drawn from `generator`, or from torch's global one.
        `label` is one of `labels`, for all of them. Without one, each seed draws its own, as often as the training
        covers had it, and latents are covers of any class. Stems have theirs inside.
        `class_labels` is diffusers' way to say it: names or places in `labels`, for all covers or one for each.
        output_type: "pil" (RGB pictures), "np" (B, R, R, 3) or "pt" (B, 3, R, R), both float32 in 0..1.
        Raises ValueError for a seed, truncation, label, shape or option out of range.
        """
        given = [
            name for name, value in (("seeds", seeds), ("latents", latents), ("stems", stems)) if value is not None
        ]
        if len(given) > 1:
            raise ValueError(f"covers need seeds, latents or stems, got {' and '.join(given)}; pass one of them")
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type must be pil, np or pt, got {output_type!r}")
        if num_images < 1 or batch_size < 1:
            raise ValueError(f"num_images and batch_size must be 1 or more, got {num_images} and {batch_size}")
        if not given:
            where = generator.device if generator is not None else "cpu"
            seeds = torch.randint(SEED_COUNT, (num_images,), generator=generator, device=where).tolist()

        if stems is not None:
            rows = self._checked(stems, "stems", tuple(self.generator.stem_mean.shape))
        elif latents is not None:
            rows = self._checked(latents, "latents", self._latent_shape)
        else:
            rows = seeds = _seed_list(seeds)
        numbers = self._class_numbers(label, class_labels, seeds, len(rows))

        images = []
        for start in tqdm(range(0, len(rows), batch_size), unit="batch", disable=not progress):
            batch = rows[start : start + batch_size]
            if stems is None:
                z = self.latents_of(batch) if latents is None else batch
                batch = self._embed(z, numbers[start : start + batch_size])
            drawn = self._paint(truncate(self._tensor(batch), self.generator.stem_mean, truncation))
            images += to_pil(drawn) if output_type == "pil" else [to_zero_one(drawn)]
        if output_type != "pil":
            images = torch.cat(images)
            if output_type == "np":
                images = images.permute(0, 2, 3, 1).cpu().numpy()
        return AlbumCoverOutput(images=images, seeds=seeds) if return_dict else (images,)

    def interpolate(
        self,
        seeds: Seeds,
        frames: int = 60,
        loop: bool = True,
        truncation: float = DEFAULT_TRUNCATION,
        batch_size: int = 16,
        label: str | None = None,
    ) -> Iterator[Image.Image]:
        """Frames of a smooth way from seed to seed, drawn as they are asked for; a loop leads back.

        Raises ValueError at once, not at the first frame, for fewer than 2 seeds or frames, a wrong seed,
        truncation or label, or batch_size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}; 16 is fine")
        points = truncate(self.stems_of(seeds, label), self.generator.stem_mean, truncation)
        way = path(points.float().cpu().numpy(), frames, loop)

        def draw() -> Iterator[Image.Image]:
            for start in range(0, frames, batch_size):
                yield from to_pil(self._paint(self._tensor(way[start : start + batch_size])))

        return draw()

    def upscale(
        self,
        image: Image.Image,
        size: int,
        engine: str | None = None,
        *,
        title: str = "",
        artist: str = "",
        layout: str = "headline",
    ) -> Image.Image:
        """Enlarge a picture until its longer side has `size` pixels, and set title and artist on it in real type.

        See `upscaling.upscale`, `find_engine` and `sleeve.set_type`.
        """
        if not title and not artist:
            return upscale(image, size, self.find_engine(engine))
        try:  # by name: diffusers looks for whatever is imported with `from`, and models on the Hub come without fonts
            sleeve = importlib.import_module(".sleeve", __package__)
        except ImportError as error:
            raise ImportError("title and artist need fonts that come with album_gan; pip install album-gan") from error
        sleeve.check_type(title, artist, layout)
        return sleeve.set_type(upscale(image, size, self.find_engine(engine)), title, artist, layout)

    def find_engine(self, name: str | None = None) -> Engine:
        """The engine `name`; by default "bundled", or "lanczos" where the model has no upscaler. Errors as there."""
        return find_engine(name or ("lanczos" if self.upscaler is None else "bundled"), self.upscaler)

    @property
    def _latent_shape(self) -> tuple[int]:
        return (self.generator.config.latent_dim,)

    def _tensor(self, values: np.ndarray | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(values).to(self.generator.device, self.generator.dtype)

    def _checked(self, values: np.ndarray | torch.Tensor, name: str, shape: tuple) -> torch.Tensor:
        values = torch.as_tensor(values)
        if len(values) == 0 or tuple(values.shape[1:]) != shape:
            raise ValueError(f"{name} must have the shape (B, {', '.join(map(str, shape))}), got {tuple(values.shape)}")
        return values

    def check_label(self, label: str | None) -> int:
        """The number of a class, 0 for None or ""; ValueError for one that the model does not know."""
        if not label:
            return 0
        if label not in self.labels:
            known = f"one of {', '.join(self.labels)}" if self.labels else "empty"
            rest = "" if self.labels else "; this model draws without labels"
            raise ValueError(f"label must be {known}, got {str(label)[:40]!r}{rest}")
        return self.labels.index(label) + 1

    def classes_of(self, seeds: Seeds) -> list[int]:
        """The number of the class that each seed has without a label; 0, any, for models that did not count theirs."""
        seeds = _seed_list(seeds)
        return classes_of(seeds, self.class_counts) if self.class_counts else [0] * len(seeds)

    def _class_numbers(
        self, label: str | None, class_labels: Labels | Sequence[Labels], seeds: Sequence[int] | None, count: int
    ) -> list[int]:
        """The number of each cover's class, 0 for any."""
        unsaid = [0] * count if seeds is None else self.classes_of(seeds)
        if class_labels is None:
            return [self.check_label(label)] * count if label else unsaid
        if label:
            raise ValueError(f"covers need label or class_labels, got {label!r} and {class_labels!r}; pass one of them")
        each = [class_labels] * count if isinstance(class_labels, (int, str)) else list(class_labels)
        if len(each) != count:
            raise ValueError(f"class_labels must be one for all or one for each of {count} covers, got {len(each)}")
        known = len(self.labels)
        for value in each:
            if isinstance(value, int) and not 0 <= value < known:
                raise ValueError(f"class_labels must be below {known}, the number of this model's classes, got {value}")
        return [
            value + 1 if isinstance(value, int) else self.check_label(value) or own
            for value, own in zip(each, unsaid, strict=True)
        ]

    # Autocast is switched off: a cover must not depend on the mode that its caller happens to be in.
    @torch.inference_mode()
    def _embed(self, latents: np.ndarray | torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        z = self._tensor(latents)
        labels = (torch.tensor(numbers, device=z.device),) if any(numbers) else ()
        with torch.autocast(self.generator.device.type, enabled=False):
            return self.generator.eval().embed(z, *labels)

    @torch.inference_mode()
    def _paint(self, stems: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.generator.device.type, enabled=False):
            return self.generator.eval().paint(stems)


def _seed_list(seeds: Seeds) -> list[int]:
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, Iterable):
        seeds = [seed_of(seed) for seed in seeds]
        if not seeds:
            raise ValueError("seeds must be one or more, got none; try [42]")
        return seeds
    return [seed_of(seeds)]
