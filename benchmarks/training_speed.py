"""Images per second of the trainer, compared with the same networks in a plain loop without its optimisations.

    python benchmarks/training_speed.py [--discriminator_size 192] [--steps 14]
    python benchmarks/training_speed.py --all
    python benchmarks/training_speed.py --earlier d97bb87 [--rounds 3]

With --all: every recipe with its paper's settings, at 64 px, and the fraction of the time waiting for data.
With --earlier: this build and an earlier one, from git, in alternation; the best window of the log counts, so that
other work on the machine does not matter. Each side runs in its own process. The plain loop is a straightforward
implementation: fp32, channels first, nearest upsampling before each convolution, new fakes for the generator's step,
the system's default memory allocator.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timed_training import ROOT, earlier_build, time_training, windows

sys.path.insert(0, str(ROOT))

import torch
import torch.nn.functional as F

from album_gan.networks import lite_generator
from album_gan.recipes import projected
from album_gan.recipes.augmentation import diff_augment
from album_gan.recipes.base import recipe_module, recipe_names
from album_gan.recipes.losses import hinge_discriminator, hinge_generator
from album_gan.recipes.named_random import Draw
from album_gan.recipes.projected import random_view

RESOLUTION, BATCH_SIZE, WARM_UP = 128, 32, 3
SMALL_RESOLUTION, FEW_STEPS = 64, 4  # with --all
SETTINGS = {"r3gan": {"width": 128}}  # the paper's 768 channels are for a GPU


def train_and_time(recipe: str, recipe_config: object, resolution: int, steps: int) -> dict[str, float]:
    """The last log line of `train()`: images per second, and fraction of the time waiting for data."""
    from album_gan.training.config import TrainingConfig
    from album_gan.training.loop import train

    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(
            recipe=recipe,
            dataset_name="synthetic",
            resolution=resolution,
            output_dir=folder,
            train_batch_size=BATCH_SIZE,
            max_train_steps=WARM_UP * 2 + steps,
            logging_steps=WARM_UP + steps // 2,
            evaluation_images=0,
            report_to="none",
        )
        train(config, recipe_config)
        # The first window includes start-up; the last is steady.
        return json.loads((Path(folder) / "log.jsonl").read_text().splitlines()[-1])


def trainer(size: int, steps: int) -> float:
    """Images per second of `train()`, from its log."""
    config = projected.Config(discriminator_size=size)
    return train_and_time("projected", config, RESOLUTION, steps)["images_per_second"]


def plain(size: int, steps: int) -> float:
    """Images per second of the same networks, hinge losses, views and batch in a plain loop.

    Unlike `train()`, it has no mixture term and judges real and generated covers separately.
    """

    def forward(self, x):
        return F.conv2d(F.interpolate(x, scale_factor=2.0), self.weight, padding=1)

    lite_generator.UpsampleConv.forward = forward
    recipe = projected.Recipe(projected.Config(discriminator_size=size), RESOLUTION)
    generator, discriminator = recipe.build_networks()
    generator_optimizer, discriminator_optimizer = recipe.optimizers(generator, discriminator)
    real = torch.rand(BATCH_SIZE, 3, RESOLUTION, RESOLUTION) * 2 - 1
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = time.monotonic()
        draw = Draw(0, step, BATCH_SIZE)
        fake = generator(torch.randn(BATCH_SIZE, 128)).detach()
        view = lambda images: random_view(diff_augment(images, draw), size, draw)  # noqa: E731, B023
        judge = lambda images: discriminator(view(images))  # noqa: E731, B023
        discriminator_optimizer.zero_grad()
        hinge_discriminator(judge(real), judge(fake)).backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        hinge_generator(judge(generator(torch.randn(BATCH_SIZE, 128)))).backward()
        generator_optimizer.step()
    return BATCH_SIZE * steps / (time.monotonic() - started)


def all_recipes() -> None:
    print("| recipe | images per second | waiting for data |\n| --- | --- | --- |")
    for name in recipe_names():
        command = [sys.executable, __file__, "--side", name]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        line = json.loads(run.stdout.splitlines()[-1])
        print(f"| `{name}` | {line['images_per_second']:.1f} | {line['waiting_for_data']:.2%} |", flush=True)


def against_earlier(commit: str, steps: int, rounds: int) -> None:
    options = ["--dataset_name", "synthetic", "--dataloader_num_workers", "0"]
    best = {"earlier": 0.0, "now": 0.0}
    with earlier_build(commit) as folder:
        for _ in range(rounds):
            for side, root in (("earlier", folder), ("now", ROOT)):
                found = time_training(root, windows(steps, BATCH_SIZE) + options)["images_per_second"]
                best[side] = max(best[side], *found)
                print(f"{side}: {', '.join(f'{speed:.1f}' for speed in found)} images/s", flush=True)
    print(f"{commit} {best['earlier']:.1f}, now {best['now']:.1f} images/s: {best['now'] / best['earlier']:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--all", action="store_true", help="every recipe, at 64 px")
    parser.add_argument("--earlier", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=2, help="with --earlier")
    parser.add_argument("--discriminator_size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=14, help="an even number, since odd and even steps differ")
    arguments = parser.parse_args()
    if arguments.earlier:
        against_earlier(arguments.earlier, arguments.steps, arguments.rounds)
        return
    if arguments.all:
        all_recipes()
        return
    if arguments.side in recipe_names():
        config = recipe_module(arguments.side).Config(**SETTINGS.get(arguments.side, {}))
        print(json.dumps(train_and_time(arguments.side, config, SMALL_RESOLUTION, FEW_STEPS)))
        return
    if arguments.side:
        side = trainer if arguments.side == "trainer" else plain
        print(json.dumps(side(arguments.discriminator_size, arguments.steps)))
        return
    speeds = {}
    for side in ("plain", "trainer"):
        command = [sys.executable, __file__, "--side", side, "--steps", str(arguments.steps)]
        command += ["--discriminator_size", str(arguments.discriminator_size)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        speeds[side] = json.loads(run.stdout.splitlines()[-1])
    print(f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}")
    print(f"recipe projected, {RESOLUTION} px, batch {BATCH_SIZE}, discriminator at {arguments.discriminator_size} px")
    print(f"plain loop    {speeds['plain']:6.1f} images/s")
    print(f"album_gan     {speeds['trainer']:6.1f} images/s    {speeds['trainer'] / speeds['plain']:.1f} times")


if __name__ == "__main__":
    main()
