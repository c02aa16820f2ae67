"""What a run says of the device it computes on, and how many threads it takes, on machines of other kinds."""

import platform

import pytest
import torch

from album_gan import runtime


@pytest.fixture
def with_a_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


def test_a_run_on_the_cpu_of_a_machine_with_a_card_is_one_on_the_cpu(with_a_card, monkeypatch):
    assert runtime.hardware("cuda", 4) == "4 x NVIDIA X"
    assert runtime.hardware("cpu", 2) == f"{2 * torch.get_num_threads()} CPU cores ({platform.machine()})"
    assert runtime.hardware("mps", 1) == f"an Apple GPU ({platform.machine()})"
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert [runtime.fast_in_bfloat16(device) for device in ("cuda", "cpu", "mps")] == [True, False, False]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"ACCELERATE_MIXED_PRECISION": "no", "OMP_NUM_THREADS": "1"}, 4),
        ({"TORCHELASTIC_RUN_ID": "none", "OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, 8),  # of two machines
        ({"TORCHELASTIC_RUN_ID": "none", "OMP_NUM_THREADS": "3", "LOCAL_WORLD_SIZE": "2"}, None),  # the user's
        ({"OMP_NUM_THREADS": "1"}, None),
    ],
)
def test_launchers_leave_each_process_its_share_of_the_cores(environment, threads, monkeypatch):
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(runtime, "cpu_count", lambda: 16)
    runtime.use_all_cores(4)
    assert chosen == ([] if threads is None else [threads])
