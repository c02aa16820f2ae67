"""Named random draws, so that a run can be resumed, distributed over processes, and reproduced exactly.

Every draw is keyed by (seed, step, name) and made on the CPU for the whole batch of all processes; each process or
microbatch then takes its rows. So a draw does not depend on earlier draws or on the process.
"""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


def named_generator(*key: int | str) -> torch.Generator:
    """A CPU generator that depends on `key` alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Request(NamedTuple):
    """One draw of a step: kind ("normal", "uniform", "integers"), name, shape of a row, and range of integers."""

    kind: str
    name: str
    shape: tuple[int, ...] = ()
    low: int = 0
    high: int = 0


class DrawPlan:
    """Records what each turn of a step draws, so that the next step's draws reach the device in a single copy."""

    def __init__(self) -> None:
        self.requests: dict[str, dict[Request, None]] = {}

    def note(self, turn: str, request: Request) -> None:
        """Draw this ahead from now on. An unused draw changes nothing else, since every draw has a name."""
        self.requests.setdefault(turn, {})[request] = None

    def draw_ahead(self, draw: "Draw") -> dict[Request, Tensor]:
        """All recorded draws for `draw.turn`, on its device; does not wait for the device."""
        drawn = {request: draw.on_cpu(request) for request in self.requests.get(draw.turn, ())}
        order = sorted(drawn, key=lambda request: -drawn[request].element_size())  # keeps each tensor aligned
        if not order:
            return {}
        packed = torch.cat([drawn[request].contiguous().flatten().view(torch.uint8) for request in order])
        if torch.device(draw.device).type == "cuda":
            packed = packed.pin_memory()
        packed = packed.to(draw.device, non_blocking=True)
        there = packed.split([drawn[request].nbytes for request in order])
        return {
            request: part.view(drawn[request].dtype).view(drawn[request].shape)
            for request, part in zip(order, there, strict=True)
        }


class Draw:
    """The draws of one step, for this process's rows of a batch of `batch_size` images.

    `turn` distinguishes the updates within one step. All methods return tensors of len(rows) on `device`. Draws that
    `plan` has recorded for the turn are already on the device.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        rows: slice | None = None,
        device: torch.device | str = "cpu",
        turn: str = "",
        plan: DrawPlan | None = None,
    ):
        self.seed = seed
        self.step = step
        self.batch_size = batch_size
        self.rows = rows or slice(0, batch_size)
        self.device = device
        self.turn = turn
        self.plan = plan if torch.device(device).type != "cpu" else None  # on CPUs there is nothing to copy
        self._ahead = self.plan.draw_ahead(self) if self.plan else {}

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal, (rows, *shape)."""
        return self._take(Request("normal", name, shape))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform in [0, 1), (rows, *shape)."""
        return self._take(Request("uniform", name, shape))

    def integers(self, name: str, low: int, high: int) -> Tensor:
        """Integers from low to high - 1, (rows,)."""
        return self._take(Request("integers", name, (), low, high))

    def on_cpu(self, request: Request) -> Tensor:
        """The draw for `request`, on the CPU."""
        generator = named_generator(self.seed, self.step, self.turn, request.name)
        shape = (self.batch_size, *request.shape)
        if request.kind == "normal":
            drawn = torch.randn(shape, generator=generator)
        elif request.kind == "uniform":
            drawn = torch.rand(shape, generator=generator)
        else:
            drawn = torch.randint(request.low, request.high, shape, generator=generator)
        return drawn[self.rows]

    def _take(self, request: Request) -> Tensor:
        if request in self._ahead:
            return self._ahead[request]
        if self.plan:
            self.plan.note(self.turn, request)
        return self.on_cpu(request).to(self.device)
