"""Measures against independent references and closed forms."""

import tracemalloc

import numpy as np
import pytest
import torch

from album_gan.metrics.kernel_distance import distances_within, kernel_distance, subset_distances, witness
from album_gan.metrics.precision_recall import mean_distance, near_duplicate_rate, nearest, prdc
from album_gan.metrics.separation import area_under_curve
from album_gan.metrics.spectrum import octave_differences, radial_spectrum


def points(count: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, 16)) * scale + shift).astype(np.float32)


def test_kernel_distance_is_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")

    class Identity(torch.nn.Module):
        num_features = 16

        def forward(self, x):
            return x.flatten(1)

    metric = kid.KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=60, normalize=True)
    real, fake = points(60), points(60, shift=0.3, seed=1)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    expected, _ = metric.compute()
    assert kernel_distance(real, fake) == pytest.approx(expected.item(), rel=1e-3)


def test_kernel_distance_is_unbiased_around_zero_and_grows():
    same = [kernel_distance(points(50, seed=s), points(50, seed=s + 1000)) for s in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)
    assert kernel_distance(points(50), points(50, shift=0.5, seed=9)) > 5 * np.std(same)
    drawn = subset_distances(points(80), points(60, seed=3), size=40, draws=7)
    assert drawn.shape == (7,)
    assert (drawn == subset_distances(points(80), points(60, seed=3), size=40, draws=7)).all()
    with pytest.raises(ValueError, match="size must be at most 60"):
        subset_distances(points(80), points(60), size=61)


def test_distances_within_a_set_are_those_of_its_parts_and_zero_on_average():
    covers = points(61)
    order = np.random.Generator(np.random.Philox(key=3)).permutation(61)
    by_hand = kernel_distance(covers[order[:20]], covers[order[20:40]])
    assert distances_within(covers, 20, draws=1, seed=3) == pytest.approx([by_hand])
    halves = distances_within(covers, draws=200)
    assert abs(halves.mean()) < 0.2 * halves.std()
    assert halves.std() < 0.7 * distances_within(covers, 10, draws=200).std()
    with pytest.raises(ValueError, match="4 or more rows to halve, got 3"):
        distances_within(covers[:3])


def test_the_witness_is_the_slope_of_the_kernel_distance():
    real, fake = (torch.from_numpy(points(40, shift, seed=seed)).double() for shift, seed in ((0, 1), (0.3, 2)))
    new = torch.from_numpy(points(20, 0.3, seed=3)).double().requires_grad_()
    (slope,) = torch.autograd.grad(2 * witness(new, real, fake).mean(), new)
    # Moving new points towards where the witness is low brings them nearer to the real ones.
    moved = (new - 20 * slope).detach()
    assert kernel_distance(real, moved) < kernel_distance(real, new.detach())
    assert witness(real, real, fake).mean() < witness(fake, real, fake).mean()
    # Twice its mean has the gradient of the distance, where no point is compared with itself.
    expected = torch.autograd.functional.jacobian(lambda x: kernel_distance(real, x), fake)
    others = [torch.cat([fake[:n], fake[n + 1 :]]) for n in range(len(fake))]
    one = fake.clone().requires_grad_()
    parts = torch.cat([witness(one[n : n + 1], real, others[n]) for n in range(len(fake))])
    assert torch.allclose(torch.autograd.grad(2 * parts.mean(), one)[0], expected, atol=1e-9)


def test_coverage_knows_the_extremes():
    real = points(200)
    itself = prdc(real, real)
    assert (itself.precision, itself.recall, itself.coverage) == (1, 1, 1)
    far = prdc(real, points(200, shift=50))
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    same = prdc(real, points(200, seed=1))
    assert min(same.precision, same.recall) > 0.5
    assert same.density == pytest.approx(1, abs=0.35)
    collapsed = prdc(real, points(200, scale=0.01, seed=2))
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.1


def test_coverage_on_a_line_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    fake = np.array([[0.5], [1.5], [30.0], [31.0]])
    found = prdc(real, fake, k=1)
    # Radii of the reals: 1, 1, 1, 8; of the fakes: 1, 1, 1, 1.
    assert found.precision == 0.5
    assert found.recall == 0.75
    assert found.coverage == 0.75
    assert found.density == 1  # 0.5 is near 0 and 1, 1.5 near 1 and 2: four in all, of four fakes


def test_copies_and_duplicates_are_seen():
    samples = points(50)
    assert near_duplicate_rate(samples, 0.1) == 0
    doubled = np.concatenate([samples, samples[:10] + 0.001])
    assert near_duplicate_rate(doubled, 0.1) == pytest.approx(20 / 60)
    distance, index = nearest(samples[:3] + 0.001, samples)
    assert (index == [0, 1, 2]).all()
    assert distance.max() < 0.01
    assert mean_distance(np.array([[0.0], [3.0]])) == 3


def test_the_nearest_of_many_are_found_in_the_memory_of_a_block():
    rng = np.random.default_rng(0)
    others, queries = rng.normal(size=(100_000, 16)).astype(np.float32), rng.normal(size=(600, 16))
    places = rng.choice(len(others), 600, replace=False)
    queries[:300] = others[places[:300]] + 1e-4
    others[places[300:]] = others[places[:300]]  # of two that are as close, the first
    tracemalloc.start()
    try:
        distance, index = nearest(queries, others)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * len(others) * 8  # the distances of 256 queries to all others
    expected = [np.linalg.norm(others - query, axis=1) for query in queries]
    np.testing.assert_allclose(distance, [found.min() for found in expected], atol=1e-6)
    assert (index == [found.argmin() for found in expected]).all()


def test_a_spectrum_takes_the_memory_of_one_picture():
    pictures = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), np.uint8)
    tracemalloc.start()
    try:
        radial_spectrum(pictures)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < pictures.nbytes  # in float64 they are eight times as many bytes


def test_spectrum_finds_the_octave_that_is_off():
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 196, (20, 64, 64, 1)).repeat(3, -1)
    same = octave_differences(radial_spectrum(grey), radial_spectrum(grey))
    assert set(same.values()) == {0.0}
    emboss = (np.arange(64) % 2 * 60)[None, None, :, None]  # every second column lighter: 32 cycles a picture
    differences = octave_differences(radial_spectrum(grey), radial_spectrum(grey + emboss))
    assert list(differences) == ["1-2", "2-4", "4-8", "8-16", "16-32"]
    assert differences["16-32"] > 1
    assert abs(differences["4-8"]) < 0.5


def test_area_under_curve_is_torchmetrics():
    from torchmetrics.functional.classification import binary_auroc

    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.7, 1, 80).round(1), rng.normal(0, 1, 50).round(1)  # rounded: there are ties
    scores = torch.from_numpy(np.concatenate([real, fake]))
    target = torch.cat([torch.ones(80, dtype=torch.long), torch.zeros(50, dtype=torch.long)])
    expected = binary_auroc(torch.sigmoid(scores), target).item()
    assert area_under_curve(real, fake) == pytest.approx(expected, abs=1e-5)
    assert area_under_curve(np.array([2.0]), np.array([1.0])) == 1
    assert area_under_curve(np.zeros(3), np.zeros(3)) == 0.5
