"""Tracing what a network computes, step by step, in one forward pass.

`trace` intercepts calls to torch functions, so it also records steps without a module of their own (upsampling, gates,
skip connections, layers that scale their weights first), and names each step after its enclosing module. It can also
mute channels.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .arithmetic import Convolution
from .kinds import COMPOSITES, KINDS, Kind

ALL = -1  # in `mute`: every channel of a step


@dataclass
class Step:
    """One step of a network. Shapes are without the batch: (C, H, W) or (features,)."""

    number: int
    name: str  # of the module that it is in, as in `named_modules`; "" for the network itself
    kind: Kind
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    arithmetic: str  # computation of the output's shape from the input's
    parameters: int  # number of parameters first used here
    sources: tuple[int, ...]  # numbers of the steps whose outputs are inputs, -1 for the network's own input
    settings: dict[str, int] = field(default_factory=dict)  # kernel, stride, padding, ... of convolutions
    value: Tensor | None = None  # output, (B, ...)
    arguments: dict[str, Tensor] = field(default_factory=dict)  # input, weight and bias, of linear steps

    def as_json(self) -> dict[str, Any]:
        """Everything except the tensors."""
        return {
            "number": self.number, "name": self.name, "kind": self.kind.name, "does": self.kind.does,
            "inputs": self.inputs, "output": self.output, "arithmetic": self.arithmetic,
            "parameters": self.parameters, "settings": self.settings,
            "linear": "weight" in self.arguments, "main": self.kind.main,
        }  # fmt: skip


@dataclass
class Trace:
    """`steps` in order of execution, and the network's `output`."""

    steps: list[Step]
    output: Any
    unused: int  # parameters that this pass did not use, e.g. of levels that have not grown yet


@torch.no_grad()
def trace(
    network: nn.Module, *inputs: Tensor, mute: Mapping[int, Iterable[int]] | None = None, keep: bool = True
) -> Trace:
    """Trace one forward pass of `network` in its current mode.

    `mute` maps step numbers to channels to set to zero, ALL for the whole step; with `keep`, steps hold their outputs.
    Raises ValueError for unknown steps and channels.
    """
    watcher = _Watcher(network, inputs, {step: list(channels) for step, channels in (mute or {}).items()}, keep)
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            hooks.callback(module.register_forward_pre_hook(partial(watcher.enter, name)).remove)
            hooks.callback(module.register_forward_hook(watcher.leave, always_call=True).remove)
        with watcher:
            output = network(*inputs)
    missing = [step for step in watcher.mute if not 0 <= step < len(watcher.steps)]
    if missing:
        raise ValueError(f"mute must name steps from 0 to {len(watcher.steps) - 1}, got {missing[0]}")
    unused = sum(p.numel() for name, p in network.named_parameters() if name not in watcher.counted)
    return Trace(watcher.steps, output, unused)


class _Watcher(TorchFunctionMode):
    """Distinguishes tensors that depend on the input from weights and tensors computed from weights alone."""

    def __init__(self, network: nn.Module, inputs: tuple[Tensor, ...], mute: dict[int, list[int]], keep: bool):
        super().__init__()
        self.mute, self.keep = mute, keep
        self.steps: list[Step] = []
        self.modules: list[tuple[str, nn.Module]] = []
        self.composite: tuple[nn.Module, Kind, list[Tensor]] | None = None  # a module that counts as one step
        self.alive: list[Tensor] = []  # ids are valid only while their tensors live
        self.source: dict[int, int] = {}  # id of a tensor that depends on the input: step that computed it
        self.weights: dict[int, frozenset[str]] = {}  # id of a weight, or of a tensor made of weights: their names
        self.counted: set[str] = set()
        self.sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            self.weights[id(tensor)] = frozenset({name} & self.sizes.keys())
        for tensor in inputs:
            self._flows(tensor, -1)

    # --- The current module

    def enter(self, name: str, module: nn.Module, arguments: tuple) -> None:
        self.modules.append((name, module))
        kind = COMPOSITES.get(type(module).__name__)
        flowing = [argument for argument in arguments if id(argument) in self.source]
        if kind and self.composite is None and flowing:
            self.composite = module, kind, flowing

    def leave(self, module: nn.Module, arguments: tuple, output: Any) -> Any:
        if self.composite is not None and self.composite[0] is module:
            _, kind, entered = self.composite
            self.composite = None
            own = frozenset(f"{self.modules[-1][0]}.{name}" for name, _ in module.named_parameters())
            first = output[0] if isinstance(output, tuple) else output
            recorded = self._record(kind, entered, first, own, {}, f"{tuple(first.shape[1:])}")
            output = (recorded, *output[1:]) if isinstance(output, tuple) else recorded
        self.modules.pop()
        return output

    # --- Function calls

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        given = [value for value in _flat([*args, *kwargs.values()]) if isinstance(value, Tensor)]
        flowing = [value for value in given if id(value) in self.source]
        made = [value for value in _flat([output]) if isinstance(value, Tensor)]
        names = frozenset().union(*(self.weights.get(id(value), frozenset()) for value in given))
        if not flowing:
            for tensor in made:
                self.alive.append(tensor)
                self.weights.setdefault(id(tensor), names)
            return output
        if self.composite is None and len(made) == 1 and isinstance(output, Tensor):
            found = KINDS.get(getattr(function, "__name__", ""))
            kind = found(flowing, made[0], args, kwargs) if found else None
            if kind is not None:
                bound = _bind(function.__name__, args, kwargs)
                return self._record(kind, flowing, output, names, bound, _arithmetic(kind, bound, flowing, output))
        if self.composite is None:
            self._pending |= names
        source = self.source[id(flowing[0])]
        for tensor in made:
            self._flows(tensor, self.source.get(id(tensor), source))
        return output

    _pending: frozenset[str] = frozenset()  # weights of calls that are not recorded as steps: counted for the next step

    def _flows(self, tensor: Tensor, source: int) -> None:
        self.alive.append(tensor)
        self.source[id(tensor)] = source

    def _record(
        self, kind: Kind, flowing: list[Tensor], output: Tensor, names: frozenset[str], bound: dict, arithmetic: str
    ) -> Tensor:
        number = len(self.steps)
        if number in self.mute:
            output = _muted(output, self.mute[number], number)
        new = (names | self._pending) - self.counted
        self.counted |= new
        self._pending = frozenset()
        tensors = {name: value for name, value in bound.items() if isinstance(value, Tensor)}
        self.steps.append(
            Step(
                number, self.modules[-1][0] if self.modules else "", kind,
                tuple(tuple(value.shape[1:]) for value in flowing), tuple(output.shape[1:]), arithmetic,
                sum(self.sizes[name] for name in new), tuple(self.source[id(value)] for value in flowing),
                {name: value for name, value in bound.items() if isinstance(value, int)},
                output if self.keep else None, tensors if self.keep else {name: tensors[name][:0] for name in tensors},
            )
        )  # fmt: skip
        self._flows(output, number)
        return output


