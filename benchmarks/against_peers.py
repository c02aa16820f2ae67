"""Time until the trainer draws as well as lightweight-gan after 20 minutes, on the same covers and machine.

    python benchmarks/against_peers.py --train_data_dir my_covers [--minutes 20] [--clock processor] [--out runs/peers]

lightweight-gan (pip) is a well-maintained trainer based on FastGAN. It refuses machines without a GPU, so its source is
loaded with its device replaced by the CPU. It runs with its command's defaults, except for three changes in its favour:
128 px, no local attention, which takes most of a step on CPUs, and an update for every 10 images instead of 40. Ours
runs with its defaults and half of the minutes, including its schedules. The two train one after the other, and draw
during training; drawing and start-up are not counted. Kernel distances are to the held-out covers, with features of
EfficientNet-Lite2, which is related to the network in our discriminator, and of ST-LPIPS's VGG, which neither uses.

On two cores, with 20 minutes, it takes less than 40. `--clock processor` counts processor time divided by --cores, so
that other work on the machine does not matter.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

RESOLUTION, SAMPLES, BATCH_SIZE = 128, 256, 10
PEER = "lightweight-gan==1.2.1"
PEER_MOMENTS, OUR_MOMENTS = 2, 6  # number of times that each draws
OUR_SHARE = 0.5  # fraction of the peer's minutes
SPACES = ("efficientnet-lite2", "stlpips-vgg")
# In the peer's source: the check for a GPU, and the places that name one.
TO_CPU = {
    "assert torch.cuda.is_available(), 'You need to have an Nvidia GPU with CUDA installed.'": "",
    ".cuda(self.rank)": "", "self.cuda(rank)": "None", "torch.device(f'cuda:{self.rank}')": "torch.device('cpu')",
}  # fmt: skip


class Clock:
    """Minutes since it was created, not counting those of `without`."""

    def __init__(self, kind: str, cores: int):
        self._read = time.monotonic if kind == "wall" else lambda: time.process_time() / cores
        self._start = self._read()

    def minutes(self) -> float:
        return (self._read() - self._start) / 60

    def without(self, work: Callable[[], None]) -> None:
        before = self._read()
        work()
        self._start += self._read() - before


def save(out: Path, side: str, minutes: float, images: int, covers: np.ndarray) -> None:
    """Save covers, uint8 (N, R, R, 3), and when they were drawn."""
    np.save(out / f"{side}-{minutes:07.3f}.npy", covers)
    with (out / f"{side}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"minutes": minutes, "images": images}) + "\n")
    print(f"{side}: {minutes:.1f} minutes, {images:,} images", flush=True)


def peer(arguments: argparse.Namespace) -> None:
    """Train lightweight-gan, in its own environment."""
    import importlib.util
    import types

    import torch

    spec = importlib.util.find_spec("lightweight_gan")
    package = types.ModuleType("lightweight_gan")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["lightweight_gan"] = package  # its __init__ would import the unmodified source
    file = Path(package.__path__[0]) / "lightweight_gan.py"
    source = file.read_text(encoding="utf-8")
    for text, replacement in TO_CPU.items():
        if text not in source:
            sys.exit(f"{PEER} is expected, this one has no {text!r}")
        source = source.replace(text, replacement)
    module = types.ModuleType("lightweight_gan.lightweight_gan")
    exec(compile(source, str(file), "exec"), vars(module))

    torch.manual_seed(42)
    never = 10**9
    trainer = module.Trainer(
        name="peer", base_dir=str(arguments.out), image_size=RESOLUTION, batch_size=BATCH_SIZE,
        gradient_accumulate_every=1, attn_res_layers=[], disc_output_size=1, save_every=never,
        evaluate_every=never, num_workers=0, use_aim=False,
    )  # fmt: skip
    trainer.evaluate = trainer.save = lambda *_, **__: None  # no sheets and checkpoints
    trainer.set_data_src(str(arguments.out / "covers"))
    trainer.init_GAN()

    def draw() -> None:
        trainer.GAN.eval()
        with torch.no_grad():
            latents = torch.randn(SAMPLES, trainer.latent_dim, generator=torch.Generator().manual_seed(0))
            images = torch.cat([trainer.GAN.G(part) for part in latents.split(32)]).clamp(0, 1)
        trainer.GAN.train()
        images = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        save(arguments.out, "peer", clock.minutes(), trainer.steps * BATCH_SIZE, images)

    clock = Clock(arguments.clock, arguments.cores)
    for moment in range(1, PEER_MOMENTS + 1):
        while clock.minutes() < arguments.minutes * moment / PEER_MOMENTS:
            trainer.train()
        clock.without(draw)


def ours(arguments: argparse.Namespace) -> None:
    """Train `projected` with its defaults, for its share of the minutes."""
    import copy

    from album_gan import runtime
    from album_gan.training.config import TrainingConfig
    from album_gan.training.loop import Trainer, set_up
    from album_gan.training.packaging import draw_samples, make_ready_to_draw

    minutes = arguments.minutes * OUR_SHARE
    config = TrainingConfig(
        train_data_dir=arguments.train_data_dir, resolution=RESOLUTION, minutes=minutes, report_to="none",
        output_dir=str(arguments.out / "unused"), dataloader_num_workers=0,
    )  # fmt: skip
    runtime.keep_freed_memory()
    split, accelerator, state = set_up(config, config.build_recipe())

    def draw() -> None:
        average = copy.deepcopy(state.average)
        make_ready_to_draw(average, state.recipe, config.seed)
        images = np.stack([np.asarray(cover) for cover in draw_samples(average, range(SAMPLES))])
        save(arguments.out, "ours", clock.minutes(), state.images, images)

    clock, moment = Clock(arguments.clock, arguments.cores), 1
    for _ in Trainer(config, state, split, accelerator).steps():
        if state.duration.due(state.step, config.logging_steps):
            state.duration.read_clock(state.step, clock.minutes() * 60)
        if clock.minutes() >= minutes * moment / OUR_MOMENTS or state.step >= state.duration.end:
            clock.without(draw)
            moment += 1


def measure(arguments: argparse.Namespace) -> dict[str, list[dict]]:
    """{side: a result for each moment}, with the kernel distance in each space."""
    from album_gan.covers.dataset import CoverSource, load_covers
    from album_gan.evaluation.compare import compare

    source = CoverSource(train_data_dir=arguments.train_data_dir, resolution=RESOLUTION)
    held_out = load_covers(source).held_out.all_pixels()
    results: dict[str, list[dict]] = {}
    for side in ("peer", "ours"):
        moments = [json.loads(line) for line in (arguments.out / f"{side}.jsonl").read_text("utf-8").splitlines()]
        for moment, file in zip(moments, sorted(arguments.out.glob(f"{side}-*.npy")), strict=True):
            spaces = compare(np.load(file), held_out, extractors=SPACES, progress=False)["spaces"]
            kids = {space: spaces[space]["kid"] for space in SPACES}
            results.setdefault(side, []).append({**moment, **kids})
    return results


def table(results: dict[str, list[dict]]) -> str:
    """A Markdown table, and a sentence for each space."""
    lines = [f"| trainer | minutes | images | {' | '.join(f'kernel distance x 1,000, {space}' for space in SPACES)} |"]
    lines.append("| --- " * (3 + len(SPACES)) + "|")
    for side, moments in results.items():
        for moment in moments:
            kids = " | ".join(f"{1_000 * moment[space]:.3g}" for space in SPACES)
            lines.append(f"| {side} | {moment['minutes']:.1f} | {moment['images']:,} | {kids} |")
    for space in SPACES:
        last = results["peer"][-1]
        best = min(moment[space] for moment in results["peer"])
        reached = next((moment["minutes"] for moment in results["ours"] if moment[space] <= best), None)
        said = f"reached after {reached:.1f}" if reached else f"not reached within {results['ours'][-1]['minutes']:.1f}"
        lines.append(f"\n{space}: the peer's best in {last['minutes']:.1f} minutes is {said} minutes.")
    return "\n".join(lines)


def prepare(arguments: argparse.Namespace) -> Path:
    """Write the training covers as files for the peer; returns the Python of its environment."""
    from PIL import Image

    from album_gan.covers.dataset import CoverSource, load_covers

    folder = arguments.out / "covers"
    if not folder.exists():
        folder.mkdir(parents=True)
        source = CoverSource(train_data_dir=arguments.train_data_dir, resolution=RESOLUTION)
        for number, pixels in enumerate(load_covers(source).train.all_pixels()):
            Image.fromarray(np.asarray(pixels)).save(folder / f"{number:06d}.jpg", quality=95, subsampling=0)
    if arguments.peer_python:
        return arguments.peer_python
    python = arguments.out / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", arguments.out / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PEER], check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_data_dir", required=True)
    parser.add_argument("--minutes", type=float, default=20, help="for the peer; ours gets half")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--cores", type=int, default=2, help="by which processor time is divided")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "peers", help="for results; replaces existing ones")
    parser.add_argument("--peer_python", type=Path, help=f"Python of an environment with {PEER}; created by default")
    parser.add_argument("--side", choices=("peer", "ours"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out = arguments.out.absolute()
    if arguments.side:
        {"peer": peer, "ours": ours}[arguments.side](arguments)
        return
    python = prepare(arguments)
    for old in (*arguments.out.glob("*.npy"), *arguments.out.glob("*.jsonl")):
        old.unlink()
    for side, interpreter in (("peer", python), ("ours", sys.executable)):
        subprocess.run([interpreter, __file__, *sys.argv[1:], "--side", side], check=True)
    results = measure(arguments)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
