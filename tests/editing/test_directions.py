"""Looks become what they say, components are principal, mixtures hold something of both."""

import numpy as np
import pytest
import torch

from album_gan import AlbumCoverPipeline
from album_gan.editing.directions import ATTRIBUTES, Editor, principal_components


@pytest.fixture(scope="module")
def editor():
    return Editor(AlbumCoverPipeline.from_pretrained())


@pytest.mark.parametrize(
    "name",
    [name if name in ("darker", "busier") else pytest.param(name, marks=pytest.mark.slow) for name in ATTRIBUTES],
)
def test_a_look_becomes_what_it_says(editor, name):
    stems = editor.pipe.stems_of(range(1000, 1005))
    with torch.no_grad():
        look = lambda stems: ATTRIBUTES[name](editor.pipe.generator.paint(stems))  # noqa: E731
        before = look(stems)
        more, less = look(editor.edit(stems, {name: 2})), look(editor.edit(stems, {name: -2}))
    assert (more > before).float().mean() >= 0.9
    assert (less < before).float().mean() >= 0.8
    assert (more - less).mean() > 0.5 * before.std()


def test_edits_are_smooth_repeatable_and_undone_by_nothing(editor):
    stems = editor.pipe.stems_of([7])
    assert torch.equal(editor.edit(stems, {}), stems)
    assert torch.equal(editor.edit(stems, {"darker": 0, "component 1": 0}), stems)
    amounts = {"darker": 1, "warmer": -1, "component 2": 0.5}
    assert torch.equal(editor.edit(stems, amounts), editor.edit(stems, amounts))
    nearly = editor.edit(stems, {**amounts, "darker": 1.02})
    assert (nearly - editor.edit(stems, amounts)).norm() < 0.02 * editor.distance
    with pytest.raises(ValueError, match="got louder"):
        editor.edit(stems, {"louder": 1})


def test_components_are_orthogonal_sorted_and_as_long_as_the_spread():
    torch.manual_seed(0)
    spread = torch.tensor([5.0, 3.0, 2.0] + [0.1] * 17)
    rows = torch.randn(400, 20) * spread
    rows = rows - rows.mean(0)
    components = principal_components(rows, 3)
    assert torch.allclose(components.norm(dim=1), spread[:3], rtol=0.15)
    products = components @ components.T
    assert (products - products.diag().diag()).abs().max() < 1e-3
    _, lengths, right = torch.linalg.svd(rows, full_matrices=False)
    assert torch.allclose(components.abs(), (right[:3] * lengths[:3, None] / 400**0.5).abs(), atol=1e-3)


def test_a_mixture_with_itself_is_itself_and_with_another_is_neither(editor):
    one, other = editor.pipe.stems_of([3]), editor.pipe.stems_of([5])
    [plain] = editor.pipe(stems=one, truncation=1.0).images
    [same], [mixed] = editor.mix(one, one), editor.mix(one, other)
    assert np.abs(np.asarray(same, int) - np.asarray(plain, int)).max() <= 1
    [stranger] = editor.pipe(stems=other, truncation=1.0).images
    for picture in (plain, stranger):
        assert np.abs(np.asarray(mixed, int) - np.asarray(picture, int)).mean() > 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_a_pipeline_of_half_precision_edits_alike(tiny_model, tiny_pipeline, dtype):
    amounts = {"darker": 2, "warmer": -1}
    half, stems = AlbumCoverPipeline.from_pretrained(tiny_model, dtype=dtype, device="cpu"), tiny_pipeline.stems_of([7])
    way = Editor(tiny_pipeline).edit(stems, amounts) - stems
    editor = Editor(half)
    own = editor.edit(half.stems_of([7]), amounts) - half.stems_of([7])
    assert torch.cosine_similarity(own.flatten(), way.flatten(), dim=0) > 0.9
    assert len(editor.mix(stems, half.stems_of([3]))) == 1
