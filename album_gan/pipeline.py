"""AlbumCoverPipeline: seeds in, covers out.

    pipe = AlbumCoverPipeline.from_pretrained()
    pipe(seeds=[42, "velvet-otter-042"]).images

A cover depends on the model, the seed, the truncation and the label alone. This file is published with the weights,
beside latents.py, words.py, images.py and upscaling.py: it imports nothing else of this package at the top.
"""

import hashlib
import importlib
import json
import os
import pkgutil
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import safetensors.torch
import torch
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from PIL import Image
from safetensors import SafetensorError
from tqdm.auto import tqdm

from .images import to_pil, to_zero_one
from .latents import DEFAULT_TRUNCATION, SEED_COUNT, latents_of, name_of, parse_seeds, path, seed_of, truncate
from .upscaling import Engine, find_engine, upscale
from .words import NOUNS  # noqa: F401  latents.py needs it, and diffusers fetches only what this file names

FORMAT_VERSION = 1
WEIGHTS = "diffusion_pytorch_model.safetensors"
FP16_WEIGHTS = "diffusion_pytorch_model.fp16.safetensors"

Seeds = int | str | Iterable[int | str]


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
        """Load a model: None or "bundled" (the one in this package), a folder, or a Hub id "owner/name".

        No code is loaded with it. `variant` "fp16" asks for that file; both hold the same values. Weights
        are float32 in memory unless `dtype` says otherwise. `revision`, `local_files_only` and `token` are
        for the Hub.
        Raises OSError when there is no such model, ValueError when it is not one of ours or is damaged.
        """
        folder = find_model(source, revision, bool(local_files_only), token, parts=("generator", "upscaler"))
        _read_json(folder / "model_index.json")
        # A model without an upscaler of its own, such as a training run's, takes the bundled one.
        places = [place / "upscaler" for place in (folder, find_model("bundled"))]
        place = next((place for place in places if place.is_dir()), None)
        pipeline = cls(
            _load_network(folder / "generator", "paint", variant), place and _load_network(place, "reach", variant)
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
            rounded = _rounded_weights(network)
            widened = {name: t.float() if t.is_floating_point() else t for name, t in rounded.items()}
            _write(folder / FP16_WEIGHTS, _to_safetensors(rounded))
            _write(folder / WEIGHTS, _to_safetensors(widened))
            network.save_config(folder)
        self.save_config(save_directory)

    @cached_property
    def fingerprint(self) -> str:
        """8 hex digits that name this model: the SHA-256 of its fp16 weights file begins with them.

        Worked out once: build a new pipeline after changing weights.
        """
        return hashlib.sha256(_to_safetensors(_rounded_weights(self.generator))).hexdigest()[:8]

    @property
    def labels(self) -> list[str]:
        """The classes that `label` may name; empty for a model that draws without labels."""
        return list(self.generator.config.get("classes") or ())

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

    def stems_of(self, seeds: Seeds, label: str | None = None) -> torch.Tensor:
        """The stems (N, C, 4, 4) of seeds, not truncated; ValueError for a label that the model does not know."""
        latents = latents_of(_seed_list(seeds), self.generator.config.latent_dim)
        return self._embed(latents, label).clone()  # the clone is free of inference mode, so gradients may pass it

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
        batch_size: int = 16,
        output_type: str = "pil",
        return_dict: bool = True,
        progress: bool = False,
    ) -> AlbumCoverOutput | tuple:
        """Draw covers of `seeds`: a seed, a name, several of them, or a list as text, "1,2,7-9".

        Or of `latents` (B, latent_dim), or of `stems` (B, C, 4, 4); truncation, 0 to 1.5, acts on these too.
        With none of the three, `num_images` seeds are drawn from `generator`, or from torch's global one.
        `label` is one of `labels`, for all of them; None is a cover of any class. Stems have theirs inside.
        output_type: "pil" (RGB pictures), "np" (B, R, R, 3) or "pt" (B, 3, R, R), both float32 in 0..1.
        Raises ValueError for a seed, truncation, label, shape or option out of range.
        """
        self.check_label(label)
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
            rows = self._checked(latents, "latents", (self.generator.config.latent_dim,))
        else:
            rows = seeds = _seed_list(seeds)

        images = []
        for start in tqdm(range(0, len(rows), batch_size), unit="batch", disable=not progress):
            batch = rows[start : start + batch_size]
            if seeds is not None:
                batch = self.stems_of(batch, label)
            elif latents is not None:
                batch = self._embed(batch, label)
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
        from .sleeve import check_type, set_type  # here, because models on the Hub come without fonts

        check_type(title, artist, layout)
        return set_type(upscale(image, size, self.find_engine(engine)), title, artist, layout)

    def find_engine(self, name: str | None = None) -> Engine:
        """The engine `name`; by default "bundled", or "lanczos" where the model has no upscaler. Errors as there."""
        return find_engine(name or ("lanczos" if self.upscaler is None else "bundled"), self.upscaler)

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

    # Autocast is switched off: a cover must not depend on the mode that its caller happens to be in.
    @torch.inference_mode()
    def _embed(self, latents: np.ndarray | torch.Tensor, label: str | None = None) -> torch.Tensor:
        z, number = self._tensor(latents), self.check_label(label)
        labels = (torch.full((len(z),), number, device=z.device),) if number else ()
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


