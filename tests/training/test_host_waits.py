"""A training step never waits for its device, and sends little there: counted on torch's `meta` device.

A tensor there has no values, so that whatever would read one raises an error; what a step copies to it from the CPU
is what it would copy to a GPU.
"""

from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from album_gan.covers.batches import resident_batches
from album_gan.covers.dataset import load_covers
from album_gan.recipes.base import recipe_names
from album_gan.training.config import TrainingConfig
from album_gan.training.loop import Trainer
from album_gan.training.state import TrainingState

META = torch.device("meta")
ON_THE_HOST = {"upscaler"}  # saves covers as JPEG to spoil them, which no GPU does
OPERATORS = {"projected": 1_450}  # of a step on whole covers
SHORT = {"projected", "dcgan", "progressive"}
COPIES = 2  # the step's draws and its rows of the covers


class Count(TorchDispatchMode):
    """Counts operators that compute, and copies from the CPU to the device. Scalars travel as arguments of kernels."""

    def __init__(self):
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.copies: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        first = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(first, torch.Tensor) and first.device == META and not function.is_view:
            self.operators[str(function)] += 1
            if source is not None and source.device.type == "cpu" and source.dim():
                self.copies.append(f"{function} {tuple(source.shape)}")
        return result


def trainer_on_meta(name: str, **settings) -> Trainer:
    config = TrainingConfig(
        recipe=name, dataset_name="synthetic", resolution=64 if name != "vanilla" else 32, train_batch_size=8,
        max_train_steps=100, report_to="none", **settings,
    )  # fmt: skip
    accelerator = SimpleNamespace(
        device=META, num_processes=1, process_index=0, autocast=nullcontext, mixed_precision="no"
    )
    recipe = config.build_recipe()
    split = load_covers(config.source)
    trainer = Trainer(config, TrainingState.start(config, recipe, accelerator), split, accelerator)
    trainer.batches = resident_batches(split.train, trainer.sampler, META)
    for network in (trainer.state.generator, trainer.state.discriminator):
        if hasattr(network, "set_growth"):
            network.set_growth(1.5)  # values that the move to the device has lost
    return trainer


@pytest.mark.parametrize(
    "name",
    [
        name if name in SHORT else pytest.param(name, marks=pytest.mark.slow)
        for name in recipe_names() if name not in ON_THE_HOST
    ],
)  # fmt: skip
def test_a_step_reads_nothing_from_its_device(name):
    trainer = trainer_on_meta(name)
    steps = trainer.steps()
    for _ in range(3):  # what a step draws is known from the first of its kind on
        next(steps)
    for _ in range(2):  # whole covers, and pieces
        with Count() as count:
            next(steps)
        assert len(count.copies) <= COPIES * trainer.turns + (not trainer.share_fakes), count.copies
        assert sum(count.operators.values()) < OPERATORS.get(name, 3_000)
