"""The checks of `album-gan doctor`, in the order in which they are printed. Standard library only."""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

OLDEST_PYTHON = (3, 11)
PROBE_SECONDS = 180
HUB_SECONDS = 8
TRIED_BYTES = 16_000_000  # written, read and deleted again
LEAST_DISK, ENOUGH_DISK = 1e9, 10e9
LEAST_MEMORY, ENOUGH_MEMORY = 2e9, 4e9
LEAST_CARD = 2e9
ENOUGH_SHARED = 512e6  # batches pass through it on their way from the data loader; Docker gives 64 MB
NVIDIA = "0x10de"  # PCI vendor
WHEELS = "https://download.pytorch.org/whl"
BY_PREFIX = re.compile(r"hf_[A-Za-z0-9]{6,}|(?<=://)[^/@\s]+:[^/@\s]+(?=@)")  # tokens; a proxy's user and password


@dataclass(frozen=True)
class Finding:
    """What one check says: a line, and what to type where it is no good news."""

    status: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""
    name: str = ""


class Probe:
    """A process of `doctor_probes.py`, and what it has printed when it ended, however it ended."""

    def __init__(self, *arguments: str):
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "album_gan.cli.doctor_probes", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        )  # fmt: skip
        self._results: list[dict[str, Any]] | None = None

    def results(self) -> list[dict[str, Any]]:
        """Its lines; the last one has `error` where it did not come to its end."""
        if self._results is None:
            try:
                out, err = self.process.communicate(timeout=PROBE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                out, err = self.process.communicate()
                err = f"no end within {PROBE_SECONDS} s"
            self._results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            if self.process.returncode and not self._found("error"):
                self._results.append({"error": self._death(err)})
        return self._results

    def get(self, key: str) -> Any:
        """The last value reported under `key`, None where there is none."""
        return next((line[key] for line in reversed(self.results()) if key in line), None)

    def error(self) -> str | None:
        """Why it ended early, and at what."""
        error = self.get("error")
        return error and f"{self.get('doing') or 'starting Python'} failed: {error}"

    def _found(self, key: str) -> bool:
        return any(key in line for line in self._results or [])

    def _death(self, err: str) -> str:
        code = self.process.returncode
        last = next((line for line in reversed(err.splitlines()) if line.strip()), "")
        return f"killed by {signal.Signals(-code).name} {last}".strip() if code < 0 else last or f"exit code {code}"


class Context:
    """What is to be examined, and the probes, which run while other checks do their work."""

    def __init__(self, output_dir: Path, folder: str | None, name: str | None, data_files: str | None):
        self.output_dir = output_dir
        self.data_set = (folder, name, data_files)
        self.smi = _nvidia_smi()

    def __enter__(self) -> "Context":
        self.torch = Probe("torch")
        self.covers = Probe("covers", *(part or "" for part in self.data_set)) if any(self.data_set) else None
        return self

    def __exit__(self, *_: object) -> None:
        for probe in filter(None, (self.torch, self.covers)):
            probe.process.kill()
            probe.process.communicate()


# --- Python and packages


def check_python(_: Context) -> Iterator[Finding]:
    """Its version, and whether packages go into an environment of their own."""
    where = f"{platform.python_version()}, {sys.executable}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("problem", f"{where}: {oldest} or newer is needed", f"python{oldest} -m venv .venv")
    elif sys.maxsize < 2**32:
        yield Finding("problem", f"{where} is a 32-bit build, for which there is no torch", "install a 64-bit Python")
    else:
        yield Finding("ok", where)


def check_packages(_: Context) -> Iterator[Finding]:
    """Whether those of the core are there; which extras are complete."""
    missing: dict[str, list[str]] = {}
    complete = set()
    for extra, requirement in _requirements():
        complete.add(extra)
        if not _is_met(requirement):
            missing.setdefault(extra, []).append(requirement)
    if not complete:
        yield Finding("problem", "album-gan is not installed, only its folder is here", "pip install -e '.[train]'")
        return
    if core := [name for name in missing.pop("", []) if not name.startswith("torch")]:
        yield Finding("problem", f"missing or too old: {', '.join(core)}", "pip install -e .")
    if "train" in missing:
        yield Finding("note", f"training also needs {', '.join(missing['train'])}", "pip install -e '.[train]'")
    extras = sorted(complete - missing.keys() - {""})
    yield Finding("ok", f"album-gan {importlib.metadata.version('album-gan')}, extras: {', '.join(extras) or 'none'}")


def _requirements() -> Iterator[tuple[str, str]]:
    """(extra, requirement) of the installed distribution; the core's extra is ''."""
    try:
        requirements = importlib.metadata.requires("album-gan") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in requirements:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", marker)
        if not requirement.startswith("album-gan"):
            yield extra[1] if extra else "", requirement


def _is_met(requirement: str) -> bool:
    """Whether a distribution is there, in a version that fits where `packaging` can compare them."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    try:
        found = importlib.metadata.version(name[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return True
    return Requirement(requirement).specifier.contains(found, prereleases=True)


# --- torch and cards


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
    if probe.get("computes") is None:
        fix = _install_torch(context, "--force-reinstall ")
        yield Finding("problem", f"{version}: {probe.error() or 'it computed nothing'}", fix)
    else:
        yield Finding("ok", version)


def check_cards(context: Context) -> Iterator[Finding]:
    """Whether torch can use the cards that are there, and if not, why."""
    probe = context.torch
    cards = probe.get("cards")
    if not cards:
        yield _no_card(context)
        return
    computed = {line["computes"] for line in probe.results() if "computes" in line}
    for number, card in enumerate(cards):
        words = f"{card['name']}, {card['free'] / 1e9:.1f} of {card['total'] / 1e9:.1f} GB free"
        words += f", driver {context.smi['driver']}" if context.smi else ""
        if f"cuda:{number}" not in computed:
            built_for = ", ".join(probe.get("built_for") or [])
            why = probe.error() or "it computed nothing"
            text = f"{words}: {why}; it is an sm_{card['capability']}, and torch is built for {built_for}"
            yield Finding("problem", text, _install_torch(context, "--force-reinstall "))
        elif card["free"] < LEAST_CARD:
            yield Finding("problem", f"{words}: another process uses it", "nvidia-smi   # which one, then end it")
        else:
            yield Finding("ok", words)


def _no_card(context: Context) -> Finding:
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
        return Finding("problem", "an NVIDIA card is in this machine, but its driver is not loaded", fix)
    return Finding("note", "none: everything runs on the CPU")


def _nvidia_smi() -> dict[str, str] | None:
    """Name, driver and newest CUDA of the first card, as the driver's own tool says; None without it or without one."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        first = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()[0]
        banner = subprocess.run([command], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError, IndexError):
        return None
    name, _, driver = (part.strip() for part in first.rpartition(","))
    cuda = re.search(r"CUDA\D*?Version:\s*([\d.]+)", banner)
    return {"name": name, "driver": driver, "cuda": cuda[1] if cuda else "unknown"}


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
    """torch.compile, tried where there is a card."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang") or shutil.which("cl")
    if context.torch.get("compiles"):
        yield Finding("ok", "torch.compile works on the card")
    elif context.torch.get("cards") and context.torch.get("computes"):
        fix = "" if compiler else "apt-get install -y gcc python3-dev"
        yield Finding("note", f"{context.torch.error() or 'torch.compile gave a wrong result'}"[:300], fix)
    elif compiler:
        yield Finding("ok", f"not tried without a card; there is a compiler, {compiler}")
    else:
        yield Finding("note", "not tried without a card; no C compiler is installed, which torch.compile needs")


def check_allocator(_: Context) -> Iterator[Finding]:
    """Of CPU memory, which decides much of the speed on CPUs, and the settings of the one for cards."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    settings = "".join(f", {name}={os.environ[name]}" for name in names if os.environ.get(name))
    preloaded = re.search(r"jemalloc|tcmalloc|mimalloc", os.environ.get("LD_PRELOAD", ""))
    if preloaded:
        yield Finding("ok", f"{preloaded[0]} by LD_PRELOAD{settings}")
    elif sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        yield Finding("note", f"not glibc's, so training on the CPU waits for memory more often{settings}")
    else:
        yield Finding("ok", f"of the system{settings}")


# --- Cores, memory, disk


def check_cores(_: Context) -> Iterator[Finding]:
    """How many may be used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _number_in(Path("/sys/fs/cgroup/cpu.max"))
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if quota and quota / 100_000 < cores:
        allowed = max(1, round(quota / 100_000))
        text = f"{cores} cores, but this container may use {quota / 100_000:g} of them"
        yield Finding("note", text, f"export OMP_NUM_THREADS={allowed}")
    elif threads.isdecimal() and int(threads) < cores:
        yield Finding("note", f"{cores} cores, of which OMP_NUM_THREADS={threads} uses fewer", "unset OMP_NUM_THREADS")
    else:
        yield Finding("ok", f"{cores} cores, {platform.machine()}")


def check_memory(_: Context) -> Iterator[Finding]:
    """Main memory that is free, or that the container may take."""
    try:
        kilobytes = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8")))
    except OSError:
        yield Finding("ok", "not counted on this system")
        return
    total, free = (int(kilobytes[key]) * 1024 for key in ("MemTotal", "MemAvailable"))
    limit = _number_in(Path("/sys/fs/cgroup/memory.max"))
    if limit and limit < total:
        total, free = limit, min(free, limit - (_number_in(Path("/sys/fs/cgroup/memory.current")) or 0))
    text = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    fix = "end other programs, or train with a smaller --train_batch_size"
    if free < LEAST_MEMORY:
        yield Finding("problem", f"{text}: training at 128 px takes {LEAST_MEMORY / 1e9:g} GB or more", fix)
    elif free < ENOUGH_MEMORY:
        yield Finding("note", f"{text}: little for training", fix)
    else:
        yield Finding("ok", text)


def check_shared_memory(context: Context) -> Iterator[Finding]:
    """/dev/shm, through which batches and NCCL's data pass."""
    if not Path("/dev/shm").is_dir():
        yield Finding("ok", "not limited on this system")
        return
    size = shutil.disk_usage("/dev/shm").total
    if size >= ENOUGH_SHARED:
        yield Finding("ok", f"{size / 1e9:.1f} GB")
        return
    severe = len(context.torch.get("cards") or []) > 1
    text = f"{size / 1e6:.0f} MB: large batches end in a bus error"
    fix = "docker run --ipc=host ...   # or train with --dataloader_num_workers 0"
    yield Finding("problem" if severe else "note", text, fix)


def _number_in(path: Path) -> int | None:
    """The first number in a file of the kernel; None for `max`, and where there is no such file."""
    try:
        first = path.read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        return None
    return int(first) if first.isdecimal() else None


def check_disk(context: Context) -> Iterator[Finding]:
    """Where runs will be: room, and a file written, read and deleted."""
    yield _tried_folder(context.output_dir, "--output_dir ANOTHER_FOLDER   # or make room")


def check_caches(_: Context) -> Iterator[Finding]:
    """Where decoded covers go, and what comes from the Hub."""
    folders = {"ALBUM_GAN_CACHE": Path.home() / ".cache" / "album_gan", "HF_HOME": _hub_home()}
    folders |= {name: Path() for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE") if os.environ.get(name)}
    for name, default in folders.items():
        folder = Path(os.environ.get(name) or default).expanduser()
        yield _tried_folder(folder, f"export {name}=ANOTHER_FOLDER   # or make room")


def _tried_folder(folder: Path, fix: str) -> Finding:
    """A folder, or the one in which it would be made: writing, reading, listing, and room."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    where = str(folder.absolute())
    try:
        if not existing.is_dir():
            raise NotADirectoryError(f"{existing} is a file")
        os.listdir(existing)
        speed = _write_and_read(existing)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding("problem", f"{where} cannot be used: {error.strerror or error}", fix)
    text = f"{where}: {free / 1e9:.1f} GB free, writes {speed / 1e6:,.0f} MB/s"
    if free < LEAST_DISK:
        return Finding("problem", f"{text}; a run takes {LEAST_DISK / 1e9:g} GB and more", fix)
    return Finding("ok" if free >= ENOUGH_DISK else "note", text, "" if free >= ENOUGH_DISK else fix)


def _write_and_read(folder: Path) -> float:
    """Bytes per second that reach the disk. OSError where they do not, or come back as others."""
    content = os.urandom(TRIED_BYTES)
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".album-gan-doctor-") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        took = time.monotonic() - started
        file.seek(0)
        if file.read() != content:
            raise OSError("what was written reads back as something else: the disk is broken")
    return TRIED_BYTES / max(took, 1e-6)


# --- The Hub and covers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def check_hub(_: Context) -> Iterator[Finding]:
    """Whether it answers, and knows the token."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding("ok", "not used, as HF_HUB_OFFLINE says")
        return
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    token, source = _token()
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        yield Finding("problem", f"the token in {source} holds characters that no token has", "hf auth login")
        return
    request = urllib.request.Request(f"{endpoint}/api/whoami-v2")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=HUB_SECONDS) as answer:
            account = json.load(answer)
    except urllib.error.HTTPError as error:
        yield _refusal(error.code, endpoint, token, source)
        return
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error)).strip() or type(error).__name__
        text = f"{endpoint} cannot be reached ({reason}); training and drawing do without it"
        yield Finding("note", text, "export HF_HUB_OFFLINE=1   # no waiting for it")
        return
    role = str(((account.get("auth") or {}).get("accessToken") or {}).get("role") or "unknown")
    text = f"logged in as {account.get('name')}, with a token from {source} of the kind {role}"
    yield Finding("note", f"{text}: it cannot push", "hf auth login") if role == "read" else Finding("ok", text)


