"""Arguments of the pipeline, in diffusers' or our own spelling, converted to one form."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from .latents import SEED_COUNT, Chosen, read_seeds, seed_for_any_text, seed_of

Seeds = int | str | Iterable[int | str] | Iterable[Chosen]


def chosen_list(seeds: Any) -> list[Chosen]:
    """A seed, a name, several of them, or a text (`latents.read_seeds`). Raises ValueError if empty or invalid.

    In a collection each item is one cover: a number, a readable name, or any words.
    """
    if isinstance(seeds, str):
        return read_seeds(seeds)
    chosen = [_chosen(seed) for seed in (seeds if is_collection(seeds) else [seeds])]
    if not chosen:
        raise ValueError("seeds must be one or more, got none; try [42]")
    return chosen


def _chosen(seed: int | str) -> Chosen:
    if isinstance(seed, Chosen):
        return seed
    if not isinstance(seed, str):
        try:
            return Chosen(seed_of(seed))
        except TypeError:
            raise ValueError(f"seeds must be whole numbers, names or words, got {seed!r}; try 42") from None
    if re.fullmatch(r"\s*[0-9]+\s*", seed):  # too many digits are a mistake, not words
        return Chosen(seed_of(seed))
    if not seed.strip():
        raise ValueError("seeds must be numbers, names or words, got an empty text; try 42 or velvet-otter-042")
    number, kind = seed_for_any_text(seed)
    return Chosen(number, " ".join(seed.split()) if kind == "words" else "")


def seed_list(seeds: Any) -> list[int]:
    """The seeds alone, as `chosen_list`."""
    return [seed for seed, _ in chosen_list(seeds)]


def random_seeds(count: int | None, generator: torch.Generator | Sequence[torch.Generator] | None) -> list[int]:
    """`count` seeds from one generator, or from torch's global one, or one seed from each of several generators."""
    if isinstance(generator, Sequence):
        if count not in (None, len(generator)):
            raise ValueError(f"generator must be one, or one for each of {count} images, got {len(generator)}")
        count = len(generator)
        sources: list[torch.Generator | None] = [*generator]
    else:
        count = 1 if count is None else count
        sources = [generator] * count
    if count < 1:
        raise ValueError(f"num_images must be 1 or more, got {count}")
    return [
        int(torch.randint(SEED_COUNT, (), generator=source, device="cpu" if source is None else source.device))
        for source in sources
    ]


def is_collection(value: object) -> bool:
    """Whether a value holds several: numpy's and torch's scalars are iterable by type only."""
    return isinstance(value, Iterable) and not isinstance(value, (str, Chosen)) and getattr(value, "ndim", 1) > 0


def one_of(name: str, value: Any, alias: str, other: Any) -> Any:
    """The value of an option that has two names."""
    if value is not None and other is not None and value != other:
        raise ValueError(f"{name} and {alias} are one option, got {value} and {other}; pass one of them")
    return other if value is None else value


def check_dtype(dtype: Any) -> None:
    """Raise ValueError unless it is None or torch's name of floating-point numbers."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be torch.float32, torch.float16 or torch.bfloat16, got {dtype!r}")


def device_of(device: str | torch.device | None) -> torch.device | None:
    """A device, or its name, as torch's object, so that "cpu" and torch.device("cpu") are equal."""
    return None if device is None else torch.device(device)


def device_of_map(device_map: str | torch.device | None) -> torch.device | None:
    """diffusers' device_map as a single device, since our models fit on one."""
    if device_map in ("auto", "balanced"):
        return torch.device(best_device())
    try:
        return device_of(device_map)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device_map must be a device or auto, got {device_map!r}; these networks fit on one device"
        ) from error


def best_device() -> str:
    """A GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
