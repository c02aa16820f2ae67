"""Where models are and how they are written: found or fetched, read with safetensors and JSON alone, never a pickle.

A model is a folder with model_index.json and, for each network, a folder with config.json and safetensors. This file
is published with the weights, beside pipeline.py.
"""

import importlib
import json
import os
import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path

import safetensors.torch
import torch
from diffusers import ModelMixin
from safetensors import SafetensorError

FORMAT_VERSION = 1
BUNDLED = {"bundled": "pretrained", "teaching": "pretrained/teaching"}  # the second is a small DCGAN, for lessons
WEIGHTS = "diffusion_pytorch_model.safetensors"
FP16_WEIGHTS = "diffusion_pytorch_model.fp16.safetensors"
HUB_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


def find_model(
    source: str | os.PathLike | None,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    parts: Iterable[str] = ("generator",),
    variant: str | None = None,
) -> Path:
    """The local folder of a model: one of BUNDLED, a folder, or `parts` of one on the Hub, fetched if need be.

    A part is a network's folder, of which JSON and safetensors (of `variant`) alone are fetched, or a pattern of
    files: "history/*". What the cache holds of a model counts as the model when the Hub cannot be reached.
    Raises OSError when there is no such model, ValueError for a local folder that holds a pickle.
    """
    if source is None or source in BUNDLED:
        return Path(__file__).parent.parent / BUNDLED[source or "bundled"]
    if Path(source).is_dir():
        refuse_pickles(Path(source), parts)
        return Path(source)
    if not re.fullmatch(HUB_ID, str(source)):
        names = ", ".join(BUNDLED)
        raise OSError(f"model must be {names}, a folder or a Hub id owner/name, got {str(source)!r}, no folder here")

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    kinds = ("json", f"{variant}.safetensors" if variant else "safetensors")
    patterns = {part if "." in part or "*" in part else f"{part}/*.{kind}" for part in parts for kind in kinds}
    try:
        return Path(
            snapshot_download(
                str(source),
                revision=revision,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=["model_index.json", *patterns],
            )
        )
    except RevisionNotFoundError as error:
        raise OSError(
            f"model {str(source)!r} has no revision {revision!r}; give a branch, a tag or a whole commit id"
        ) from error
    except RepositoryNotFoundError as error:
        raise OSError(
            f"model {str(source)!r} is neither a folder here nor a model you can read on the Hub; check its name; "
            "for a private one log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, LocalEntryNotFoundError) and hasattr(error, "snapshot_path"):
            return Path(error.snapshot_path)  # such as one variant of two; what is really missing, loading tells
        raise OSError(
            f"model {str(source)!r} is neither a folder here nor in the cache, and the Hub cannot be reached; "
            "load it once while online, or use bundled or a local folder"
        ) from error


def refuse_pickles(folder: Path, parts: Iterable[str] = ()) -> None:
    """Raise ValueError where a file in `folder`, or in one of its `parts`, could hold a pickle, which runs code."""
    for place in (folder, *(folder / part for part in parts)):
        found = sorted(path.name for path in place.glob("*") if path.suffix.lower() in PICKLES)
        if found:
            raise ValueError(
                f"{place} holds {found[0]}, which can run code when it is loaded; models are safetensors and JSON "
                "alone: convert it where you trust it, or delete it"
            )


def check_index(folder: Path, source: object, pipeline: str) -> None:
    """Raise OSError for a folder that is no model, ValueError for one of another `pipeline` than ours."""
    if not (folder / "model_index.json").is_file():
        raise OSError(f"{source} is no album_gan model: model_index.json is missing")
    name = read_json(folder / "model_index.json").get("_class_name")
    name = name[-1] if isinstance(name, list) and name else name
    if name != pipeline:
        raise ValueError(f"{source} is no album_gan model: its model_index.json names {name!r}, not {pipeline!r}")


def load_network(folder: Path, ability: str, variant: str | None = None) -> ModelMixin:
    """A network with `ability`, the method that all of its kind have: "paint" or "reach"; without gradients.

    Raises OSError for missing files, ValueError for damaged ones, for unknown networks and for newer formats.
    """
    config = read_json(folder / "config.json")
    version = config.get("format_version", 1)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format_version must be at most {FORMAT_VERSION}, got {version} in {folder / 'config.json'}; "
            "upgrade with `pip install -U album-gan`"
        )
    kind = network_class(config.get("_class_name"), ability)
    # No memory and no random numbers are spent on weights that the file is about to give.
    with torch.device("meta"):
        network = kind.from_config(config)

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


def network_class(name: object, ability: str) -> type[ModelMixin]:
    """The class of this name among our networks that have `ability`: what a model asks for is looked up, never
    executed. ValueError for any other name."""
    networks = importlib.import_module("album_gan.networks")
    able = {}
    for module in pkgutil.iter_modules(networks.__path__):
        for value in vars(importlib.import_module(f"{networks.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, ModelMixin) and hasattr(value, ability):
                able[value.__name__] = value
    if not isinstance(name, str) or name not in able:
        known = ", ".join(sorted(able))
        raise ValueError(f"_class_name must be one of {known}, got {name!r}; a newer album-gan may know it")
    return able[name]


def read_json(file: Path) -> dict:
    """A JSON object; OSError where there is no such file, ValueError where it holds anything else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OSError(f"{file.parent} is no model: {file.name} is missing") from None
    except ValueError as error:
        raise ValueError(f"{file} must be JSON, got text that is not ({error}); save the model again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must be a JSON object, got a {type(content).__name__}; save the model again")
    return content


def rounded_weights(network: ModelMixin) -> dict[str, torch.Tensor]:
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


def to_safetensors(weights: dict[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(weights, metadata={"format": "pt"})
