"""Every recipe on the same covers for the same minutes of processor time: one table, one picture.

    python benchmarks/compare_recipes.py --train_data_dir my_covers [--minutes 11] [--out runs/compare]

Covers are 32 px and networks narrow (SETTINGS), so that a processor takes enough steps for the classics to learn
something; the other settings are those of the papers. Minutes are of processor time, summed over all threads, so other
work on the machine does not matter. A short training measures the time of a step; from it follows the number of steps,
to which a recipe's schedules are fitted. Start-up, sheets and measurements are not counted.

Finished recipes are kept in --out, and a second call resumes with the remaining ones. `--recipes dcgan,wgan` selects
some; two processes with half of the recipes each, and OMP_NUM_THREADS=1, take half of the time on two cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from PIL import Image, ImageDraw  # noqa: E402

from album_gan.recipes.base import recipe_module, recipe_names  # noqa: E402

if TYPE_CHECKING:
    from album_gan.training.config import TrainingConfig

RESOLUTION, BATCH_SIZE = 32, 32
TIMED_STEPS = 10  # at all sizes of a recipe that grows
SAMPLES, ROW, ENLARGED = 1_000, 12, 64  # covers in a row of the picture, and their size there
SPACES = ("stlpips-vgg", "efficientnet-lite2")  # the first is neutral, the second favours projected
SETTINGS = {  # an eighth of the paper's channels, a quarter of began's and infogan's, a sixteenth of r3gan's
    "began": {"width": 16},
    "cgan": {"width": 128},
    "dcgan": {"width": 128},
    "improved_dcgan": {"width": 128},
    "infogan": {"width": 128},
    "progressive": {"width": 64},
    "r3gan": {"width": 48, "gamma": 0.05},  # the paper's gamma for 32 px
    "wgan": {"width": 128},
    "wgan_gp": {"width": 64},
}
LABELS = {"cgan": "genre"}  # without labels it is dcgan


def settings(name: str, arguments: argparse.Namespace, steps: int) -> "TrainingConfig":
    """Those of a training of that many steps."""
    from album_gan.training.config import TrainingConfig

    return TrainingConfig(
        recipe=name,
        train_data_dir=arguments.train_data_dir,
        label_column=LABELS.get(name) if arguments.labels else None,
        resolution=RESOLUTION,
        train_batch_size=BATCH_SIZE,
        max_train_steps=steps,
        checkpointing_steps=1_000_000,
        dataloader_num_workers=0,
        output_dir=str(arguments.out / name / "run"),
        report_to="none",
        evaluation_images=0,
        logging_steps=max(1, steps // 200),
    )


def cpu_seconds_a_step(name: str, arguments: argparse.Namespace) -> float:
    """Seconds of this process's processor time, measured over a training of TIMED_STEPS."""
    from album_gan.training.loop import Trainer, set_up

    config = settings(name, arguments, TIMED_STEPS)
    for _ in range(2):  # the first one warms up
        recipe = config.build_recipe(recipe_module(name).Config(**SETTINGS.get(name, {})))
        split, accelerator, state = set_up(config, recipe)
        started = time.process_time()
        for _ in Trainer(config, state, split, accelerator).steps():
            pass
    return (time.process_time() - started) / TIMED_STEPS


def one(name: str, arguments: argparse.Namespace) -> None:
    """Train and measure one recipe; its result.json comes last."""
    import numpy as np

    from album_gan import AlbumCoverPipeline
    from album_gan.covers.dataset import CoverSource, load_covers
    from album_gan.evaluation.compare import compare
    from album_gan.training.loop import train

    folder = arguments.out / name
    cost = cpu_seconds_a_step(name, arguments)
    steps = max(1, round(arguments.minutes * 60 / cost))
    shutil.rmtree(folder / "run", ignore_errors=True)
    train(settings(name, arguments, steps), recipe_module(name).Config(**SETTINGS.get(name, {})))

    source = CoverSource(train_data_dir=arguments.train_data_dir, resolution=RESOLUTION)
    held_out = load_covers(source).held_out.all_pixels()
    covers = AlbumCoverPipeline.from_pretrained(folder / "run")(seeds=range(SAMPLES), truncation=1.0).images
    measured = compare(np.stack([np.asarray(cover) for cover in covers]), held_out, extractors=SPACES, progress=False)
    row = Image.new("RGB", (ROW * RESOLUTION, RESOLUTION))
    for column, cover in enumerate(covers[:ROW]):
        row.paste(cover, (column * RESOLUTION, 0))
    row.save(folder / "row.png")
    images = json.loads((folder / "run" / "training.json").read_text())["images"]
    result = {"recipe": name, "steps": steps, "images": images, "cpu_seconds_a_step": cost}
    result |= {"minutes": arguments.minutes, **measured}
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")