def _refusal(code: int, endpoint: str, token: str | None, source: str) -> Finding:
    if code in (401, 403) and token:
        return Finding("problem", f"{endpoint} refuses the token in {source} ({code})", "hf auth login")
    if code in (401, 403):
        return Finding("ok", f"{endpoint} can be reached; no token, so nothing private, and no push")
    if 300 <= code < 400:
        text = f"{endpoint} answers with a redirect ({code}): a login page of this network?"
        return Finding("note", text, "export HF_HUB_OFFLINE=1   # or log in to the network")
    return Finding("note", f"{endpoint} answers {code}; try again later")


def _hub_home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()


def _token() -> tuple[str | None, str]:
    """The token that huggingface_hub would take, and where it is."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token, name
    path = Path(os.environ.get("HF_TOKEN_PATH") or _hub_home() / "token").expanduser()
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None, str(path)
    except OSError:
        return None, str(path)


def without_secrets(text: str) -> str:
    """`text` without the tokens and passwords of this machine."""
    for secret in (_token()[0], os.environ.get("WANDB_API_KEY")):
        if secret:
            text = text.replace(secret, "***")
    return BY_PREFIX.sub("***", " ".join(text.split()))


def check_covers(context: Context) -> Iterator[Finding]:
    """Whether the data set can be read."""
    probe = context.covers
    if probe is None:
        yield Finding("ok", "none named; --train-data-dir or --dataset-name looks into a data set")
        return
    train, broken = probe.get("train"), probe.get("broken")
    if train is None:
        error = (probe.error() or "it could not be read").replace("reading the data set failed: ValueError: ", "")
        yield Finding("problem", error, "album-gan covers build YOUR_PICTURES --out my_covers   # takes any pile")
    elif broken:
        text = f"{train:,} to train on; of the first ones {len(broken)} cannot be decoded: {broken[0]}"
        yield Finding("note", text, "album-gan covers build YOUR_PICTURES --out my_covers   # leaves them out")
    else:
        yield Finding("ok", f"{train:,} to train on, {probe.get('held_out'):,} held out")


CHECKS: tuple[tuple[str, Callable[[Context], Iterator[Finding]]], ...] = (
    ("python", check_python),
    ("packages", check_packages),
    ("torch", check_torch),
    ("card", check_cards),
    ("bf16", check_bf16),
    ("compile", check_compile),
    ("allocator", check_allocator),
    ("cores", check_cores),
    ("memory", check_memory),
    ("shared memory", check_shared_memory),
    ("disk", check_disk),
    ("cache", check_caches),
    ("hub", check_hub),
    ("covers", check_covers),
)
