"""AlbumCoverPipeline: seeds in, covers out.

    pipe = AlbumCoverPipeline.from_pretrained()
    pipe(seeds=[42, "velvet-otter-042"]).images

A cover depends only on the model, the seed, the truncation and the label. This file is published with the weights, next
to those of `model_store.PIPELINE_FILES`, and imports nothing else from this package.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from ..light_diffusers import DiffusionPipeline, ModelMixin
from .arguments import (
    Seeds,
    best_device,
    check_dtype,
    chosen_list,
    device_of,
    device_of_map,
    one_of,
    random_seeds,
    seed_list,
)
from .atomic import replacing_files, write_atomic
from .class_labels import ClassLabels
from .finding import STEPS, Found, find
from .inside import COMPANION_SEEDS, Layer, layers_while, scores_of
from .latents import (
    DEFAULT_TRUNCATION,
    Chosen,
    check_truncation,
    latents_of,
    name_of,
    seed_of,
    smooth_path,
    truncate,
    typed_for,
)
from .model_store import (
    BUNDLED,
    check_index,
    find_model,
    load_network,
    rounded_weights,
    to_safetensors,
    uncompiled,
    write_code,
    write_pipeline_code,
    write_weights,
)
from .output import AlbumCoverOutput
from .pixels import from_zero_one, to_pil, to_zero_one
from .precision import full_precision
from .upscaling import Engine, check_sizes, find_engine, upscale
from .word_lists import NOUNS  # noqa: F401  latents.py needs it, and diffusers downloads only what this file names

Labels = int | str | None
Array = np.ndarray | torch.Tensor


class AlbumCoverPipeline(DiffusionPipeline):
    """Draws album covers from seeds with one generator, and enlarges them.

    `generator` is a ModelMixin with `embed` (B, latent_dim) -> stem (B, C, h, w), `paint` stem -> images
    (B, 3, R, R) in [-1, 1], the buffer `stem_mean` (C, h, w), and `resolution`, `latent_dim` and `format_version` in
    its config. Stems are 4x4 in most networks. `upscaler`, where there is one, enlarges (B, 3, H, W) in [-1, 1] and
    has `reach` (see `upscaling.one_pass`). Both draw in evaluation mode.
    """

    _optional_components: ClassVar[list[str]] = ["upscaler"]
    generator: Any
    upscaler: Any
    _discriminator: Any = None  # loaded when it is first asked
    _find_discriminator: partial[Path] | None = None  # in its model's folder, which may be on the Hub

    def __init__(self, generator: ModelMixin, upscaler: ModelMixin | None = None) -> None:
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
        torch_dtype: torch.dtype | None = None,
        device_map: str | torch.device | None = None,
        revision: str | None = None,
        local_files_only: bool | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
    ) -> "AlbumCoverPipeline":
        """Load a model: bundled (the default), teaching (a small DCGAN), both in this package, a folder, or a Hub id.

        No code is loaded with it. `variant` "fp16" loads that file; both hold the same values. Weights are float32
        in memory, on a GPU (cuda or mps) where there is one, unless `dtype` and `device` say otherwise; diffusers'
        names for these two, `torch_dtype` and `device_map`, do the same.
        `revision`, `local_files_only`, `token` and `cache_dir` are for the Hub.
        Raises OSError if the model does not exist, ValueError if it is not an album_gan model or is damaged.
        """
        dtype = one_of("dtype", dtype, "torch_dtype", torch_dtype)
        check_dtype(dtype)
        if variant not in (None, "fp16"):
            raise ValueError(f"variant must be fp16 or None, the two that models have, got {variant!r}")
        device = one_of("device", device_of(device), "device_map", device_of_map(device_map))
        folder = find_model(
            source, revision, bool(local_files_only), token, ("generator", "upscaler"), variant, cache_dir
        )
        index = check_index(folder, source or "bundled", cls.__name__)
        # A model without its own upscaler, such as a training run's, takes the bundled one. It may have been
        # saved over a model with one, whose folder is still there.
        own = [] if index.get("upscaler") == [None, None] else [folder]
        places = [place / "upscaler" for place in (*own, find_model("bundled"))]
        place = next((place for place in places if place.is_dir()), None)
        pipeline = cls(
            load_network(folder / "generator", "paint", variant),
            None if place is None else load_network(place, "reach", variant),
        )
        # In the same folder, or of the same commit of the Hub, which names the folder: by then a relative path may mean
        # another one, and a branch may have moved on.
        local = source is None or source in BUNDLED or Path(source).is_dir()
        pipeline._find_discriminator = partial(
            find_model, folder.resolve() if local else source, folder.name, bool(local_files_only),
            parts=("discriminator",), variant="fp16", cache_dir=cache_dir, token=token,
        )  # fmt: skip
        if dtype is not None:
            pipeline.to(dtype)
        return pipeline.to(best_device() if device is None else device)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the networks to a device or a dtype, as `torch.nn.Module.to` does."""
        retyped = any(isinstance(value, (torch.dtype, torch.Tensor)) for value in (*args, *kwargs.values()))
        if retyped:
            _ = self._fingerprint  # of the weights as they are: rounded ones would give another
        return super().to(*args, **kwargs)

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """diffusers' own step of loading; it would warn about the entry for AutoModel, which is not the pipeline's."""
        own = {name: value for name, value in config_dict.items() if name != "auto_map"}
        return super().extract_init_dict(own, **kwargs)  # type: ignore[misc]  # only diffusers calls it, and has it

    def save_pretrained(self, save_directory: str | os.PathLike) -> None:
        """Write the model as float32 and float16 safetensors, both holding the values rounded to float16.

        The code is written next to them, so that diffusers alone loads the folder. A model that is saved over stays
        until the new one is complete, and model_index.json, which makes a folder a model, is replaced last. The weights
        in memory keep their precision. Raises ValueError for weights that float16 cannot hold, OSError where files
        cannot be written.
        """
        index: dict[str, Any] = {"_class_name": ["pipeline", type(self).__name__]}
        index["_diffusers_version"] = version("diffusers")
        with replacing_files(save_directory, "model_index.json") as new:
            for name, network in (("generator", self.generator), ("upscaler", self.upscaler)):
                index[name] = [None, None]
                if network is None:
                    continue
                network = uncompiled(network)
                (new / name).mkdir()
                write_weights(new / name, rounded_weights(network))
                write_atomic(new / name / "config.json", network.to_json_string())
                index[name] = write_code(type(network), new / name)
            index["auto_map"] = {"AutoModel": ".".join(index["generator"])}  # for the bare generator
            write_pipeline_code(new)
            write_atomic(new / "model_index.json", json.dumps(index, indent=2) + "\n")

    @property
    def fingerprint(self) -> str:
        """8 hex digits that identify this model: the first of the SHA-256 of its fp16 weights file.

        Computed once: build a new pipeline after changing weights. Raises ValueError for weights that diffusers has
        loaded in bfloat16, which rounds them; `to` remembers the fingerprint that they had before.
        """
        if self._fingerprint is None:
            raise ValueError("fingerprint is of weights in float32 or float16, got bfloat16; load them, then call `to`")
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str | None:
        """`fingerprint`, or None for weights in bfloat16, which are not the model's."""
        if self.generator.dtype is torch.bfloat16:
            return None
        return hashlib.sha256(to_safetensors(rounded_weights(uncompiled(self.generator)))).hexdigest()[:8]

    @property
    def labels(self) -> list[str]:
        """The classes that `label` may name; empty for an unconditional model."""
        return self._classes.names

    @property
    def class_counts(self) -> list[int]:
        """Training covers of no class, then of each of `labels`; empty where the model does not record them."""
        return self._classes.counts

    @property
    def mixtures(self) -> dict[str, list[int]]:
        """More names for `label`, such as genres, each with its counts of training covers of no class and of `labels`.

        Each seed draws its own class from such a mixture, as often as the covers of that name had it.
        """
        return self._classes.mixtures

    @property
    def all_labels(self) -> list[str]:
        """All values of `label`: the names in `labels`, then those in `mixtures`."""
        return self._classes.choices

    @property
    def menu_labels(self) -> list[str]:
        """Those of `all_labels` to offer in a menu: `mixtures`, then `labels` unless they are too many."""
        return self._classes.menu

    def check_label(self, label: Any) -> None:
        """Raise ValueError unless the label is one of `all_labels`, or None or "" for each seed's own."""
        self._classes.check(label)

    def classes_of(self, seeds: Seeds, label: str | None = None) -> list[int]:
        """The class number of each seed's cover, under a label of `all_labels` or without one.

        Class n is the n-th of `labels`, counted from 1, as the network takes it; 0 is any, for seeds without a label of
        a model without `class_counts`. (`class_labels` takes names, or indices into `labels`, counted from 0.)
        """
        return self._classes.of_seeds(seed_list(seeds), label)

    def settings(
        self,
        seed: int | str,
        truncation: float = DEFAULT_TRUNCATION,
        label: str | None = None,
        typed: str | None = None,
    ) -> dict[str, Any]:
        """Everything needed to draw a cover again, for the text inside its PNG (`pixels.png_bytes`).

        `typed` are the words typed for the seed; words that choose another seed are left out. `model` is None for
        rounded weights, whose fingerprint is not known.
        """
        seed = seed_of(seed)
        words = typed_for(seed, typed)
        return {
            "format": 1,
            "model": self._fingerprint,
            "seed": seed,
            "name": name_of(seed),
            "truncation": check_truncation(truncation),
            "label": label or None,
            **({"typed": words} if words else {}),
        }

    def latents_of(self, seeds: Seeds) -> torch.Tensor:
        """The latents z (N, latent_dim) of seeds, standard normal, float32."""
        return torch.from_numpy(latents_of(seed_list(seeds), self.generator.config.latent_dim))

    def stems_of(
        self, seeds: Seeds | None = None, label: str | None = None, *, latents: Array | None = None
    ) -> torch.Tensor:
        """The stems (N, C, h, w) of seeds, or of latents (N, latent_dim), not truncated.

        Covers are truncated and interpolated as stems, and are best edited as stems. Raises ValueError for a label
        that the model does not know.
        """
        if (seeds is None) == (latents is None):
            raise ValueError("stems need seeds or latents; pass one of them")
        read = None if seeds is None else seed_list(seeds)  # once: an iterator of seeds gives them only once
        z = self._checked(latents, "latents", self._latent_shape) if read is None else self.latents_of(read)
        numbers = self._classes.numbers([label] * len(z), read)
        return self._embed(z, numbers).clone()  # the clone is free of inference mode, so gradients may pass it

    def __call__(
        self,
        seeds: Seeds | None = None,
        *,
        num_images: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Array | None = None,
        stems: Array | None = None,
        truncation: float = DEFAULT_TRUNCATION,
        label: str | None = None,
        class_labels: Labels | Iterable[Labels] | Array = None,
        batch_size: int = 16,
        output_type: str = "pil",
        return_dict: bool = True,
        progress: bool = False,
    ) -> AlbumCoverOutput:
        """Draw covers of `seeds`: a seed, a name, any words, several of them, or a list as text, "1,2,7-9".

        Words such as "The Flat Tyres" choose a seed (`latents.read_seeds`) and stay the cover's name.

        Or of `latents` (B, latent_dim), or of `stems` (B, C, h, w); truncation, 0 to 1.5, acts on these too.
        With none of the three, `num_images` seeds (default 1) are drawn from `generator`, or from torch's global one;
        a list of generators draws one seed each.
        `label` is one of `labels` or `mixtures`, for all covers. Without one, each seed draws its own class as often as
        the training covers had it, and latents are covers of any class. Stems contain theirs already.
        `class_labels` is diffusers' name for it: names or indices into `labels` from 0, for all covers or for each.
        output_type: "pil" (RGB pictures), "np" (B, R, R, 3) or "pt" (B, 3, R, R), both float32 in 0..1.
        As in diffusers, `return_dict=False` returns the tuple (images,).
        Raises ValueError for a seed, truncation, label, shape or option out of range.
        """
        given = [
            name for name, value in (("seeds", seeds), ("latents", latents), ("stems", stems)) if value is not None
        ]
        if len(given) > 1:
            raise ValueError(f"covers need seeds, latents or stems, got {' and '.join(given)}; pass one of them")
        if given and (num_images is not None or generator is not None):
            random = "num_images" if num_images is not None else "generator"
            raise ValueError(f"{random} is for covers of random seeds, got {given[0]} too; pass one of them")
        if stems is not None and (label or class_labels is not None):
            named = "label" if label else "class_labels"
            raise ValueError(f"{named} is for covers of seeds or latents, got stems, which contain one; leave it out")
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type must be pil, np or pt, got {output_type!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}; 16 is usual")

        chosen: list[Chosen] | None = None
        drawn_seeds: list[int] | None = None
        rows: list[int] | torch.Tensor
        if stems is not None:
            rows = self._checked(stems, "stems", tuple(self.generator.stem_mean.shape))
        elif latents is not None:
            rows = self._checked(latents, "latents", self._latent_shape)
        else:
            chosen = chosen_list(random_seeds(num_images, generator) if seeds is None else seeds)
            rows = drawn_seeds = [seed for seed, _ in chosen]
        asked = self._classes.asked(label, class_labels, len(rows))
        numbers = self._classes.numbers(asked, drawn_seeds)

        parts: list[Any] = []
        for start in tqdm(range(0, len(rows), batch_size), unit="batch", disable=not progress):
            batch = rows[start : start + batch_size]
            if stems is None:
                z = batch if isinstance(batch, torch.Tensor) else self.latents_of(batch)
                batch = self._embed(z, numbers[start : start + batch_size])
            drawn = self._paint(truncate(self._tensor(batch), self.generator.stem_mean, truncation))
            parts += to_pil(drawn) if output_type == "pil" else [to_zero_one(drawn)]
        images: Any = parts if output_type == "pil" else torch.cat(parts)
        if output_type == "np":
            images = images.permute(0, 2, 3, 1).cpu().numpy()
        settings = None
        if chosen is not None:  # a class that a seed draws by itself is not a setting
            settings = [
                self.settings(seed, truncation, name, typed) for (seed, typed), name in zip(chosen, asked, strict=True)
            ]
        output = AlbumCoverOutput(images=images, seeds=drawn_seeds, settings=settings)
        return output if return_dict else (images,)  # type: ignore[return-value]

    def interpolate(
        self,
        seeds: Seeds,
        frames: int = 60,
        loop: bool = True,
        truncation: float = DEFAULT_TRUNCATION,
        batch_size: int = 16,
        label: str | None = None,
        size: int | None = None,
    ) -> Iterator[Image.Image]:
        """Frames of a smooth path from seed to seed, drawn as they are consumed; a loop returns to the first.

        With `size`, in pixels, they are enlarged as by `upscale`: 512 takes ten times as long as 128. Raises ValueError
        at once, not at the first frame, for fewer than 2 seeds or frames, a wrong seed, truncation or label, batch_size
        below 1, or a size below the generator's or above 4096.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}; 16 is usual")
        if size is not None:
            check_sizes(self.generator.config.resolution, size)
        points = truncate(self.stems_of(seeds, label), self.generator.stem_mean, truncation)
        path = smooth_path(points.float().cpu().numpy(), frames, loop)

        def draw() -> Iterator[Image.Image]:
            for start in range(0, frames, batch_size):
                yield from to_pil(self._paint(self._tensor(path[start : start + batch_size])))

        return draw() if size is None else (self.upscale(frame, size) for frame in draw())

    def upscale(self, image: Image.Image, size: int, engine: str | None = None) -> Image.Image:
        """Enlarge a picture until its longer side has `size` pixels. See `upscaling.upscale` and `find_engine`.

        Titles are set on the finished picture: `album_gan.editing.typography.set_type`.
        """
        return upscale(image, size, self.find_engine(engine))

    def find_engine(self, name: str | None = None) -> Engine:
        """The engine called `name`; by default "bundled", or "lanczos" for a model without an upscaler.

        Errors as `upscaling.find_engine`.
        """
        return find_engine(name or ("lanczos" if self.upscaler is None else "bundled"), self.upscaler, self.device)

    def find(self, picture: Image.Image, steps: int = STEPS) -> Found:
        """The seed and the stem whose covers are nearest to a picture: some seconds. See `finding.find`."""
        return find(self, picture, steps)

    def layers(self, seed: int | str, truncation: float = DEFAULT_TRUNCATION, label: str | None = None) -> list[Layer]:
        """The output of each layer of the generator for a seed's cover, in order; see `inside.Layer`.

        Raises ValueError for a seed, truncation or label out of range.
        """
        if len(seeds := seed_list(seed)) != 1:
            raise ValueError(f"layers are of one seed, got {len(seeds)}; call it for each")
        return layers_while(lambda: self(seeds, truncation=truncation, label=label), self.generator)

    def critic(self, images: Image.Image | Sequence[Image.Image]) -> list[float]:
        """The discriminator's scores of pictures, above 0 for pictures that look real.

        Pictures are cropped to squares and resized. This is the discriminator at the end of training, good at spotting
        its generator's covers; scores of two models cannot be compared. Those of wgan, wgan_gp, progressive and r3gan
        only rank pictures, and those of began are errors, lower for a picture that looks more real. Raises OSError for
        a model without its discriminator, ValueError for a pipeline that `from_pretrained` has not loaded.
        """
        if self._find_discriminator is None:
            raise ValueError("critic needs the model's folder: load it with album_gan's AlbumCoverPipeline")
        pictures = [images] if isinstance(images, Image.Image) else list(images)
        if self._discriminator is None:
            source = self._find_discriminator.args[0]
            try:
                folder = self._find_discriminator() / "discriminator"
            except OSError as error:
                raise OSError(f"critic could not load the discriminator of {source}: {error}") from error
            if not (folder / "config.json").is_file():
                where = "" if Path(source).is_dir() else "; from the Hub it is downloaded when critic is first called"
                raise OSError(f"{source} has no discriminator; train.py and push save one{where}")
            self._discriminator = load_network(folder, "forward", "fp16").eval().to(self.device)
        drawn = self(COMPANION_SEEDS, truncation=1.0, output_type="pt").images
        return scores_of(pictures, self._discriminator, from_zero_one(drawn))

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copies: without the token, which must not end up in files."""
        state = self.__dict__.copy()
        if self._find_discriminator is not None:
            state["_find_discriminator"] = partial(self._find_discriminator, token=None)
        return state

    @property
    def _classes(self) -> ClassLabels:
        return ClassLabels.of(self.generator.config)

    @property
    def _latent_shape(self) -> tuple[int]:
        return (self.generator.config.latent_dim,)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values).to(self.generator.device, self.generator.dtype)

    def _checked(self, values: Any, name: str, shape: tuple) -> torch.Tensor:
        values = torch.as_tensor(values)
        if values.ndim == 0 or len(values) == 0 or tuple(values.shape[1:]) != shape:
            raise ValueError(f"{name} must have the shape (B, {', '.join(map(str, shape))}), got {tuple(values.shape)}")
        if not torch.isfinite(values).all():
            raise ValueError(f"{name} must be finite numbers, got some that are infinite or not numbers")
        return values

    @torch.inference_mode()
    def _embed(self, latents: Array, numbers: Sequence[int]) -> torch.Tensor:
        z = self._tensor(latents)
        labels = (torch.tensor(numbers, device=z.device),) if any(numbers) else ()
        with full_precision(self.generator.device):
            return self.generator.eval().embed(z, *labels)

    @torch.inference_mode()
    def _paint(self, stems: torch.Tensor) -> torch.Tensor:
        with full_precision(self.generator.device):
            return self.generator.eval().paint(stems)
