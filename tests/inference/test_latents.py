import hashlib
import math
import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest

from album_gan.inference import latents
from album_gan.inference.word_lists import ADJECTIVES, NOUNS

# Committed for ever: a cover is shared by its seed.
GOLDEN_LATENTS = {
    0: [0.15853384137153625, 2.982879400253296, -1.9256919622421265, -0.8249255418777466,
        -0.2025032788515091, 1.1557642221450806, 0.3302045166492462, -0.028982948511838913],
    1: [0.8974446654319763, -1.2565397024154663, 1.890500545501709, 0.3742714822292328,
        0.4340820014476776, 0.14730028808116913, 0.017996329814195633, 0.7669306397438049],
    42: [0.23454992473125458, 0.5842987298965454, -0.4201588034629822, 0.32768186926841736,
         -1.2955005168914795, 0.5659727454185486, 1.672588586807251, 0.689710795879364],
    99_999_999: [-1.8036481142044067, -0.3046225607395172, -0.08621732145547867, -0.15872907638549805,
                 -1.5588833093643188, 1.476265549659729, -1.2309752702713013, 1.571712613105774],
}  # fmt: skip
GOLDEN_NAMES = {
    0: "fanciful-violin-818",
    1: "turquoise-oasis-031",
    42: "eminent-toffee-764",
    9_815_048: "velvet-otter-042",
    99_999_999: "quaint-gazelle-605",
}


def philox(key: int, counter: int) -> list[int]:
    """Philox4x64-10 in plain integers, from Salmon et al. 2011: the check that our latents need no numpy."""
    mask = 2**64 - 1
    x, k = [counter, 0, 0, 0], [key, 0]
    for _ in range(10):
        a, b = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [(b >> 64) ^ x[1] ^ k[0], b & mask, (a >> 64) ^ x[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return x


def test_golden_latents():
    drawn = latents.latents_of(GOLDEN_LATENTS, 8)
    assert drawn.dtype == np.float32
    # log and cos may differ by their last bit between machines; a float32 step at 1 is 1.2e-7.
    np.testing.assert_allclose(drawn, list(GOLDEN_LATENTS.values()), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 7, 123_456, 99_999_999])
def test_the_documented_arithmetic_gives_the_same_latents(seed):
    words = philox(seed, 1) + philox(seed, 2)
    expected = []
    for a, b in zip(words[::2], words[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(((a >> 11) + 1) / 2**53))
        angle = 2 * math.pi * ((b >> 11) / 2**53)
        expected += [radius * math.cos(angle), radius * math.sin(angle)]
    np.testing.assert_allclose(latents.latents_of([seed], 8)[0], expected, rtol=2e-7, atol=1e-9)


def test_a_latent_depends_on_its_seed_alone():
    together = latents.latents_of([5, 6, 7], 128)
    np.testing.assert_array_equal(latents.latents_of([7, 5], 128), together[[2, 0]])
    np.testing.assert_array_equal(latents.latents_of([6], 31)[0], together[1, :31])  # odd, and a prefix


def test_latents_are_standard_normal():
    drawn = latents.latents_of(range(2000), 64)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1
    # Neighbouring seeds and neighbouring values are strangers to each other.
    assert abs((drawn[1:] * drawn[:-1]).mean()) < 0.01
    assert abs((drawn[:, 1:] * drawn[:, :-1]).mean()) < 0.01


def test_word_lists_are_frozen():
    assert (len(ADJECTIVES), len(NOUNS)) == (250, 400)
    assert len({*ADJECTIVES, *NOUNS}) == 650
    assert all(re.fullmatch("[a-z]{3,9}", word) for word in ADJECTIVES + NOUNS)
    digest = hashlib.sha256(" ".join(ADJECTIVES + NOUNS).encode()).hexdigest()
    assert digest == "3a5cb49f625a37262de0e436900cf09f685118f8838680e5f18ea65f71062d98"


def test_names_and_seeds_are_one_to_one():
    for seed, name in GOLDEN_NAMES.items():
        assert latents.name_of(seed) == name
    seeds = [*range(3000), *range(0, latents.SEED_COUNT, 49_999), 99_999_999]
    names = [latents.name_of(seed) for seed in seeds]
    assert [latents.seed_of(name) for name in names] == seeds
    assert math.gcd(latents.MULTIPLIER, latents.SEED_COUNT) == 1  # so it holds for those not tried
    assert len(ADJECTIVES) * len(NOUNS) * 1000 == latents.SEED_COUNT


def test_neighbours_differ_in_every_part_of_the_name():
    parts = [latents.name_of(seed).split("-") for seed in range(2000)]
    for before, after in pairwise(parts):
        assert all(a != b for a, b in zip(before, after, strict=True))


def test_no_word_comes_twice_on_a_wall_of_64():
    adjectives, nouns, _ = zip(*(latents.name_of(seed).split("-") for seed in range(1000)), strict=True)
    for first in range(1000 - 64):
        assert len({*adjectives[first : first + 64]}) == len({*nouns[first : first + 64]}) == 64


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("0", 0), (" 42 ", 42), ("00000042", 42), ("99999999", 99_999_999), (42, 42), (np.int64(42), 42),
        ("velvet-otter-042", 9_815_048), ("  Velvet  OTTER_042\n", 9_815_048),
    ],
)  # fmt: skip
def test_seeds_in_many_spellings(text, seed):
    assert latents.seed_of(text) == seed


