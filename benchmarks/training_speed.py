"""Images per second of the trainer, against the same networks in a plain loop with none of the levers.

    python benchmarks/training_speed.py [--discriminator_size 192] [--steps 12]

Each side runs in a process of its own. The plain loop is what one writes first: fp32, channels first, nearest
upsampling before each convolution, new fakes for the generator's step, the system's default memory allocator.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from album_gan.augmentation import diff_augment  # noqa: E402
from album_gan.draws import Draw  # noqa: E402
from album_gan.losses import hinge_discriminator, hinge_generator  # noqa: E402
from album_gan.networks import lite_generator  # noqa: E402
from album_gan.recipes import projected  # noqa: E402

RESOLUTION, BATCH_SIZE, WARM_UP = 128, 32, 3


def trainer(size: int, steps: int) -> float:
    """Images per second of `train()`, from its own log."""
    from album_gan.training import TrainingConfig, train

    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(
            dataset_name="synthetic",
            resolution=RESOLUTION,
            output_dir=folder,
            train_batch_size=BATCH_SIZE,
            max_train_steps=WARM_UP * 2 + steps,
            logging_steps=WARM_UP + steps // 2,
            report_to=None,
        )
        train(config, projected.Config(discriminator_size=size))
        # The first window holds the start of everything; the last is steady.
        return json.loads((Path(folder) / "log.jsonl").read_text().splitlines()[-1])["images_per_second"]


def plain(size: int, steps: int) -> float:
    """The same networks, losses and batch in a plain loop."""

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
        judge = lambda images: discriminator(diff_augment(images, draw))  # noqa: E731, B023
        discriminator_optimizer.zero_grad()
        hinge_discriminator(judge(real), judge(fake)).backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        hinge_generator(judge(generator(torch.randn(BATCH_SIZE, 128)))).backward()
        generator_optimizer.step()
    return BATCH_SIZE * steps / (time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=("trainer", "plain"))
    parser.add_argument("--discriminator_size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=12)
    arguments = parser.parse_args()
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
