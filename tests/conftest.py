"""What all tests share: a cache of their own, a model so small that it draws at once, the order of files."""

import os
import sys
from pathlib import Path

import pytest

# Tiny networks gain nothing from a second thread, and on a busy machine lose much by waiting for it.
# Set before torch loads, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Start with the longest files, so that no worker is left alone with one in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter):
    """Count the tests that were skipped for want of a browser, which otherwise nobody would miss."""
    reports = terminalreporter.stats.get("skipped", [])
    count = sum("browser tests need" in str(report.longrepr) for report in reports)
    if count:
        text = f"{count} browser tests, or files of them, were SKIPPED (see tests/browsing.py)"
        terminalreporter.write_line(text, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Decoded covers and features are those of this session, and not in the cache of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALBUM_GAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A saved 32 px model with seeded weights, and statistics and a mean stem as after training."""
    import torch

    from album_gan.inference.pipeline import AlbumCoverPipeline
    from album_gan.networks.lite_generator import LiteGenerator

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = LiteGenerator(resolution=32)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of one batch do
        network(torch.randn(16, 128))
        network.stem_mean.copy_(network.eval().embed(torch.randn(256, 128)).mean(0))
    folder = tmp_path_factory.mktemp("tiny_model")
    AlbumCoverPipeline(network).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_model):
    """The AlbumCoverPipeline of `tiny_model`."""
    from album_gan.inference.pipeline import AlbumCoverPipeline

    return AlbumCoverPipeline.from_pretrained(tiny_model)


@pytest.fixture(autouse=True)
def _no_trainer_remembers_another():
    """accelerate keeps one state a process and refuses another precision; each test trains as if it were the first."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)
