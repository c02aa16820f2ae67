"""Images per second of `projected` at 128 px: this build, an earlier one, and this one without each optimisation.

    python benchmarks/gpu_speed.py [--batch_sizes 32,64,128,256] [--earlier d97bb87] [--peer PYTHON] [--steps 50]

Works on any device. Configurations run one after the other, each in its own process, in --rounds rounds; the best
window of the log counts, so that other work on the machine does not matter. `share of the roof` is a step's arithmetic
(10.5 GFLOP per image, the mean of steps on whole covers and on crops) relative to the speed of a large bf16 matrix
product measured in the same run. --peer is the Python of an environment with lightweight-gan 1.2.1, timed on the same
device with the same batch sizes; it generates covers of the same size with its own networks.
"""

import argparse
import subprocess
import sys
import time

from timed_training import LEVERS, ROOT, earlier_build, time_training, windows

sys.path.insert(0, str(ROOT))

import torch

GFLOP_PER_IMAGE = 10.5
PEER = """
import importlib.util, sys, tempfile, time, types
from pathlib import Path
import torch
import numpy as np
from PIL import Image
batch, steps = int(sys.argv[1]), int(sys.argv[2])
spec = importlib.util.find_spec("lightweight_gan")
package = types.ModuleType("lightweight_gan"); package.__path__ = list(spec.submodule_search_locations)
sys.modules["lightweight_gan"] = package
file = Path(package.__path__[0]) / "lightweight_gan.py"
source = file.read_text(encoding="utf-8")
if not torch.cuda.is_available():  # it refuses machines without a GPU
    for text, other in {"assert torch.cuda.is_available(), 'You need to have an Nvidia GPU with CUDA installed.'": "",
                        ".cuda(self.rank)": "", "self.cuda(rank)": "None",
                        "torch.device(f'cuda:{self.rank}')": "torch.device('cpu')"}.items():
        source = source.replace(text, other)
module = types.ModuleType("lightweight_gan.lightweight_gan")
exec(compile(source, str(file), "exec"), vars(module))
with tempfile.TemporaryDirectory() as folder:
    pictures = Path(folder) / "pictures"; pictures.mkdir()
    noise = np.random.default_rng(0)
    for number in range(256):
        Image.fromarray(noise.integers(0, 256, (128, 128, 3), np.uint8)).save(pictures / f"{number}.png")
    trainer = module.Trainer(name="peer", base_dir=folder, image_size=128, batch_size=batch, attn_res_layers=[],
                             gradient_accumulate_every=1, disc_output_size=1, save_every=10**9, evaluate_every=10**9,
                             num_workers=0 if not torch.cuda.is_available() else 4, use_aim=False, amp=torch.cuda.is_available())
    trainer.evaluate = trainer.save = lambda *_, **__: None
    trainer.set_data_src(str(pictures))
    trainer.init_GAN()
    best = 0.0
    for window in range(4):
        started = time.monotonic()
        for _ in range(steps):
            trainer.train()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if window:
            best = max(best, batch * steps / (time.monotonic() - started))
    print(best)
"""  # noqa: E501


def matmul_flops() -> float:
    """FLOP/s of a large bf16 matrix product."""
    device, size = ("cuda", 8192) if torch.cuda.is_available() else ("cpu", 2048)
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = 0.0
    for _ in range(8):
        started = time.monotonic()
        for _ in range(4):
            a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * size**3 / (time.monotonic() - started))
    return best


def peer_speed(python: str, batch_size: int, steps: int) -> float:
    """Images per second of lightweight-gan's trainer; 0 if the batch does not fit."""
    done = subprocess.run([python, "-c", PEER, str(batch_size), str(steps)], capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_sizes", default="32,64,128,256")
    parser.add_argument("--earlier", default="d97bb87", help="commit to compare with; empty for none")
    parser.add_argument("--peer", help="Python of an environment with lightweight-gan")
    parser.add_argument("--steps", type=int, default=50, help="steps per window; even, since half of them use crops")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--levers", action=argparse.BooleanOptionalAction, default=True, help="also without each")
    parser.add_argument("--covers", default="synthetic", help="folder of covers; by default synthetic ones")
    arguments = parser.parse_args()

    sizes = [int(size) for size in arguments.batch_sizes.split(",")]
    covers = (
        ["--dataset_name", "synthetic"] if arguments.covers == "synthetic" else ["--train_data_dir", arguments.covers]
    )
    roof = matmul_flops()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    print(f"{name}, torch {torch.__version__}, bf16 matrix product {roof / 1e12:.2f} TFLOP/s\n")
    best: dict[tuple[str, int], tuple[float, float]] = {}

    def note(side: str, size: int, speed: float, memory: float) -> None:
        best[side, size] = max(best.get((side, size), (0.0, 0.0)), (speed, memory))

    def run(side: str, size: int, root=ROOT, without=(), extra=()) -> None:
        result = time_training(root, [*windows(arguments.steps, size), *covers, *extra], without)
        note(side, size, max(result["images_per_second"]), result["memory"])

    for _ in range(arguments.rounds):
        for size in sizes:
            run("this build", size)
            if arguments.peer:
                note("lightweight-gan", size, peer_speed(arguments.peer, size, arguments.steps), 0.0)
        if torch.cuda.is_available():  # on CPUs compiling takes longer than everything else
            fastest = max(sizes, key=lambda size: best["this build", size])
            run("this build, --compile", fastest, extra=["--compile"])
        if arguments.earlier:
            with earlier_build(arguments.earlier) as root:
                for size in sizes:
                    run(f"build {arguments.earlier}", size, root)
        if arguments.levers:
            for lever in LEVERS:
                run(f"without {lever}", sizes[0], without=(lever,))

    print("| | batch | images/s | share of the roof | memory, GB |\n| --- | --- | --- | --- | --- |")
    for (side, size), (speed, memory) in best.items():
        share = f"{speed * GFLOP_PER_IMAGE * 1e9 / roof:.1%}" if "lightweight" not in side else ""
        print(f"| {side} | {size} | {speed:,.1f} | {share} | {memory or ''} |")
    for other in {side for side, _ in best} - {"this build", "this build, --compile"}:
        if not other.startswith("without"):
            ours, theirs = (max(v[0] for k, v in best.items() if chosen(k[0])) for chosen in (
                lambda side: side.startswith("this build"), lambda side, other=other: side == other))  # fmt: skip
            print(f"\nat their best batch sizes {ours / theirs:.2f} times {other}" if theirs else f"\n{other} failed")


if __name__ == "__main__":
    main()