def _flat(values: Iterable) -> Iterable:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        else:
            yield value


def _muted(output: Tensor, channels: list[int], step: int) -> Tensor:
    count = output.shape[1]
    wrong = [channel for channel in channels if channel != ALL and not 0 <= channel < count]
    if wrong:
        raise ValueError(f"channel of step {step} must be from 0 to {count - 1}, got {wrong[0]}")
    if ALL in channels:
        return torch.zeros_like(output)
    output = output.clone()
    output[:, channels] = 0
    return output


# The arguments of torch's linear functions, in order.
SIGNATURES = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose2d": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "linear": ("input", "weight", "bias"),
}
DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1}


def _bind(function: str, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a linear function by name, numbers as int; empty for other functions."""
    if function not in SIGNATURES:
        return {}
    bound = dict(zip(SIGNATURES[function], args, strict=False)) | kwargs
    bound = {name: value for name, value in bound.items() if value is not None}
    if function == "linear":
        return bound
    known = {name: default for name, default in DEFAULTS.items() if name in SIGNATURES[function]}
    for name, default in known.items():
        value = bound.get(name, default)
        bound[name] = int(value[0] if isinstance(value, (tuple, list)) else value)
    bound.pop("dilation", None)  # always 1 here
    bound["kernel"] = bound["weight"].shape[-1]
    return bound


def _arithmetic(kind: Kind, bound: dict[str, Any], flowing: list[Tensor], output: Tensor) -> str:
    """Computation of the output's shape from the input's, as text."""
    before, after = flowing[0], output
    if kind.name in ("convolution", "transposed convolution"):
        settings = {name: bound[name] for name in ("kernel", "stride", "padding")}
        if kind.name == "transposed convolution":
            settings.update(output_padding=bound["output_padding"], transposed=True)
        return Convolution(size=before.shape[-1], **settings).formula
    if kind.name == "fully connected":
        return f"{before.shape[-1]:,} x {after.shape[-1]:,} weights"
    if kind.name == "upsampling":
        factor = after.shape[-1] / before.shape[-1]
        return f"{before.shape[-1]} x {factor:g} = {after.shape[-1]}"
    if kind.name == "average pooling":
        return f"{before.shape[-1]} / {before.shape[-1] / after.shape[-1]:g} = {after.shape[-1]}"
    if kind.name == "reshape":
        return f"{_product(before.shape[1:])} = {_product(after.shape[1:])}"
    if kind.name == "padding":
        return f"{before.shape[-1]} + {after.shape[-1] - before.shape[-1]} = {after.shape[-1]}"
    if kind.name == "concat":
        return " + ".join(str(value.shape[1]) for value in flowing) + f" = {after.shape[1]}"
    if kind.name == "maxout":
        return f"{before.shape[1:].numel():,} / {before.shape[-1]} = {after.shape[1:].numel():,}"
    return "same shape" if before.shape[1:] == after.shape[1:] else _product(after.shape[1:])


def _product(shape: Iterable[int]) -> str:
    return " x ".join(f"{size:,}" for size in shape) or "1"
