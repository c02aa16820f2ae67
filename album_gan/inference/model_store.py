"""Finding, fetching and reading models: safetensors and JSON only, never a pickle.

A model is a folder with model_index.json and, for each network, a folder with config.json and safetensors. This file is
published with the weights, next to pipeline.py.
"""

import contextlib
import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch.overrides import TorchFunctionMode

from ..light_diffusers import ModelMixin
from .atomic import write_atomic
from .latents import shortened

FORMAT_VERSION = 1
BUNDLED = {"bundled": "pretrained", "teaching": "pretrained/teaching"}  # the second is a small DCGAN, for lessons
WEIGHTS = "diffusion_pytorch_model.safetensors"
FP16_WEIGHTS = "diffusion_pytorch_model.fp16.safetensors"
# Published next to the weights: pipeline.py names all the others, because diffusers downloads only those.
PIPELINE_FILES = (
    "pipeline.py", "arguments.py", "atomic.py", "class_labels.py", "finding.py", "inside.py", "latents.py",
    "model_store.py", "output.py", "pixels.py", "precision.py", "upscaling.py", "word_lists.py",
)  # fmt: skip
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
NO_ROOM_IN_CACHE = "make room there, or set HF_HOME to a folder that has room and that you may write to"
CHECKPOINT_FOLDER = re.compile(r"checkpoint-\d+")
# Bounds of what a network's config.json may ask for: far above any of our networks, and far below what hangs.
LARGEST_SIZE, MOST_BLOCKS, MOST_CLASSES, LONGEST_CLASS = 65_536, 1_000, 100_000, 200


def bundled_models() -> list[str]:
    """Names of the BUNDLED models in this installation: a Space has only the teaching model."""
    package = Path(__file__).parent.parent
    return [name for name, folder in BUNDLED.items() if (package / folder / "model_index.json").exists()]


def find_model(
    source: str | os.PathLike | None,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    parts: Sequence[str] = ("generator",),
    variant: str | None = None,
    cache_dir: str | Path | None = None,
) -> Path:
    """The local folder of a model: one of BUNDLED, a folder, or `parts` of a model on the Hub, downloaded if missing.

    A part is a network's folder or a glob pattern, "history/*". Of a network, JSON and one file of weights are
    downloaded: those of `variant`, else float32, or float16 where there is nothing else. When the Hub cannot be
    reached, the cached part of a model counts as the model. Raises OSError if the model does not exist or cannot be
    downloaded, ValueError for a local folder that contains a pickle or is a run's checkpoint.
    """
    if source is None or source in BUNDLED:
        return Path(__file__).parent.parent / BUNDLED[source or "bundled"]
    if str(source) and Path(source).is_dir():  # an empty name, of an unset variable, would be the current folder
        refuse_pickles(Path(source), parts)
        if (Path(source) / "state.safetensors").exists() and not (Path(source) / "model_index.json").exists():
            raise ValueError(
                f"model must be a model's folder, but {source} is a checkpoint, for --resume_from_checkpoint; "
                f"the run's model is in {Path(source).parent}"
            )
        return Path(source)
    if not is_hub_id(source):
        names = ", ".join(BUNDLED)
        raise OSError(
            f"model must be {names}, a folder or a Hub id owner/name, got {str(source)!r}, and there is no such folder"
        )

    download = partial(_download, str(source), local_files_only=local_files_only, token=token, cache_dir=cache_dir)
    networks = [part for part in parts if "." not in part and "*" not in part]
    kinds = ("json", f"{variant}.safetensors" if variant else "safetensors")
    patterns = [f"{part}/*.{kind}" for part in networks for kind in kinds]
    patterns += ["model_index.json", *(part for part in parts if part not in networks)]
    folder = download(patterns, [] if variant else [f"*/{FP16_WEIGHTS}"], revision)
    # A repository may have float16 alone.
    bare = [part for part in networks if (folder / part).is_dir() and not any((folder / part).glob("*.safetensors"))]
    if bare and not variant:
        download([f"{part}/{FP16_WEIGHTS}" for part in bare], [], folder.name)  # of the same commit
    return folder


