"""What the tests of covers share."""

import datasets
import pytest


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """Empty caches: this package's and that of `datasets`."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ALBUM_GAN_CACHE", str(folder))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
