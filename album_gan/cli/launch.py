"""Exact commands to train elsewhere: on one or more GPUs, on several machines, as a job on the Hub."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..training.config import TrainingConfig

# Options of the command, and their number of values.
NOT_OF_THE_RUN = {"dry_run": 0, "price_per_hour": 1, "on": 1}
PRESET, DEVICE = {"config": 1}, {"device": 1}
SEVERAL, MACHINES = 4, 2  # GPUs per machine and machines in the examples, for users to change
IMAGE = "pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime"
CODE, COVERS = "/code", "/covers"  # mount points in a job
SPARE_MINUTES = 30  # added to a job's timeout, for installing, decoding and publishing


def options_of_the_run(arguments: list[str], left_out: Mapping[str, int] = NOT_OF_THE_RUN) -> list[str]:
    """`arguments` without the dry run's options, or those in `left_out`: {name: number of values}."""
    kept, skip = [], 0
    for argument in arguments:
        name, equals, _ = argument.removeprefix("--").partition("=")
        values = left_out.get(name.replace("-", "_")) if argument.startswith("--") else None
        if skip:
            skip -= 1
        elif values is None:
            kept.append(argument)
        elif not equals:
            skip = values
    return kept


def launch(options: list[str], processes: int = 1, machines: int = 1, rank: int = 0, cpu: bool = False) -> str:
    """A command line with `accelerate launch` that does not depend on `accelerate config`."""
    words = ["accelerate", "launch"]
    words += ["--cpu"] if cpu else ["--multi_gpu"] if processes > 1 else []
    words += ["--num_machines", str(machines), "--num_processes", str(processes)]
    words += ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the run's own options decide
    if machines > 1:
        words += ["--machine_rank", str(rank), "--main_process_ip", "FIRST_MACHINE", "--main_process_port", "29500"]
    return shlex.join([*words, "train.py", *options])


def lines(arguments: list[str]) -> Iterator[str]:
    """Commands to start this run on various machines."""
    import torch

    options = options_of_the_run(arguments)
    on_gpus = options_of_the_run(options, DEVICE)
    count = max(SEVERAL, torch.cuda.device_count())
    if not torch.cuda.is_available():
        yield "\non the CPU:"
        yield f"  {launch(options, cpu=True)}"
    yield "\non one GPU:"
    yield f"  {launch(on_gpus)}"
    yield f"on {count} GPUs, each with its own batch, so a step has {count} times as many images:"
    yield f"  {launch(on_gpus, count)}"
    yield f"on {MACHINES} machines with {count} GPUs each, all of which see the same covers; one line for each:"
    for rank in range(MACHINES):
        yield f"  {launch(on_gpus, count * MACHINES, MACHINES, rank)}"


def job(place: str, arguments: list[str], config: TrainingConfig) -> Iterator[str]:
    """The commands to train on the Hub's machines, where the local folders that the run reads are mounted.

    `arguments` are without --config, whose file is not there. Raises ValueError for an unknown place or machine, and
    for data_files.
    """
    from huggingface_hub import JobHardware

    kind, _, flavor = place.partition(":")
    flavors = [hardware.value for hardware in JobHardware]
    if kind != "hf" or flavor not in flavors:
        raise ValueError(f"on must be hf: and one of {', '.join(flavors)}, got {place!r}; e.g. hf:l4x1")
    cpu, count = flavor.startswith("cpu"), re.search(r"x(\d+)$", flavor)
    options = options_of_the_run(arguments, NOT_OF_THE_RUN if cpu else NOT_OF_THE_RUN | DEVICE)
    volumes = ["-v", f"/tmp/album_gan:{CODE}:ro"]
    if config.train_data_dir:
        volumes += ["-v", f"{Path(config.train_data_dir).absolute()}:{COVERS}:ro"]
        options = [*options, "--train_data_dir", COVERS]  # the last one counts
    if config.data_files:
        raise ValueError(
            f"data_files must be left out on {place}, got {config.data_files!r}; name their folder by train_data_dir"
        )
    for name, read in (("init_from", config.init_from), ("resume_from_checkpoint", config.resume_from_checkpoint)):
        if read and Path(read).is_dir():
            volumes += ["-v", f"{Path(read).absolute()}:/{name}:ro"]
            options = [*options, f"--{name}", f"/{name}"]
    steps = [
        f"cp -r {CODE} /tmp/album_gan", "cd /tmp/album_gan", "pip install -q -e '.[train]'", "album-gan doctor",
        launch(options, int(count[1]) if count else 1, cpu=cpu),
    ]  # fmt: skip
    timeout = f"{round(config.minutes + SPARE_MINUTES)}m" if config.minutes else "24h"
    words = ["hf", "jobs", "run", "--flavor", flavor, "--timeout", timeout, "--secrets", "HF_TOKEN", *volumes]
    if not config.push_to_hub:
        yield "# A job's disk is deleted when it ends: add --push_to_hub --hub_model_id YOUR_NAME/album-covers."
    if not config.minutes:
        yield "# The job ends after 24 hours, finished or not; with --minutes its timeout is long enough."
    yield "rm -rf /tmp/album_gan && git archive --prefix=album_gan/ HEAD | tar -x -C /tmp"
    yield shlex.join([*words, IMAGE, "bash", "-c", " && ".join(steps)])