def _download(
    repo_id: str,
    patterns: list[str],
    left_out: list[str],
    revision: str | None,
    local_files_only: bool,
    token: str | bool | None,
    cache_dir: str | Path | None,
) -> Path:
    """The folder of the files of a repository that match `patterns` and not `left_out`; OSErrors of one line."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=patterns,
                ignore_patterns=left_out,
                cache_dir=cache_dir,
            )
        )
    except RevisionNotFoundError as error:
        raise OSError(
            f"model {repo_id!r} has no revision {revision!r}; give a branch, a tag or a whole commit id"
        ) from error
    except GatedRepoError as error:  # a RepositoryNotFoundError too
        raise OSError(
            f"model {repo_id!r} is gated: accept its conditions at https://huggingface.co/{repo_id}, and log in as the "
            "same user with `hf auth login` or set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise OSError(
            f"model {repo_id!r} is neither a folder here nor a model you can read on the Hub; check its name; "
            "for a private one log in with `hf auth login` or set HF_TOKEN "
            f"(the Hub responds: {hub_answer(error)})"  # such as that the token has expired
        ) from error
    except (hub_http_error(), OSError, ValueError) as error:
        if isinstance(error, LocalEntryNotFoundError) and hasattr(error, "snapshot_path"):
            return Path(error.snapshot_path)  # such as one variant of two; loading reports what is really missing
        if is_local_error(error):
            raise OSError(
                f"model {repo_id!r} could not be downloaded to {cache_dir or HF_HUB_CACHE}: "
                f"{os.strerror(error.errno or 0)}; {NO_ROOM_IN_CACHE}"
            ) from error
        answer = hub_answer(error) or hub_answer(error.__cause__ or error)
        if answer is None and not local_files_only:  # a proxy that refuses, or a connection that breaks off
            with contextlib.suppress(OSError):
                cached = _download(repo_id, patterns, left_out, revision, True, token, cache_dir)
                # A download that broke off has left a folder, too.
                if all(any(cached.glob(pattern)) for pattern in ("model_index.json", *patterns[:2])):
                    return cached
        if answer and answer.startswith("401"):
            raise OSError(
                f"model {repo_id!r} could not be downloaded, as the Hub refuses the token ({answer}); log in again "
                "with `hf auth login`, or unset HF_TOKEN, as public models need none"
            ) from error
        if answer:
            raise OSError(
                f"model {repo_id!r} could not be downloaded; the Hub responds: {answer}; try again later, or use "
                "bundled or a local folder"
            ) from error
        raise OSError(
            f"model {repo_id!r} is neither a folder here nor in the cache, and the Hub cannot be reached; "
            "load it once while online, or use bundled or a local folder"
        ) from error


def history_sheets(folder: Path) -> list[Path]:
    """Sheets of samples from a model's training, history/<images seen>.webp, first to last; empty if it has none."""
    return sorted((folder / "history").glob("[0-9]*.webp"))


def is_hub_id(name: object) -> bool:
    """Whether `name` has the form of a repository on the Hub, owner/name.

    A path of two parts has that form too, so check first whether it exists. That of a checkpoint, runs/checkpoint-500,
    is never an id: if it is missing, the Hub is not queried.
    """
    text = str(name)
    return bool(HUB_ID.fullmatch(text)) and not CHECKPOINT_FOLDER.fullmatch(text.rpartition("/")[2])


def hub_http_error() -> type[Exception]:
    """The base class of the errors of huggingface_hub's HTTP library, which depends on its version."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")


def hub_answer(error: BaseException) -> str | None:
    """What the Hub responded, "403 Private repository storage limit reached", if that is what an error is about."""
    response: Any = getattr(error, "response", None)
    if response is None:
        return None
    said = getattr(error, "server_message", None) or response.reason_phrase
    return f"{response.status_code} {' '.join(said.split())[:200]}".rstrip(".")


def is_local_error(error: BaseException) -> TypeGuard[OSError]:
    """Whether an error is this system's, such as of a full disk, and not of a connection."""
    connection = isinstance(error, (ConnectionError, TimeoutError))
    return isinstance(error, OSError) and not connection and (error.errno or 0) > 0


def check_hub_id(value: object, name: str = "repo_id") -> None:
    """Raise ValueError, calling the value `name`, unless it has the form owner/name."""
    if not is_hub_id(value):
        raise ValueError(f"{name} must be owner/name, got {str(value)[:80]!r}; e.g. me/album-covers")


def refuse_pickles(folder: Path, parts: Iterable[str] = ()) -> None:
    """Raise ValueError if a file in `folder`, or in one of its `parts`, could hold a pickle, which can run code."""
    for place in (folder, *(folder / part for part in parts)):
        found = sorted(path.name for path in place.glob("*") if path.suffix.lower() in PICKLES)
        if found:
            raise ValueError(
                f"{place} holds {found[0]}, which can run code when it is loaded; models are safetensors and JSON "
                "alone: convert it where you trust it, or delete it"
            )


