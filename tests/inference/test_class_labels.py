"""Covers of a class, by its name or number, for all or for each."""

import numpy as np
import pytest
import torch
from fresh_process import run
from pictures import pixels

from album_gan.inference.pipeline import AlbumCoverPipeline
from album_gan.networks.lite_generator import LiteGenerator


def test_classes_by_diffusers_name_for_them():
    network = LiteGenerator(resolution=32, classes=("jazz", "rock")).eval()
    network.label.weight.data[1:].normal_()
    pipe = AlbumCoverPipeline(network)
    each = [pipe(seeds=[seed], label=label).images[0] for seed, label in ((1, "rock"), (2, None), (3, "jazz"))]
    together = pipe(seeds=[1, 2, 3], class_labels=[1, None, "jazz"], batch_size=2).images
    assert [
        np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1 for a, b in zip(each, together, strict=True)
    ] == [True] * 3
    assert pipe(seeds=[1], class_labels="rock").images == pipe(seeds=[1], class_labels=1).images
    for wrong, message in (([0, 1], "one for each of 3"), (2, "must be below 2"), ("pop", "label must be one of jazz")):
        with pytest.raises(ValueError, match=message):
            pipe(seeds=[1, 2, 3], class_labels=wrong)
    with pytest.raises(ValueError, match="label or class_labels"):
        pipe(seeds=[1], label="jazz", class_labels=0)


@pytest.fixture(scope="module")
def conditional():
    network = LiteGenerator(resolution=32, classes=("jazz", "rock")).eval()
    torch.manual_seed(0)
    network.label.weight.data[1:].normal_()
    return AlbumCoverPipeline(network)


@pytest.mark.parametrize("kind", [np.int64, np.array, torch.tensor, np.uint8], ids=lambda kind: kind.__name__)
def test_classes_as_numbers_of_numpy_and_torch(conditional, kind):
    """Alone for all covers, and one for each in a list or an array; class 0 is the first class, not any."""
    jazz, rock = (pixels(conditional(seeds=[1], label=label).images) for label in ("jazz", "rock"))
    any_class = pixels(conditional(seeds=[1]).images)
    for number, expected in ((0, jazz), (1, rock)):
        for given in (kind(number), [kind(number)]):
            np.testing.assert_array_equal(pixels(conditional(seeds=[1], class_labels=given).images), expected)
    assert not np.array_equal(jazz, any_class)
    both = pixels(conditional(seeds=[1, 1], class_labels=[kind(0), None]).images)
    assert np.abs(both - np.concatenate([jazz, any_class])).max() <= 1
    if kind in (np.array, torch.tensor):
        assert (
            np.abs(pixels(conditional(seeds=[1, 1], class_labels=kind([1, 0])).images) - [rock[0], jazz[0]]).max() <= 1
        )


@pytest.mark.parametrize("wrong", [np.int64(2), torch.tensor(-1), 0.5, np.float32(1), [[0]]], ids=repr)
def test_classes_out_of_range_are_one_line(conditional, wrong):
    with pytest.raises(ValueError, match="class_labels must be"):
        conditional(seeds=[1], class_labels=wrong)


def test_a_label_is_a_name(conditional):
    for wrong in (0, np.int64(0), "pop"):
        with pytest.raises(ValueError, match="label must be one of jazz, rock"):
            conditional(seeds=[1], label=wrong)


def test_a_model_with_classes_loads_as_lightly_as_any(conditional, tmp_path):
    """torch initialises embeddings by what loads its compiler, a second, where nothing is to be initialised."""
    conditional.save_pretrained(tmp_path)
    code = (
        "import sys; from album_gan import AlbumCoverPipeline\n"
        f"AlbumCoverPipeline.from_pretrained({str(tmp_path)!r})(seeds=[1])\n"
        "assert not {'torch._dynamo', 'sympy', 'diffusers'} & set(sys.modules)"
    )
    result = run(code)
    assert result.returncode == 0, result.stderr
