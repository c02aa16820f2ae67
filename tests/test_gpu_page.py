"""What docs/gpu.md says: its commands run as written where they need no GPU; images, Slurm and the notebook."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser
from drawn_covers import save_covers
from test_install import clone
from test_readme import blocks

from album_gan.cli.main import main
from album_gan.cli.train import parse

ROOT = Path(__file__).parent.parent
PAGE = "docs/gpu.md"
LINES = [line for block in blocks(PAGE, "sh") for line in block.splitlines()]
NEEDS_NOTHING = [line for line in LINES if "  # needs " not in line]
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def in_a_shell(commands: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run them one after the other with the Python below this environment; stops at the first that fails."""
    base = f"{sys.base_prefix}/bin"
    paths = [part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(sys.prefix)]
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    own = {"HOME": str(folder), "ALBUM_GAN_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hf")}
    return subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(commands)], cwd=folder, capture_output=True, text=True,
        env={**clean, **own, "PATH": os.pathsep.join([base, *paths]), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def skip_without_a_registry(done: subprocess.CompletedProcess) -> None:
    if done.returncode and re.search("getaddrinfo|NewConnectionError|No matching distribution", done.stderr):
        pytest.skip(f"nothing can be installed here: {done.stderr.strip().splitlines()[-1]}")


def test_lines_that_need_something_are_few_and_say_what():
    assert len(NEEDS_NOTHING) >= 10
    assert {line.partition("  # ")[2] for line in LINES} - {""} <= {
        "needs a GPU", "needs four GPUs", "needs two machines", "needs another machine", "needs Docker",
        "needs Slurm", "needs runs/mine", "needs an account",
    }  # fmt: skip


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("accelerate launch", "python train.py"))])
def test_training_lines_are_taken(line):
    words = shlex.split(line.partition("  # ")[0])
    if words[0] == "accelerate":
        parsed = launch_command_parser().parse_args(words[2:])
        assert parsed.training_script == "train.py"
        assert parsed.multi_gpu == (parsed.num_processes not in (None, 1))
        parse(parsed.training_script_args)
    else:
        parse(words[2:])


@pytest.mark.slow
def test_the_page_runs_as_written(tmp_path):
    folder = clone(tmp_path / "album_gan")
    save_covers(folder / "my_pictures", 80, 160)
    done = in_a_shell(NEEDS_NOTHING, folder)
    skip_without_a_registry(done)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for expected in ("OK      torch", "held out", "images per second", "hf jobs run --flavor l4x1", "on one GPU:"):
        assert expected in done.stdout, expected
    assert (folder / "runs" / "shapes" / "training.json").exists()


# --- Images