def check_index(folder: Path, source: object, pipeline: str) -> dict[str, Any]:
    """The model_index.json of an album_gan model, of the class `pipeline`.

    Raises OSError unless `folder` holds a model, ValueError unless it has this class.
    """
    if not (folder / "model_index.json").is_file():
        raise OSError(f"{source} is not an album_gan model: model_index.json is missing")
    index = read_json(folder / "model_index.json")
    name = index.get("_class_name")
    name = name[-1] if isinstance(name, list) and name else name
    if name != pipeline:
        raise ValueError(f"{source} is not an album_gan model: its model_index.json names {name!r}, not {pipeline!r}")
    return index


def load_network(folder: Path, ability: str, variant: str | None = None) -> ModelMixin:
    """Load a network that has the method `ability`, "paint" (generators) or "reach" (upscalers), without gradients.

    Raises OSError for missing files, ValueError for damaged ones, unknown networks, impossible settings and newer
    formats.
    """
    file = folder / "config.json"
    config = read_json(file)
    check_format(config.get("format_version", 1), file)
    kind = network_class(config.get("_class_name"), ability)
    check_config(kind, config, file)
    try:
        # On "meta" no memory and no random numbers are spent on weights that the file is about to provide.
        with torch.device("meta"), _Uninitialised():
            network = kind.from_config(config)
    except Exception as error:  # each network rejects impossible settings in its own way
        raise ValueError(f"{file} describes no {kind.__name__} that can be built: {on_one_line(error)}") from error

    try:
        network.load_state_dict(read_weights(folder, variant), assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"weights in {folder} do not fit: {on_one_line(error)}; save or download the model again"
        ) from error
    return network.requires_grad_(False)