def find_model(
    source: str | os.PathLike | None,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    parts: tuple[str, ...] = ("generator",),
) -> Path:
    """The local folder of a model: bundled, a folder, or `parts` of one on the Hub, fetched if need be.

    Raises OSError when there is no such model.
    """
    if source is None or source == "bundled":
        return Path(__file__).parent / "pretrained"
    if Path(source).is_dir():
        return Path(source)
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(source)):
        raise OSError(f"model must be bundled, a folder or a Hub id owner/name, got {str(source)!r}, no folder here")

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        folder = snapshot_download(
            str(source),
            revision=revision,
            local_files_only=local_files_only,
            token=token,
            allow_patterns=["model_index.json", *(f"{part}/*" for part in parts)],
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise OSError(
            f"model {str(source)!r} is neither a folder here nor a model you can read on the Hub; "
            "check its name, or log in with `hf auth login`"
        ) from error
    except (OSError, ValueError) as error:
        raise OSError(
            f"model {str(source)!r} is no folder here, and the Hub cannot be reached; "
            "offline, use bundled or a local folder"
        ) from error
    return Path(folder)


def _load_network(folder: Path, ability: str, variant: str | None) -> ModelMixin:
    config = _read_json(folder / "config.json")
    version = config.get("format_version", 1)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format_version must be at most {FORMAT_VERSION}, got {version} in {folder / 'config.json'}; "
            "upgrade with `pip install -U album-gan`"
        )
    network_class = _network_class(config.get("_class_name"), ability)
    # No memory and no random numbers are spent on weights that the file is about to give.
    with torch.device("meta"):
        network = network_class.from_config(config)

    try:
        network.load_state_dict(read_weights(folder, variant), assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"weights in {folder} do not fit: {reason}; save or fetch the model again") from error
    return network.requires_grad_(False)


def read_weights(folder: Path, variant: str | None = None) -> dict[str, torch.Tensor]:
    """A network's weights as float32, from the file of `variant` or whichever is there: both hold the same values.

    Raises OSError when they are missing, ValueError when they are damaged.
    """
    names = [WEIGHTS, FP16_WEIGHTS] if variant is None else [WEIGHTS.replace(".", f".{variant}.", 1)]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise OSError(f"weights are missing: {folder / names[0]}; save or fetch the model again")
    try:
        weights = safetensors.torch.load_file(file)
    except SafetensorError as error:
        raise ValueError(f"weights in {file} are damaged ({error}); save or fetch the model again") from error
    return {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}


def _network_class(name: object, ability: str) -> type[ModelMixin]:
    """The class of this name among our networks that have `ability`, "paint" or "reach": what a model asks for is
    looked up, never executed."""
    networks = importlib.import_module(f"{__package__}.networks")
    able = {}
    for module in pkgutil.iter_modules(networks.__path__):
        for value in vars(importlib.import_module(f"{networks.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, ModelMixin) and hasattr(value, ability):
                able[value.__name__] = value
    if not isinstance(name, str) or name not in able:
        known = ", ".join(sorted(able))
        raise ValueError(f"_class_name must be one of {known}, got {name!r}; a newer album-gan may know it")
    return able[name]


def _read_json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OSError(f"{file.parent} is no model: {file.name} is missing") from None
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, got text that is not ({error}); save the model again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must be a JSON object, got a {type(content).__name__}; save the model again")
    return content


def _rounded_weights(network: ModelMixin) -> dict[str, torch.Tensor]:
    """State on the CPU, floats as float16; ValueError where a value is not finite or beyond 65504."""
    rounded = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.half()
            if not tensor.isfinite().all():
                raise ValueError(f"weights must be finite and within 65504, {name} is not; the training diverged")
        rounded[name] = tensor.contiguous()
    return rounded


def _to_safetensors(weights: dict[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(weights, metadata={"format": "pt"})


def _write(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
