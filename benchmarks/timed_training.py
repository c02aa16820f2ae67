"""One short training run in its own process, for the other benchmarks: images per second, and memory.

    python benchmarks/timed_training.py ROOT [--without LEVER,...] OPTIONS_OF_TRAIN_PY

ROOT is a checkout of this project, or of an earlier commit. Prints JSON: `images_per_second` of each window of the log
except the first, which includes start-up, and `memory`, the peak in GB (of the GPU, else of the process).
"""

import contextlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def replace(owner: Any, name: str, function: Callable) -> None:
    """Set an existing attribute; a lever whose function was renamed would measure nothing."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, function)


def without_draws_ahead() -> None:
    """Copy each random draw separately."""
    from album_gan.recipes import named_random

    replace(named_random.DrawPlan, "draw_ahead", lambda _plan, _draw: {})


def without_covers_on_the_gpu() -> None:
    """Load covers with a data loader."""
    from album_gan.covers import batches

    replace(batches, "fits_on", lambda _device, _covers: False)


def without_held_weights() -> None:
    """Let autocast cast the frozen network, in each forward."""
    from album_gan.recipes import projected

    replace(projected.Recipe, "cast_frozen_weights", lambda *_: None)


def without_fused_optimizers() -> None:
    """Use torch's default Adam."""
    import torch

    from album_gan.recipes import base

    def adam(network, learning_rate, betas):
        return torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate, betas=betas)

    replace(base, "adam", adam)


def without_tuned_kernels() -> None:
    """Disable cuDNN's kernel selection and TF32."""
    from album_gan import runtime

    replace(runtime, "choose_kernels", lambda _deterministic: None)


LEVERS: dict[str, Callable[[], None]] = {
    "draws ahead": without_draws_ahead,
    "covers on the GPU": without_covers_on_the_gpu,
    "weights held in bf16": without_held_weights,
    "fused optimisers": without_fused_optimizers,
    "tuned kernels": without_tuned_kernels,
}


def time_training(root: Path, options: list[str], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run this file for one configuration; see the top."""
    command = [sys.executable, __file__, str(root)]
    if without:
        command += ["--without", ",".join(without)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command + options)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def earlier_build(commit: str) -> Iterator[Path]:
    """The files of an earlier commit, from git, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "build.tar"
        subprocess.run(["git", "-C", ROOT, "archive", "-o", archive, commit, "album_gan", "train.py"], check=True)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def windows(steps: int, batch_size: int, count: int = 4) -> list[str]:
    """Options for a training run of `count` windows of `steps` steps, and nothing else."""
    return [
        "--max_train_steps", str(steps * count), "--logging_steps", str(steps), "--train_batch_size", str(batch_size),
        "--evaluation_images", "0", "--sample_images", "1000000000", "--checkpointing_steps", "1000000000",
        "--report_to", "none",
    ]  # fmt: skip


def main(root: str, *options: str) -> None:
    sys.path.insert(0, root)
    if options[0] == "--without":
        for lever in options[1].split(","):
            LEVERS[lever]()
        options = options[2:]
    import torch

    import train

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        status = train.main([*options, "--output_dir", folder])
        if status:
            raise SystemExit(status)
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text("utf-8").splitlines()]
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated()
    else:
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    speeds = speed_of_windows(lines, int(options[options.index("--logging_steps") + 1]))
    print(json.dumps({"images_per_second": speeds[1:], "memory": round(memory / 1e9, 2)}))


def speed_of_windows(lines: list[dict[str, Any]], steps: int) -> list[float]:
    """Images per second of each window of `steps`; the log may have lines in between, each since the previous one."""
    windows: dict[int, tuple[int, float]] = {}
    before = 0
    for line in lines:
        if "images_per_second" in line:
            images, seconds = windows.get(-(-line["step"] // steps), (0, 0.0))
            new = line["images"] - before
            windows[-(-line["step"] // steps)] = images + new, seconds + new / line["images_per_second"]
            before = line["images"]
    return [images / seconds for images, seconds in windows.values()]


if __name__ == "__main__":
    main(*sys.argv[1:])
