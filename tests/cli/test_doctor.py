"""`album-gan doctor` on machines that are broken on purpose: each problem is named, and no token is printed."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from loopback import ROOT

from album_gan.cli.doctor import markdown
from album_gan.doctor import findings, machine, packages, probes
from album_gan.doctor.covers import check_covers
from album_gan.doctor.findings import Finding, Probe
from album_gan.doctor.gpus import check_gpus

GOOD, BAD = "hf_goodTokenOfTheTests", "hf_badTokenOfTheTests"


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == f"Bearer {GOOD}"
        account = {"name": "me", "auth": {"accessToken": {"role": "write"}}}
        body = json.dumps(account if known else {"error": f"no {self.headers['Authorization']}"}).encode()
        self.send_response(302 if self.path.startswith("/hotel") else 200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def doctor(tmp_path, hub) -> Callable[..., tuple[int, str]]:
    """Run it on a machine that is well but for what is given -> (exit code, output)."""

    def doctor(
        *options: str, python: str | Path = sys.executable, limit: int | None = None, **environment: str
    ) -> tuple[int, str]:
        names = ("HF_TOKEN", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
        clean = {name: value for name, value in os.environ.items() if name not in names}
        here = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "ALBUM_GAN_CACHE": str(tmp_path / "cache")}
        web = {"HF_ENDPOINT": hub, "HF_TOKEN": GOOD, "NO_PROXY": "127.0.0.1"}
        paths = os.pathsep.join(filter(None, [environment.pop("packages", ""), str(ROOT)]))

        def limit_files() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = subprocess.run(
            [python, "-m", "album_gan", "doctor", *options], cwd=tmp_path, capture_output=True, text=True, timeout=200,
            env={**clean, **here, **web, "PYTHONPATH": paths, **environment}, preexec_fn=limit_files,
        )  # fmt: skip
        text = done.stdout + done.stderr
        assert "Traceback" not in text
        assert "TokenOfTheTests" not in text
        return done.returncode, text

    return doctor


@pytest.fixture
def broken_torch(tmp_path) -> str:
    """Packages whose torch raises when it is imported: quick, where a test is about something else."""
    package = tmp_path / "packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "raise ImportError('libcudnn.so.9: cannot open shared object file: No such file')\n"
    )
    return str(tmp_path / "packages")


def line(text: str, name: str, status: str) -> str:
    """The line of one check, which must have that status."""
    [found] = [line for line in text.splitlines() if line.startswith(f"{status:<8}{name:<13}")]
    return found


def test_a_machine_that_is_well(doctor, hub, tmp_path):
    code, text = doctor("--dataset_name", "synthetic", "--output_dir", "new/folder")
    assert code == 0, text
    assert " (" not in line(text, "torch", "OK")
    assert "extras: " in line(text, "packages", "OK")
    assert "logged in as me, with a token from HF_TOKEN" in line(text, "hub", "OK")
    assert "held out" in line(text, "covers", "OK")
    assert str(tmp_path / "new" / "folder") in line(text, "disk", "OK")
    assert text.endswith("no problems\n")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".album-gan-doctor*"))


def test_neither_torch_nor_anything_else(doctor, tmp_path):
    """A bare Python, which has nothing but the folder of this project."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    code, text = doctor(python=tmp_path / "venv" / "bin" / "python")
    assert code == 1
    assert "torch is not installed; type: pip install torch --index-url" in line(text, "torch", "problem")
    assert "; type: pip install -e ." in line(text, "packages", "problem")


def test_torch_that_raises_on_import(doctor, broken_torch):
    code, text = doctor("--dataset_name", "synthetic", packages=broken_torch, LD_LIBRARY_PATH="/usr/local/old")
    assert code == 1
    assert "libcudnn.so.9" in line(text, "covers", "problem")
    said = line(text, "torch", "problem")
    assert "libcudnn.so.9: cannot open shared object file" in said
    assert "type: unset LD_LIBRARY_PATH" in said
    assert "--force-reinstall torch" in said


