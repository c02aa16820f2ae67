"""One of two gloo processes that train the recipes named on its command line, one after the other.

RANK=0 python tests/pair.py COVERS OUT PORTS recipe recipe ...

PORTS, with commas: two for each recipe and one for a test of the weights' comparison.
"""

import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tiny_recipes import RECIPES, STILL, settings_of

from album_gan.training.config import TrainingConfig
from album_gan.training.distributed import broadcast_weights, check_same_weights, of_first_process
from album_gan.training.loop import train


def begin(port: str) -> None:
    """A new group: each training ends its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ["MASTER_PORT"] = port


def main(covers: str, out: str, ports: list[str], recipes: list[str]) -> None:
    torch.set_num_threads(1)
    for name in recipes:
        for kind, settings, steps in (("still", STILL, 1), ("moving", {}, 3)):
            begin(ports.pop())
            config = TrainingConfig(
                recipe=name, train_data_dir=covers, resolution=32, train_batch_size=4, max_train_steps=steps,
                checkpointing_steps=1, mixed_precision="no", dataloader_num_workers=0, report_to="none",
                evaluation_images=0, output_dir=f"{out}/{name}-{kind}",
            )  # fmt: skip
            train(config, RECIPES[name].Config(**settings_of(name, settings)))
    begin(ports.pop())
    accelerator = Accelerator()
    network = torch.nn.Linear(2, 2)
    network.register_buffer("count", torch.zeros(()))
    broadcast_weights(accelerator, network)
    check_same_weights(accelerator, network)
    print("checkpoint:", of_first_process(Path(f"checkpoint-{1 + accelerator.process_index}")))
    print("checkpoint:", of_first_process(None if accelerator.is_main_process else Path("other")))
    for tensor in (network.weight, network.count):
        same = tensor.detach().clone()
        tensor.data += accelerator.process_index * 1e-6
        try:
            check_same_weights(accelerator, network)
        except RuntimeError as error:
            print(f"told: {error}")
        tensor.data = same
    accelerator.end_training()  # a group left open may abort the interpreter while it shuts down


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:])
