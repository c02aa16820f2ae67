"""Complete training state on disk, as safetensors and JSON, written atomically."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..hub.run_checkpoints import FORMAT_VERSION, checkpoints, sha256_of
from ..inference.atomic import flush_to_disk, replace_folder


def snapshot(modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state, copied to the CPU, so that training can continue while it is written."""
    tensors = {}
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            tensors[f"{name}.{key}"] = tensor
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            for key, tensor in moments.items():
                tensors[f"{name}.{index}.{key}"] = tensor
    return {
        key: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for key, tensor in tensors.items()
    }


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    write_beside: Callable[[Path], object] | None = None,
) -> None:
    """Write `folder` under a temporary name, flush it to disk, and rename it, replacing an existing one.

    `tensors` come from `snapshot`. `write_beside` may write more into the folder. Raises OSError, without a remedy, if
    the disk is full; the existing folder is kept then.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        weights = temporary / "state.safetensors"
        save_file(dict(tensors), weights)
        record = {"format_version": FORMAT_VERSION, "sha256": sha256_of(weights), **state}
        about = temporary / "state.json"
        about.write_text(json.dumps(record, indent=2), encoding="utf-8")
        weights.chmod(about.stat().st_mode)  # safetensors lets only the owner read what it writes
        if write_beside is not None:
            write_beside(temporary)
        for path in (*temporary.rglob("*"), temporary):
            flush_to_disk(path)
        replace_folder(temporary, folder, folder.with_name(f".{folder.name}.old"))
        flush_to_disk(folder.parent)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"{folder.name} could not be written into {folder.parent} ({' '.join(str(error).split())})"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def tidy_up(output_dir: Path) -> None:
    """Clean up after a run that was killed while it wrote a checkpoint; only for the process that claimed the folder.

    Deletes what is half-written, and what has been replaced; a folder that was not yet replaced gets its name back.
    """
    for name in ("checkpoint-[0-9]*", "best"):
        for old in output_dir.glob(f".{name}.old"):
            folder = output_dir / old.name[1 : -len(".old")]
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(old, folder)
        for half_written in output_dir.glob(f".{name}.tmp"):
            shutil.rmtree(half_written, ignore_errors=True)


def load_checkpoint(
    folder: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Copy a checkpoint into existing modules and optimisers; ValueError if it does not fit."""
    tensors = load_file(folder / "state.safetensors")
    for name, module in modules.items():
        _load_module(module, _with_prefix(tensors, name), f"{folder} ({name})")
    for name, optimizer in optimizers.items():
        _load_optimizer(optimizer, _with_prefix(tensors, name))


def rotate_checkpoints(output_dir: Path, limit: int | None) -> None:
    """Delete the oldest checkpoints beyond `limit`; None keeps all."""
    if limit is not None:
        for folder in checkpoints(output_dir)[:-limit]:
            shutil.rmtree(folder)


def _with_prefix(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}


def _load_module(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    own = module.state_dict()
    for key in sorted(own.keys() ^ tensors.keys()):
        raise ValueError(
            f"{where} does not fit this recipe: {key} exists in only one of the two; use the run's own settings"
        )
    for key, tensor in own.items():
        if tensor.shape != tensors[key].shape:
            raise ValueError(
                f"{where} does not fit: {key} must be {tuple(tensor.shape)}, got {tuple(tensors[key].shape)}; "
                "use the run's own settings"
            )
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(tensors[key])


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:  # a moment: use the parameter's memory format
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