def instructions(name: str) -> list[str]:
    """Of a Dockerfile, one string each, without comments."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line and not line.startswith("#")]


def test_images_differ_in_nothing_but_cuda():
    cuda, cpu = instructions("Dockerfile"), instructions("Dockerfile.cpu")
    same = [line.replace("/cu128", "/cpu").replace(" NVIDIA_DRIVER_CAPABILITIES=compute,utility", "") for line in cuda]
    assert same == cpu
    for name, lines in (("Dockerfile", cuda), ("Dockerfile.cpu", cpu)):
        assert lines[-1] == 'CMD ["bash"]'
        assert not any(line.startswith("ENTRYPOINT") for line in lines)
        assert "USER trainer" in lines[: lines.index("RUN python3 -m venv .venv")]
        run = re.search(r"docker run .*--ipc=host", (ROOT / name).read_text(encoding="utf-8"))
        assert run
        assert ("--gpus all" in run[0]) == (name == "Dockerfile")


@pytest.mark.slow
def test_the_steps_of_an_image_and_the_speedrun_in_a_plain_environment(tmp_path):
    """What Dockerfile.cpu runs as its user, then runs/speedrun.sh with a tiny run."""
    folder = clone(tmp_path / "album_gan")
    save_covers(folder / "my_covers", 200, 32)
    steps = instructions("Dockerfile.cpu")
    steps = [line.removeprefix("RUN ") for line in steps[steps.index("USER trainer") :] if line.startswith("RUN ")]
    assert len(steps) == 4
    try:
        urllib.request.urlopen(f"{TORCH_INDEX}/torch/", timeout=10)
    except OSError:  # behind a mirror of PyPI alone
        steps = [step.replace(f"--index-url {TORCH_INDEX}", "") for step in steps]
    path = f"export PATH={folder}/.venv/bin:$PATH VIRTUAL_ENV={folder}/.venv"
    tiny = "--resolution 32 --recipe dcgan --dcgan.width 16 --logging_steps 5 --evaluation_samples 16"
    done = in_a_shell([path, *steps, f"runs/speedrun.sh my_covers 0.5 {tiny}"], folder)
    skip_without_a_registry(done)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = (folder / "runs" / "time-to-quality.md").read_text().splitlines()
    cells = [cell.strip() for cell in table[-1].strip("|").split("|")]
    assert len(cells) == table[0].count("|") - 1
    assert cells[3:5] == [f"{cells[3].split()[0]} at 32 px", "dcgan"]
    assert float(cells[-1]) == pytest.approx(0.5, abs=0.4)
    assert json.loads((folder / "runs" / "speedrun" / "evaluation.json").read_text())["spaces"]


# --- A cluster


def test_slurm_starts_one_launcher_on_each_machine(tmp_path):
    """With a stand-in for srun that starts its command once for each machine, and one for accelerate that prints."""
    programs = {
        "scontrol": "printf 'node1\\nnode2\\n'",
        "srun": 'shift; for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        "accelerate": 'for word in "$@"; do printf "%s\\n" "$word"; done; echo --end',
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    slurm = {"JOB_NUM_NODES": "2", "GPUS_ON_NODE": "4", "JOB_NODELIST": "node[1-2]", "JOB_ID": "123456"}
    environment = {f"SLURM_{name}": value for name, value in slurm.items()} | {"SLURM_SUBMIT_DIR": str(tmp_path)}
    done = subprocess.run(
        [ROOT / "runs" / "slurm.sh", "--train_data_dir", "/shared/my covers", "--report_to", "none"],
        env={**os.environ, **environment, "PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    launches = [part.splitlines()[1:] for part in done.stdout.split("--end\n")[:-1]]
    for rank, words in enumerate(launches):
        parsed = launch_command_parser().parse_args(words)
        assert (parsed.num_machines, parsed.num_processes, parsed.machine_rank) == (2, 8, rank)
        assert (parsed.main_process_ip, parsed.main_process_port, parsed.multi_gpu) == ("node1", 23456, True)
        run = parse(parsed.training_script_args)[1]
        assert (run.train_data_dir, run.resume_from_checkpoint) == ("/shared/my covers", "latest")
    assert len(launches) == 2


# --- The notebook


def test_cells_of_the_notebook_are_taken(tmp_path, monkeypatch, capsys):
    """Its Python compiles and finds the folders; its commands are those of the page, with options that exist."""
    notebook = json.loads((ROOT / "notebooks" / "gpu.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(cells[0], "gpu.ipynb", "exec"), names)
    assert names["DATA"] == "--dataset_name synthetic"
    assert Path.cwd() == tmp_path
    commands = [line.strip()[1:] for cell in cells for line in cell.splitlines() if line.strip().startswith("!")]
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(re.sub(r"\{(\w+)\}", lambda found: str(names[found[1]]), command))
        if words[:3] == ["accelerate", "launch", "train.py"]:
            parse(words[3:])
        elif words[0] == "album-gan":
            assert main([*words[1:], "--no-such-option"]) == 2
            assert "unrecognized arguments: --no-such-option;" in capsys.readouterr().err
        else:
            assert words == ["pip", "install", "-q", "-e", ".[all]"]
    for cell in cells:
        compile(re.sub(r"^( *)!.*", r"\1pass", cell, flags=re.MULTILINE), "gpu.ipynb", "exec")


@pytest.mark.parametrize("inside", ["", "my_pictures/", "covers of mine/"])
def test_the_notebook_unpacks_zips_with_or_without_a_folder(tmp_path, monkeypatch, inside):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("my_pictures.zip", "w") as pictures, zipfile.ZipFile("album_gan.zip", "w") as code:
        pictures.writestr(f"{inside}1.jpg", b"a picture")
        code.writestr(f"{inside}pyproject.toml", "")
        code.writestr(f"{inside}album_gan/cli/train.py", "")
    notebook = json.loads((ROOT / "notebooks" / "gpu.ipynb").read_text(encoding="utf-8"))
    first = next("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    (tmp_path / "my_pictures.partial").mkdir()
    (tmp_path / "my_pictures.partial" / "half.jpg").write_bytes(b"of an interrupted cell")
    for _ in range(2):  # all cells are run again to resume
        names: dict = {}
        exec(compile(first, "gpu.ipynb", "exec"), names)
        assert (names["PICTURES"] / inside / "1.jpg").read_bytes() == b"a picture"
        assert not [*tmp_path.rglob("half.jpg")]
        assert names["DATA"] == f"--train_data_dir {tmp_path / 'my_covers'}"
        assert Path.cwd() == tmp_path / "album_gan" / inside
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("unpacked", ["mine/my_pictures", "my-pictures"])
def test_the_notebook_takes_pictures_that_kaggle_has_unpacked(tmp_path, monkeypatch, unpacked, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input" / unpacked).mkdir(parents=True)
    (tmp_path / "input" / unpacked / "1.jpg").write_bytes(b"a picture")
    notebook = json.loads((ROOT / "notebooks" / "gpu.ipynb").read_text(encoding="utf-8"))
    first = next("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    exec(compile(first.replace("/kaggle/input", str(tmp_path / "input")), "gpu.ipynb", "exec"), names := {})
    assert (names["PICTURES"] / "1.jpg").read_bytes() == b"a picture"
    assert names["DATA"] == f"--train_data_dir {tmp_path / 'my_covers'}"
    assert capsys.readouterr().out == f"covers: {tmp_path / 'my_pictures'}\n"