def test_torch_that_crashes(doctor, tmp_path):
    """As with a wheel for another processor."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)\n")
    code, text = doctor(packages=str(tmp_path / "packages"))
    assert code == 1
    assert "importing torch failed: killed by SIGILL" in line(text, "torch", "problem")


def test_a_file_that_hides_torch(doctor, tmp_path):
    (tmp_path / "torch.py").write_text("x = 1\n")
    code, text = doctor()
    assert code == 1
    assert "torch.py in this folder hides the installed torch; type: mv" in line(text, "torch", "problem")


@pytest.mark.parametrize(
    ("cuda", "visible", "wheels"),
    [
        ("13.0", None, "cu130"),
        pytest.param("12.4", None, "cu128", marks=pytest.mark.slow),
        pytest.param("12.4", "-1", None, marks=pytest.mark.slow),
    ],
)
def test_a_gpu_that_torch_does_not_use(doctor, tmp_path, cuda, visible, wheels):
    import torch

    if torch.version.cuda:
        pytest.skip("this torch is built for GPUs")
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\n[ $# = 0 ] && echo "| NVIDIA-SMI 580.1  Driver Version: 580.1  CUDA Version: {cuda} |" '
        '|| echo "NVIDIA L4, 580.1"\n'
    )
    tool.chmod(0o755)
    more = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    code, text = doctor(PATH=f"{tool.parent}:{os.environ['PATH']}", **more)
    assert code == 1
    said = line(text, "gpu", "problem")
    if wheels:
        assert "NVIDIA L4 is there, but this torch is built for the CPU; type: pip install --force-reinstall" in said
        assert said.endswith(f"/{wheels}")
    else:
        assert said.endswith("CUDA_VISIBLE_DEVICES='-1' hides NVIDIA L4; type: unset CUDA_VISIBLE_DEVICES")


def said_of_gpus(gpus: list[dict], built_for=("sm_80", "sm_86", "compute_86"), **found: str) -> list[str]:
    """What is found of GPUs, as the probe describes them, of which some fail with these errors, as in cuda1="..."."""
    probe = Probe.__new__(Probe)
    fails = {f"cuda:{name.removeprefix('cuda')}": why for name, why in found.items()}
    probe._results = [{"gpus": gpus, "built_for": list(built_for)}]
    probe._results += [{"fails": device, "why": why} for device, why in fails.items()]
    probe._results += [{"computes": f"cuda:{i}"} for i in range(len(gpus)) if f"cuda:{i}" not in fails]
    context = SimpleNamespace(torch=probe, smi={"name": "GPU", "driver": "580.1", "cuda": "13.0"})
    return [f"{one.status} {one.text} {one.fix}" for one in check_gpus(context)]


def test_each_gpu_is_judged_by_itself():
    gpu = {"name": "GPU", "free": 70e9, "total": 80e9, "capability": "89"}
    full, old = {**gpu, "free": 0.1e9}, {**gpu, "capability": "70"}
    memory, kernel = "OutOfMemoryError: CUDA out of memory", "AcceleratorError: CUDA error: no kernel image"
    busy, outdated, well, faulty = said_of_gpus([full, old, gpu, gpu], cuda0=memory, cuda1=kernel, cuda3="ECC error")
    assert busy.startswith("problem GPU, 0.1 of 80.0 GB free, driver 580.1: another process uses it nvidia-smi")
    assert "it is an sm_70, and torch is built for sm_80, sm_86, compute_86 pip install" in outdated
    assert well.startswith("ok ")
    assert "ECC error nvidia-smi" in faulty


def test_the_build_is_not_blamed_for_a_gpu_of_amd():
    """Its architectures are no numbers to compare with."""
    gpu = {"name": "GPU", "free": 70e9, "total": 80e9, "capability": "90"}
    [said] = said_of_gpus([gpu], ("gfx90a", "gfx942"), cuda0="RuntimeError: HIP error")
    assert "HIP error" in said
    assert "torch is built for" not in said


def test_a_gpu_that_fails_does_not_hide_the_next(monkeypatch, capsys):
    import torch

    if torch.version.cuda:
        pytest.skip("this torch is built for GPUs")
    properties = SimpleNamespace(name="GPU", major=8, minor=9, total_memory=80_000_000_000)
    for name, value in {
        "is_available": True, "device_count": 2, "get_device_properties": properties, "get_arch_list": ["sm_80"],
        "is_bf16_supported": True,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value, **__: value)

    def full(number):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    monkeypatch.setattr(torch, "compile", lambda function: function)
    with pytest.raises(AssertionError, match="not compiled with CUDA"):  # on the GPU, the last step
        probes.probe_torch()
    lines = [json.loads(found) for found in capsys.readouterr().out.splitlines()]
    assert [found["fails"] for found in lines if "fails" in found] == ["cuda:0", "cuda:1"]
    assert [found["computes"] for found in lines if "computes" in found] == ["cpu"]
    assert next(found["gpus"] for found in lines if "gpus" in found)[1]["free"] == 0


def test_no_room_on_the_disk(doctor, broken_torch):
    _, text = doctor(packages=broken_torch, limit=1_000)
    for name in ("disk", "cache"):
        assert any("File too large; type: " in found for found in text.splitlines() if f" {name} " in found)
    assert "--output_dir ANOTHER_FOLDER" in line(text, "disk", "problem")


def test_a_cache_that_cannot_be_read(doctor, broken_torch, tmp_path):
    (tmp_path / "hf").write_text("a file, where there should be a folder")
    _, text = doctor(packages=broken_torch)
    said = line(text, "cache", "problem")
    assert "Not a directory" in said or "is a file" in said
    assert "type: export HF_HOME=ANOTHER_FOLDER" in said


def test_offline(doctor, broken_torch):
    _, text = doctor(packages=broken_torch, HF_ENDPOINT="http://127.0.0.1:9")
    assert "cannot be reached (" in line(text, "hub", "note")
    assert "type: export HF_HUB_OFFLINE=1" in line(text, "hub", "note")
    _, text = doctor(packages=broken_torch, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert line(text, "hub", "OK")


def test_a_token_that_the_hub_refuses(doctor, broken_torch, hub, tmp_path):
    _, text = doctor(packages=broken_torch, HF_TOKEN=BAD)
    assert "refuses the token in HF_TOKEN (401); type: hf auth login" in line(text, "hub", "problem")

    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(f"{BAD}\x07\n")
    _, text = doctor("--report", packages=broken_torch, HF_TOKEN="")
    assert "hf/token contains characters that no token has" in line(text, "hub", "problem")
    assert text.startswith("### album-gan doctor\n")
    assert str(tmp_path) not in text  # it is the home


def test_without_a_token_and_behind_a_login_page(doctor, broken_torch, hub):
    _, text = doctor(packages=broken_torch, HF_TOKEN="")
    assert "can be reached; no token" in line(text, "hub", "OK")
    _, text = doctor(packages=broken_torch, HF_ENDPOINT=f"{hub}/hotel")
    assert "a login page of this network?" in line(text, "hub", "note")


def test_few_covers_are_noted():
    [_, few] = check_covers(SimpleNamespace(covers={"train": 689, "held_out": 73, "broken": []}))
    assert (few.status, "--init_from bundled" in few.fix) == ("note", True)
    [enough] = check_covers(SimpleNamespace(covers={"train": 3_000, "held_out": 300, "broken": []}))
    assert enough.status == "ok"


def test_covers_that_take_long_to_read_are_no_problem(monkeypatch):
    monkeypatch.setattr(findings, "PROBE_SECONDS", 0.1)
    waiting = Probe.__new__(Probe)
    waiting._results = None
    words = [sys.executable, "-c", "import time; time.sleep(60)"]
    waiting.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    [finding] = check_covers(SimpleNamespace(covers=waiting))
    assert (finding.status, finding.text.partition(";")[0]) == ("note", "not all read within 0.1 s")
    assert "did not finish within 0.1 s" in waiting.error()


@pytest.mark.slow
def test_no_covers(doctor, tmp_path):
    (tmp_path / "covers").mkdir()
    code, text = doctor("--train_data_dir", "covers", "--report")
    assert code == 1
    assert "; type: album-gan covers build" in line(text, "covers", "problem")


def test_a_report_hides_the_home_but_no_other_slash(monkeypatch):
    found = [Finding("ok", "/home/me/covers and /srv/covers", "", "covers")]
    for home, shown in (("/home/me", "~/covers and /srv/covers"), ("/", "/home/me/covers and /srv/covers")):
        monkeypatch.setenv("HOME", home)
        assert shown in markdown(found)


def test_old_packages_and_extras_within_extras_are_seen(monkeypatch):
    """torch may be the GPU box's own; an extra is complete if those within it are."""
    lines = ["torch>=99", "numpy>=1", 'nosuch>=1; extra == "train"', 'album-gan[train]; extra == "evaluate"']
    lines += ['pillow>=1; extra == "demo"', 'album-gan[demo]; extra == "mcp"']
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: lines)
    found = [(finding.status, finding.text) for finding in packages.check_packages(None)]
    assert found[0] == ("problem", "missing or too old: torch>=99")
    assert found[1] == ("note", "training also needs nosuch>=1")
    assert found[2][1].endswith("extras: demo, mcp")


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("100000 100000", "8 cores, but this container may use 1 of them"),
        ("25000 10000", "8 cores, but this container may use 2.5 of them"),  # of a period of 10 ms
        ("max 100000", "8 cores, "),
        (None, "8 cores, "),
    ],
)
def test_the_cores_of_a_container(tmp_path, monkeypatch, limit, found):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    if limit:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    [finding] = machine.check_cores(None)
    assert finding.text.startswith(found)
    assert finding.status == ("note" if "container" in found else "ok")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="memory is counted on Linux")
def test_the_memory_of_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    [unlimited] = machine.check_memory(None)
    (tmp_path / "memory.max").write_text("1500000000\n")
    (tmp_path / "memory.current").write_text("700000000\n")
    [limited] = machine.check_memory(None)
    assert "1.5 GB" not in unlimited.text
    assert limited.text.startswith("0.8 of 1.5 GB free")
    (tmp_path / "memory.stat").write_text("anon 100000000\ninactive_file 500000000\nactive_file 100000000\n")
    [with_cached_files] = machine.check_memory(None)
    assert with_cached_files.text.startswith("1.3 of 1.5 GB free")
