"""torch, and the GPUs that it can use. Standard library only."""

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from .findings import Context, Finding

LEAST_FREE = 2e9
NVIDIA = "0x10de"  # PCI vendor
WHEELS = "https://download.pytorch.org/whl"


def check_torch(context: Context) -> Iterator[Finding]:
    """Whether it is there, imports and computes, and which build it is."""
    probe = context.torch
    if find_spec("torch") is None:
        yield Finding("problem", "torch is not installed", _install_torch(context))
        return
    if probe.get("version") is None:
        here = next((path for path in (Path("torch.py"), Path("torch")) if path.exists()), None)
        if here:
            yield Finding("problem", f"{here} in this folder hides the installed torch", f"mv {here} my_{here}")
            return
        fix = _install_torch(context, "--force-reinstall ")
        libraries = os.environ.get("LD_LIBRARY_PATH")
        if libraries and ".so" in (probe.error() or ""):
            fix = f"unset LD_LIBRARY_PATH   # it is {libraries}; if that does not help: {fix}"
        yield Finding("problem", f"torch is installed, but does not work: {probe.error()}", fix)
        return
    build = f"CUDA {probe.get('cuda')}" if probe.get("cuda") else "ROCm" if probe.get("hip") else "the CPU"
    version = f"{probe.get('version')}, built for {build}"
    why = _why_not(context, "cpu")
    if why:
        yield Finding("problem", f"{version}: {why}", _install_torch(context, "--force-reinstall "))
    else:
        yield Finding("ok", version)


def _why_not(context: Context, device: str) -> str:
    """Why torch does not compute on a device, "" if it does."""
    probe = context.torch
    if any(line.get("computes") == device for line in probe.results()):
        return ""
    failed = (line["why"] for line in probe.results() if line.get("fails") == device)
    return next(failed, probe.error() or "it returned no result")


def check_gpus(context: Context) -> Iterator[Finding]:
    """Whether torch can use the GPUs that are there, and if not, why."""
    probe = context.torch
    gpus = probe.get("gpus")
    if not gpus:
        yield _no_gpu(context)
        return
    built_for = probe.get("built_for") or []
    for number, gpu in enumerate(gpus):
        words = f"{gpu['name']}, {gpu['free'] / 1e9:.1f} of {gpu['total'] / 1e9:.1f} GB free"
        words += f", driver {context.smi['driver']}" if context.smi else ""
        why = _why_not(context, f"cuda:{number}")
        if why and not _is_built_for(gpu["capability"], built_for):
            text = f"{words}: {why}; it is an sm_{gpu['capability']}, and torch is built for {', '.join(built_for)}"
            yield Finding("problem", text, _install_torch(context, "--force-reinstall "))
        elif gpu["free"] < LEAST_FREE:
            yield Finding("problem", f"{words}: another process uses it", "nvidia-smi   # shows which one; stop it")
        elif why:
            yield Finding("problem", f"{words}: {why}", "nvidia-smi   # shows its state; sudo reboot resets it")
        else:
            yield Finding("ok", words)


def _is_built_for(capability: str, built_for: list[str]) -> bool:
    """Whether code for these architectures, as "sm_86" or "compute_90", runs on a GPU of `capability`, as "89".

    Machine code runs on later GPUs of the same major version, intermediate code on all later ones (CUDA's Programming
    Guide, "Compute Capabilities"). True for names of AMD's architectures, which say nothing of capabilities.
    """
    for name in built_for:
        kind, _, number = name.partition("_")
        if not number:
            return True
        number = number.rstrip("af")  # features of one GPU or one family
        if int(number) <= int(capability) and (kind == "compute" or number[:-1] == capability[:-1]):
            return True
    return False


def _no_gpu(context: Context) -> Finding:
    probe, smi = context.torch, context.smi
    if probe.get("mps"):
        return Finding("ok", "Apple's GPU (mps)")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if smi and visible is not None and not visible.replace("-1", "").strip():
        return Finding("problem", f"CUDA_VISIBLE_DEVICES={visible!r} hides {smi['name']}", "unset CUDA_VISIBLE_DEVICES")
    if smi and probe.get("version") is None:
        return Finding("note", f"{smi['name']}, driver {smi['driver']}, but torch does not work")
    if smi and not probe.get("cuda"):
        text = f"{smi['name']} is there, but this torch is built for the CPU"
        return Finding("problem", text, _install_torch(context, "--force-reinstall "))
    if smi:
        why = probe.get("warning") or probe.error() or "torch does not see it"
        text = f"{smi['name']}, driver {smi['driver']} up to CUDA {smi['cuda']}, torch for {probe.get('cuda')}: {why}"
        return Finding("problem", text, _install_torch(context, "--force-reinstall "))
    if _on_the_bus():
        inside = Path("/.dockerenv").exists()
        fix = "docker run --gpus all ..." if inside else "sudo ubuntu-drivers install && sudo reboot"
        return Finding("problem", "an NVIDIA GPU is in this machine, but its driver is not loaded", fix)
    return Finding("note", "none: everything runs on the CPU")


def _on_the_bus() -> bool:
    """Whether Linux lists a display device or accelerator of NVIDIA."""
    for device in Path("/sys/bus/pci/devices").glob("*"):
        try:
            kind = (device / "class").read_text(encoding="utf-8")
            if (device / "vendor").read_text(encoding="utf-8").strip() == NVIDIA and kind.startswith("0x03"):
                return True
        except OSError:
            continue
    return False


def _install_torch(context: Context, options: str = "") -> str:
    """The pip command for the build that fits: any driver for CUDA 12 runs all builds for CUDA 12."""
    if sys.platform != "linux":
        return f"pip install {options}torch"
    if context.smi is None:
        return f"pip install {options}torch --index-url {WHEELS}/cpu"
    newest = context.smi["cuda"].partition(".")[0]
    if newest.isdecimal() and int(newest) < 12:
        return f"update the driver to 525 or newer, then: pip install {options}torch --index-url {WHEELS}/cu126"
    return f"pip install {options}torch --index-url {WHEELS}/{'cu128' if newest == '12' else 'cu130'}"


def check_bf16(context: Context) -> Iterator[Finding]:
    """Whether it is computed in hardware."""
    found = context.torch.get("bf16")
    if found is None:
        yield Finding("note", "not checked, because torch does not work")
    elif found:
        yield Finding("ok", "in hardware; --mixed_precision auto uses it")
    else:
        yield Finding("ok", "not in hardware; --mixed_precision auto trains in fp32")


def check_compile(context: Context) -> Iterator[Finding]:
    """torch.compile, tried where there is a GPU."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang") or shutil.which("cl")
    if context.torch.get("compiles"):
        yield Finding("ok", "torch.compile works on the GPU")
    elif context.torch.get("gpus"):
        fix = "" if compiler else "apt-get install -y gcc python3-dev"
        yield Finding("note", f"{context.torch.error() or 'torch.compile gave a wrong result'}"[:300], fix)
    elif compiler:
        yield Finding("ok", f"not tried without a GPU; there is a compiler, {compiler}")
    else:
        yield Finding("note", "not tried without a GPU; no C compiler is installed, which torch.compile needs")