@pytest.mark.parametrize(
    "text",
    ["", "100000000", "-1", "1.0", "0x10", "٤٢", "otter-velvet-042", "velvet-otter-42", "velvet-otter-0042",
     "velvet-otter", "velvet-otters-042", "hello", -1, 100_000_000],
)  # fmt: skip
def test_wrong_seeds_are_explained(text):
    with pytest.raises(ValueError, match=r"seed must be a number from 0 to 99999999 or a name, got .*; try 42"):
        latents.seed_of(text)


def test_long_wrong_seeds_stay_on_one_short_line():
    with pytest.raises(ValueError, match="seed must") as error:
        latents.seed_of("a\nb" * 1000)
    assert len(str(error.value)) < 200
    assert "\n" not in str(error.value)


def test_a_fractional_seed_is_refused():
    with pytest.raises(TypeError):
        latents.seed_of(1.5)


def test_any_text_chooses_a_seed():
    assert latents.seed_for_any_text("7") == (7, "seed")
    assert latents.seed_for_any_text("Velvet Otter 042") == (9_815_048, "name")
    assert latents.seed_for_any_text("Hello  World") == (5_751_529, "words")
    assert latents.seed_for_any_text(" hello world\n") == (5_751_529, "words")
    for text in ("", "123456789", "-1", "\ud800", "猫" * 10_000):
        seed, how = latents.seed_for_any_text(text)
        assert 0 <= seed < latents.SEED_COUNT
        assert how == "words"


def test_composed_and_decomposed_accents_are_the_same_text():
    word = "Beyoncé"
    forms = {latents.seed_for_any_text(unicodedata.normalize(form, word)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    assert forms != {latents.seed_for_any_text("Beyonce")}


def test_seed_lists():
    parse = latents.parse_seeds
    assert parse("5") == [5]
    assert parse("1,2,7-9,velvet-otter-042") == [1, 2, 7, 8, 9, 9_815_048]
    assert parse(" 3 - 5 , VELVET OTTER 042, 3") == [3, 4, 5, 9_815_048, 3]
    assert parse("4-4") == [4]
    assert len(parse("0-999999")) == 1_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name a seed"), ("1,,2", "empty item"), ("1,", "empty item"),
        ("9-7", "write 7-9"), ("0-1000000", "at most 1000000"), ("5,0-999999", "at most 1000000"),
        ("0-100000000", "got '100000000'"),
        ("1-2-3", "got '1-2-3'"), ("-3", "got '-3'"), ("a;;b", "empty item"), ("velvet-otter-042, ", "empty item"),
    ],
)  # fmt: skip
def test_wrong_seed_lists_are_explained(text, message):
    with pytest.raises(ValueError, match=message):
        latents.parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("The  Flat Tyres", ["The Flat Tyres"]),
        ("Tyler, The Creator", ["Tyler, The Creator"]),
        ("10,000 Maniacs", ["10,000 Maniacs"]),
        ("Blink-182", ["Blink-182"]),
        ("Anna; 1,2;Tyler, The Creator\nBob;", ["Anna", 1, 2, "Tyler, The Creator", "Bob"]),
        ("velvet-otter-042, Anna", [9_815_048, "Anna"]),
        ("1,nice-cat-007", ["1,nice-cat-007"]),
        ("7-8", [7, 8]),
    ],
)
def test_what_is_typed_stays_a_name(text, names):
    chosen = latents.read_seeds(text)
    assert [one.typed or one.seed for one in chosen] == names
    for one in chosen:
        assert one.name == (one.typed or latents.name_of(one.seed))
        assert not one.typed or latents.seed_for_any_text(one.typed) == (one.seed, "words")
        assert latents.typed_for(one.seed, one.typed) == one.typed
    assert latents.typed_for(5, "The Flat Tyres") == ""  # nobody can rename a cover