def table(results: list[dict]) -> str:
    """The results in Markdown."""
    lines = [
        f"| recipe | kernel distance x 1,000, {SPACES[0]} | recall | near-duplicates | {SPACES[1]} | recall "
        "| steps | images | images per CPU second |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        neutral, other = (result["spaces"][space] for space in SPACES)
        speed = result["images"] / (result["steps"] * result["cpu_seconds_a_step"])
        lines.append(
            f"| `{result['recipe']}` | {1_000 * neutral['kid']:.3f} | {neutral['recall']:.3f} "
            f"| {neutral['near_duplicates']:.1%} | {1_000 * other['kid']:.1f} | {other['recall']:.3f} "
            f"| {result['steps']:,} | {result['images']:,} | {speed:.1f} |"
        )
    floors = " and ".join(f"{1_000 * results[0]['spaces'][space]['kid_floor']:.3f}" for space in SPACES)
    lines.append(
        f"\nReal covers against real covers: {floors}. {SAMPLES:,} samples each, "
        f"{results[0]['held_out']:,} held-out covers, {results[0]['minutes']:g} CPU minutes."
    )
    return "\n".join(lines)


def picture(results: list[dict], out: Path) -> Image.Image:
    """A row of samples for each recipe, the same seeds from left to right."""
    size = ROW * ENLARGED, ENLARGED
    sheet = Image.new("RGB", (120 + size[0], len(results) * ENLARGED), "white")
    draw = ImageDraw.Draw(sheet)
    for number, result in enumerate(results):
        draw.text((6, number * ENLARGED + 24), result["recipe"], "black", font_size=14)
        row = Image.open(out / result["recipe"] / "row.png")
        sheet.paste(row.resize(size, Image.Resampling.NEAREST), (120, number * ENLARGED))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data_dir", default=str(ROOT.parent / "shared" / "covers"))
    parser.add_argument("--minutes", type=float, default=11, help="of processor time for each recipe")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "compare")
    parser.add_argument("--recipes", default=",".join(name for name in recipe_names() if name != "upscaler"))
    parser.add_argument("--labels", action=argparse.BooleanOptionalAction, default=True, help="the covers have genres")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, arguments)
        return
    if not Path(arguments.train_data_dir).is_dir():
        sys.exit(f"--train_data_dir must be a folder of covers, got {arguments.train_data_dir}, which is not a folder")
    names = arguments.recipes.split(",")
    for name in names:
        if not (arguments.out / name / "result.json").exists():
            print(f"--- {name}", flush=True)
            code = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--one", name], env={**os.environ}
            ).returncode
            if code == -2 or code == 130:
                sys.exit("interrupted; call again to resume")
            if code:
                print(f"{name} ended with code {code}", file=sys.stderr)
    found = {name: arguments.out / name / "result.json" for name in names}
    results = [json.loads(path.read_text()) for path in found.values() if path.exists()]
    results.sort(key=lambda one: one["spaces"][SPACES[0]]["kid"])
    text = table(results)
    if failed := [f"`{name}`" for name, path in found.items() if not path.exists()]:
        text += f"\n\nEnded before their time: {', '.join(failed)}."
    (arguments.out / "table.md").write_text(text + "\n")
    picture(results, arguments.out).save(arguments.out / "rows.png", optimize=True)
    print(text)


if __name__ == "__main__":
    main()
