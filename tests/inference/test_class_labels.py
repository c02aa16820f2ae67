"""Covers of a class: by its name or number, for all or for each, and by a seed's own."""

import numpy as np
import pytest
import torch
from fresh_process import run
from pictures import pixels

from album_gan.export.html_page import label_menu
from album_gan.hub import model_card
from album_gan.inference.latents import classes_of, latents_of
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
    for wrong, message in (
        ([0, 1], "one for each of 3"),
        (2, "must be below 2"),
        ("Rok", "one of jazz, rock, got 'Rok'; did you mean 'rock'"),
    ):
        with pytest.raises(ValueError, match=message):
            pipe(seeds=[1, 2, 3], class_labels=wrong)
    with pytest.raises(ValueError, match="label or class_labels"):
        pipe(seeds=[1], label="jazz", class_labels=0)


def test_a_menu_leaves_out_too_many_classes():
    def pipe(count: int, mixtures: dict | None = None) -> AlbumCoverPipeline:
        classes = [f"style {number}" for number in range(1, count + 1)]
        return AlbumCoverPipeline(LiteGenerator(32, classes=classes, mixtures=mixtures))

    assert pipe(0).menu_labels == []
    assert pipe(2, {"ska": [0, 1, 1]}).menu_labels == ["ska", "style 1", "style 2"]
    many = pipe(65, {"ska": [0] + [1] * 65})
    assert many.menu_labels == ["ska"]
    assert len(many.all_labels) == 66
    many.check_label("style 65")
    assert len(pipe(65).menu_labels) == 65  # there is nothing else to choose
    assert model_card.classes(many) == " Labels: ska, mixtures of 65 classes."
    assert label_menu(many).count("<option") == 2
    assert '<option value="66">ska</option>' in label_menu(many)


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


COUNTS = [0, 300, 100, 600]


def test_seeds_draw_classes_as_often_as_counted():
    drawn = classes_of(range(20_000), COUNTS)
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[0] == 0
    assert np.abs(shares - np.array(COUNTS) / 1_000).max() < 0.01
    assert drawn[:8] == [3, 1, 3, 3, 3, 3, 3, 3]  # golden: a seed keeps its class for ever
    assert classes_of([99_999_999], [7]) == [0]
    unrelated = np.corrcoef(latents_of(range(20_000), 4).T, drawn)[-1, :-1]  # a class says nothing of the latent
    assert np.abs(unrelated).max() < 0.03


@pytest.fixture(scope="module")
def counted() -> AlbumCoverPipeline:
    """A tiny generator that counted its classes."""
    torch.manual_seed(0)
    return AlbumCoverPipeline(LiteGenerator(32, classes=("a", "b", "c"), class_counts=COUNTS).eval())


def test_a_seed_has_a_class_of_its_own(counted, tmp_path):
    """Without a label a seed draws the cover of its class, alone or among others, and from the saved files."""
    seeds = list(range(12))
    covers = counted(seeds=seeds, output_type="np").images
    for seed, cover, number in zip(seeds, covers, classes_of(seeds, COUNTS), strict=True):
        [alone] = counted(seeds=seed, label=counted.labels[number - 1], output_type="np").images
        assert np.abs(alone - cover).max() < 1e-5
    counted.save_pretrained(tmp_path)
    loaded = AlbumCoverPipeline.from_pretrained(tmp_path)
    assert loaded.class_counts == COUNTS
    stems = loaded.stems_of(seeds)
    assert torch.equal(loaded(stems=stems, output_type="pt").images, loaded(seeds=seeds, output_type="pt").images)


def test_a_named_class_comes_before_the_seeds_own(counted):
    seeds = list(range(6))
    own = classes_of(seeds, COUNTS)
    mixed = counted(seeds=seeds, class_labels=["a", None, 2, None, "b", 0], output_type="pt").images
    expected = [0, own[1] - 1, 2, own[3] - 1, 1, 0]
    assert torch.equal(mixed, counted(seeds=seeds, class_labels=expected, output_type="pt").images)


def test_latents_and_models_that_counted_nothing_are_of_any_class(counted):
    torch.manual_seed(0)
    uncounted = AlbumCoverPipeline(LiteGenerator(32, classes=("a", "b", "c")).eval())
    assert uncounted.classes_of([1, 2, 3]) == [0, 0, 0]
    latents = uncounted.latents_of([1, 2, 3])
    any_class = uncounted(seeds=[1, 2, 3], output_type="pt").images
    assert torch.equal(counted(latents=latents, output_type="pt").images, any_class)
    assert not torch.equal(counted(seeds=[1, 2, 3], output_type="pt").images, any_class)
