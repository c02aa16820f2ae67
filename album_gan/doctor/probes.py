"""Checks of `album-gan doctor` in separate processes: torch, and reading covers.

An import that raises, hangs or crashes ends such a process, not the report. Each finding is printed as a line of JSON
immediately, so that findings before a crash count. Run as `python -m album_gan.doctor.probes torch`.
"""

import json
import sys
import warnings
from typing import Any

DECODED = 20  # covers of a data set, to see whether they can be read


def report(**found: Any) -> None:
    """Print what was found."""
    print(json.dumps(found), flush=True)


def probe_torch() -> None:
    """Version and build, then the GPUs that it sees, then a convolution, bf16 and a compiled function on each."""
    report(doing="importing torch")
    import torch

    from album_gan import runtime

    report(version=torch.__version__, cuda=torch.version.cuda, hip=torch.version.hip)
    report(doing="looking for GPUs")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    report(
        gpus=[_gpu(number) for number in range(count)], built_for=torch.cuda.get_arch_list() if count else [],
        warning=" ".join(str(caught[0].message).split()) if caught else "", mps=torch.backends.mps.is_available(),
    )  # fmt: skip
    gpus = [f"cuda:{number}" for number in range(count)] or ["mps"] * torch.backends.mps.is_available()
    for device in ("cpu", *gpus):
        report(doing=f"computing on {device}")
        try:
            convolution = torch.nn.Conv2d(3, 8, 3).to(device)
            loss = convolution(torch.ones(2, 3, 16, 16, device=device)).sum()
            loss.backward()
            report(computes=device, loss=loss.item())  # waits for the GPU
        except Exception as error:  # the next device may work
            report(fails=device, why=_one_line(error))
    report(doing="asking for bf16")
    report(bf16=runtime.fast_in_bfloat16([*gpus, "cpu"][0].partition(":")[0]))
    if count:  # without a GPU nothing is compiled
        report(doing="compiling with torch.compile")
        function = torch.compile(lambda x: torch.relu(x * 2 + 1).sum())
        report(compiles=bool(function(torch.ones(64, device="cuda")).item() == 192))


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _gpu(number: int) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(number)
    try:
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError:  # no room for another process, or none is allowed
        free, total = 0, properties.total_memory
    capability = f"{properties.major}{properties.minor}"
    return {"name": properties.name, "free": free, "total": total, "capability": capability}


def probe_covers(folder: str | None, name: str | None, data_files: str | None) -> None:
    """How many covers there are, and whether the first can be decoded."""
    report(doing="importing what reads covers")
    from album_gan.covers.dataset import CoverSource, load_covers
    from album_gan.covers.decoding import decode, read_bytes

    report(doing="reading the data set")
    split = load_covers(CoverSource(train_data_dir=folder, dataset_name=name, data_files=data_files))
    broken = []
    for row in split.train.rows.select(range(min(DECODED, len(split.train.rows))))[split.train.image_column]:
        try:
            decode(read_bytes(row), 128)
        except ValueError as error:
            broken.append(" ".join(str(error).split()))
    report(train=len(split.train.rows), held_out=len(split.held_out.rows), broken=broken)


if __name__ == "__main__":
    what, *options = sys.argv[1:]
    try:
        probe_torch() if what == "torch" else probe_covers(*(option or None for option in options))
    except Exception as error:
        report(error=_one_line(error))
        sys.exit(1)