class _Uninitialised(TorchFunctionMode):
    """Builds layers without initial values: on "meta", `normal_` loads torch's compiler, a second (2.13)."""

    def __torch_function__(
        self, function: Callable, types: object, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call what torch calls, except `normal_`, which gets its tensor by name."""
        kwargs = kwargs or {}
        return kwargs["tensor"] if function is torch.nn.init.normal_ else function(*args, **kwargs)


def check_format(version: object, file: Path) -> None:
    """Raise ValueError unless this version of album_gan reads files of the format `version`."""
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version must be a whole number from 1, got {shortened(version)} in {file}")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"format_version must be at most {FORMAT_VERSION}, got {version} in {file}; "
            "upgrade with `pip install -U album-gan`"
        )


def check_config(network: type[ModelMixin], config: dict, file: Path) -> None:
    """Raise ValueError, naming the field, for a number or a class that no network can be built with.

    Unchecked, a malicious config.json could ask for ten million layers, and building them would never end.
    """
    for name, parameter in inspect.signature(network.__init__).parameters.items():
        rule = _broken_rule(name, parameter.annotation, config) if name in config else None
        if rule:
            raise ValueError(
                f"{name} must be {rule}, got {shortened(config[name])} in {file}; save or download the model again"
            )


def _broken_rule(name: str, annotation: object, config: dict) -> str | None:
    """The rule that a field of a config breaks, by the type of the network's argument; None if it keeps it."""
    value = config[name]
    if type(None) in get_args(annotation):
        if value is None:
            return None
        annotation = get_args(annotation)[0]
    if annotation is bool and not isinstance(value, bool):
        return "true or false"
    if annotation is int and name != "format_version":
        least = 0 if name.endswith("_codes") else 1  # InfoGAN may have none of a kind
        most = MOST_BLOCKS if name == "blocks" else LARGEST_SIZE
        if type(value) is not int or not least <= value <= most:
            return f"a whole number from {least} to {most}"
    if annotation == Sequence[str]:
        names = value if isinstance(value, list) else [None]
        good = all(isinstance(one, str) and 0 < len(one) <= LONGEST_CLASS for one in names)
        if not good or len(names) > MOST_CLASSES or len(set(names)) < len(names):
            return f"a list of at most {MOST_CLASSES} different names"
    if annotation == Sequence[int]:  # how many covers each class has, and label 0, none, before them
        count = len(config.get("classes") or ()) + 1
        if value != [] and not _counts(value, count):
            return f"empty or a list of {count} whole numbers, not all 0"
    if annotation == Mapping[str, Sequence[int]]:  # the same, for each further name
        count = len(config.get("classes") or ()) + 1
        good = isinstance(value, dict) and len(value) <= MOST_CLASSES
        if not good or not all(0 < len(key) <= LONGEST_CLASS and _counts(one, count) for key, one in value.items()):
            return f"names, each with a list of {count} whole numbers, not all 0"
    return None


def _counts(value: Any, count: int) -> bool:
    good = isinstance(value, list) and all(type(one) is int and 0 <= one < 2**53 for one in value)
    return good and len(value) == count and sum(value) > 0


def read_weights(folder: Path, variant: str | None = None) -> dict[str, torch.Tensor]:
    """A network's weights as float32, from the file of `variant`, or whichever exists: both hold the same values.

    Raises OSError when they are missing, ValueError when they are damaged.
    """
    names = [WEIGHTS, FP16_WEIGHTS] if variant is None else [WEIGHTS.replace(".", f".{variant}.", 1)]
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    if file is None:
        raise OSError(f"weights are missing: {folder / names[0]}; save or download the model again")
    try:
        weights = safetensors.torch.load_file(file)
    except SafetensorError as error:
        raise ValueError(f"weights in {file} are damaged ({error}); save or download the model again") from error
    return {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}


def network_class(name: object, ability: str) -> type[ModelMixin]:
    """The class called `name` among our networks that have the method `ability`.

    Names in a model are looked up, never executed. Raises ValueError for unknown ones.
    """
    networks = importlib.import_module("album_gan.networks")
    able = {}
    for module in pkgutil.iter_modules(networks.__path__):
        for value in vars(importlib.import_module(f"{networks.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, ModelMixin) and hasattr(value, ability):
                able[value.__name__] = value
    if not isinstance(name, str) or name not in able:
        known = ", ".join(sorted(able))
        raise ValueError(f"_class_name must be one of {known}, got {shortened(name)}; a newer album-gan may know it")
    return able[name]


def read_json(file: Path) -> dict:
    """Read a JSON object. Raises OSError if the file is missing, ValueError if it contains anything else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OSError(f"{file.parent} is not a model: {file.name} is missing") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{file} must be JSON, got text that is not ({error}); save or download the model again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{file} must be a JSON object, got a {type(content).__name__}; save or download the model again"
        )
    return content


def rounded_weights(network: ModelMixin) -> dict[str, torch.Tensor]:
    """The network's state on the CPU, floats as float16. Raises ValueError for values not finite or beyond 65504."""
    rounded = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.half()
            if not tensor.isfinite().all():
                raise ValueError(f"weights must be finite and within 65504, {name} is not; the training diverged")
        rounded[name] = tensor.contiguous()
    return rounded


def uncompiled(network: ModelMixin) -> ModelMixin:
    """The network inside one of `torch.compile`, which has other keys and another class; any other one itself."""
    return getattr(network, "_orig_mod", network)  # type: ignore[return-value]  # a Module, as the default


def write_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a network's weights as float16 and as float32; both files hold the values rounded to float16.

    Raises OSError if they cannot be written.
    """
    halves = {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}
    widened = {name: t.float() if t.is_floating_point() else t for name, t in halves.items()}
    write_atomic(folder / FP16_WEIGHTS, to_safetensors(halves))
    write_atomic(folder / WEIGHTS, to_safetensors(widened))


def write_code(kind: type, folder: Path) -> list[str]:
    """Write the source file of a network's class next to its weights; returns [module, class], diffusers' name for it.

    The file keeps its name: diffusers copies the modules of all components of a model into one folder. A class without
    a file, from a notebook, is only named.
    """
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file:
        write_atomic(folder / Path(file).name, for_diffusers(Path(file).read_text(encoding="utf-8")))
    return [kind.__module__.rpartition(".")[2], kind.__name__]


def write_pipeline_code(folder: Path) -> None:
    """Write the files of PIPELINE_FILES, which let diffusers alone load a model."""
    for name in PIPELINE_FILES:
        code = Path(__file__).with_name(name).read_text(encoding="utf-8")
        write_atomic(folder / name, for_diffusers(code))


def for_diffusers(code: str) -> str:
    """Our source code with diffusers itself instead of `light_diffusers`; other code unchanged."""

    def imports(match: re.Match) -> str:
        names = [name.strip() for name in match[1].split(",")]
        inside = [name for name in names if name == "register_to_config"]
        lines = [f"from diffusers import {', '.join(name for name in names if name not in inside)}"]
        return "\n".join(lines + [f"from diffusers.configuration_utils import {name}" for name in inside])

    return re.sub(r"^from \.\.light_diffusers import (.+)$", imports, code, flags=re.MULTILINE)


def to_safetensors(weights: dict[str, torch.Tensor]) -> bytes:
    """The content of a safetensors file with these weights."""
    return safetensors.torch.save(weights, metadata={"format": "pt"})


def on_one_line(error: BaseException) -> str:
    """What an error says, shortened, as part of another message."""
    return " ".join(str(error).split())[:200] or type(error).__name__