def test_a_range_is_refused_before_it_is_expanded(monkeypatch):
    assert len(latents.read_seeds("1-62; Anna; 7", most=64)) == 64
    created = []
    monkeypatch.setattr(latents, "Chosen", lambda *chosen: created.append(chosen))
    for text in ("0-64", "0-999999", ";".join("abcde" * 13)):
        with pytest.raises(ValueError, match="seeds must be at most 64 in one list, got more; split"):
            latents.read_seeds(text, most=64)
    assert len(created) == 64  # of the words, one by one


def test_truncation():
    stem, mean = np.full((2, 3, 4, 4), 5.0), np.full((3, 4, 4), 1.0)
    for truncation, value in [(0, 1), (0.5, 3), (1, 5), (1.5, 7)]:
        np.testing.assert_array_equal(latents.truncate(stem, mean, truncation), np.full((2, 3, 4, 4), value))
    for wrong in (-0.01, 1.51, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"truncation must be from 0 to 1.5"):
            latents.truncate(stem, mean, wrong)
    assert 0 <= latents.DEFAULT_TRUNCATION <= latents.MAX_TRUNCATION


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)


def test_open_paths_visit_every_point(points):
    frames = latents.smooth_path(points, 31, loop=False)
    assert frames.shape == (31, 3, 2)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames[::10], points, atol=1e-6)


def test_loops_return_without_repeating_the_first_frame(points):
    frames = latents.smooth_path(points, 40, loop=True)
    np.testing.assert_allclose(frames[::10], points, atol=1e-6)
    steps = np.linalg.norm(np.diff(np.concatenate([frames, frames[:1]]), axis=0), axis=(1, 2))
    assert steps.min() > 0.1
    np.testing.assert_allclose(steps[-1], steps[0], rtol=0.2)  # flows on over the seam, at the same speed


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_velocity_has_no_jumps(loop, count):
    points = np.random.default_rng(count).normal(size=(count, 8))
    accelerations = []
    for frames in (400, 800):
        path = latents.smooth_path(points, frames, loop)
        path = np.concatenate([path, path[:2]]) if loop else path
        accelerations.append(np.abs(np.diff(path, n=2, axis=0)).max())
    # Second differences fall with the square of the step; where velocity jumped, only with the step.
    assert accelerations[0] / accelerations[1] == pytest.approx(4, rel=0.1)


def test_shortest_paths(points):
    np.testing.assert_allclose(latents.smooth_path(points[:2], 2, loop=False), points[:2], atol=1e-6)
    np.testing.assert_allclose(latents.smooth_path(points[:2], 2, loop=True), points[:2], atol=1e-6)
    with pytest.raises(ValueError, match="2 or more seeds, got 1"):
        latents.smooth_path(points[:1], 10, loop=True)
    for frames in (1, 0, -5):
        with pytest.raises(ValueError, match=f"frames must be 2 or more, got {frames}"):
            latents.smooth_path(points, frames, loop=True)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("velvt oter 42", "velvet-otter-042"),
        ("velvet otter 42", "velvet-otter-042"),
        ("VELVET-OTER-042", "velvet-otter-042"),
        ("velvet-otter-042", None),  # is one
        ("My Grandmother's polka", None),
        ("room on 12", None),
        ("", None),
    ],
)
def test_a_near_miss_of_a_name_is_known(typed, meant):
    assert latents.near_miss(typed) == meant
