"""The few parts of diffusers that drawing covers needs, under diffusers' own names.

Importing diffusers takes twice as long as importing torch: it loads torch's compiler, transformers and every
autoencoder. So our networks and the pipeline use these; the copies published next to the weights use diffusers itself
(`model_store.write_code`), and files of either kind can be read by both.
"""

import functools
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

WEIGHTS = "diffusion_pytorch_model.safetensors"


class Config(dict):
    """A network's arguments, readable as keys and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no field {name!r}") from None


def register_to_config(init: Callable) -> Callable:
    """Decorate `__init__` so that its arguments become `self.config`, defaults included."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def registering(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self._config = Config(list(bound.arguments.items())[1:])
        init(self, *args, **kwargs)

    return registering


class ConfigMixin:
    """Has a `config` that is saved as JSON and that builds the same object again."""

    _config: Config

    @property
    def config(self) -> Config:
        """The arguments that this was built with."""
        return self._config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build from a config; fields that `__init__` does not take are left out."""
        known = inspect.signature(cls.__init__).parameters
        return cls(**{name: value for name, value in config.items() if name in known})

    def to_json_string(self) -> str:
        """The content of config.json."""
        content = {"_class_name": type(self).__name__, "_diffusers_version": version("diffusers"), **self._config}
        return json.dumps(content, indent=2, sort_keys=True) + "\n"


class ModelMixin(ConfigMixin, nn.Module):
    """A network in a folder: config.json and safetensors."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the floating-point weights."""
        return next(weight.dtype for weight in self.parameters() if weight.is_floating_point())

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write config.json and the weights, in the precision that they have."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, Path(folder) / WEIGHTS, metadata={"format": "pt"})
        (Path(folder) / "config.json").write_text(self.to_json_string(), encoding="utf-8")


class DiffusionPipeline:
    """Several networks that move together."""

    def register_modules(self, **networks: nn.Module | None) -> None:
        """Make each network an attribute, and one of `components`."""
        self._names = list(networks)
        for name, network in networks.items():
            setattr(self, name, network)

    @property
    def components(self) -> dict[str, nn.Module | None]:
        """The networks by name, also those that have been replaced since."""
        return {name: getattr(self, name) for name in self._names}

    @property
    def device(self) -> torch.device:
        """Where the first network is."""
        return self._first().device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first network's weights."""
        return self._first().dtype

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move all networks, as `torch.nn.Module.to` does."""
        for network in self.components.values():
            if network is not None:
                network.to(*args, **kwargs)
        return self

    def _first(self) -> Any:
        return next(network for network in self.components.values() if network is not None)


@dataclass
class ImagePipelineOutput:
    """A pipeline's output; fields are also accessible by name, `out["images"]`, and those that are set by index."""

    images: Any

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are set."""
        return tuple(value for value in vars(self).values() if value is not None)

    def __getitem__(self, key: str | int | slice) -> Any:
        return vars(self)[key] if isinstance(key, str) else self.to_tuple()[key]
