"""Finding covers that are the same picture, among a million in nearly linear time.

See docs/decisions/duplicates.md for measurements.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from tqdm import tqdm

from .image_match import Match, compare

HASH_LIMIT = 12  # maximum number of different bits, of 64, for each of a pair's two hashes
BLOCKS_EQUAL = 3  # of the eight bytes of a hash: pairs with this many equal bytes are compared
WINDOW = 64  # hashes with the same three bytes are compared with this many of their neighbours
SAME_CORRELATION, SAME_CONCENTRATION, SAME_COLOUR = 0.98, 4.6, 8.0  # see `Match`; a minimum, then maxima
RELATED_CORRELATION = 0.85  # minimum
AT_ONCE = 512  # pairs compared at once, about 60 MB


def near_hashes(difference_hashes: np.ndarray, cosine_hashes: np.ndarray) -> np.ndarray:
    """Pairs of rows whose two 64-bit hashes each differ in at most HASH_LIMIT bits: (M, 2), first < second, sorted.

    Finds nearly all of them: those with three equal bytes, of eight, in one of the hashes. Of rows with the same two
    hashes, only the first is searched, and the others are paired with it.
    """
    hashes = np.stack([difference_hashes, cosine_hashes], 1).astype(np.uint64)
    distinct, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    followers = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    pairs = [np.stack([first[inverse[followers]], followers], 1)]
    for found in _near_distinct(distinct):
        pairs.append(np.sort(first[found], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _near_distinct(hashes: np.ndarray) -> Iterator[np.ndarray]:
    for column in range(2):
        octets = hashes[:, column].copy().view(np.uint8).reshape(-1, 8).astype(np.uint64)
        for chosen in combinations(range(8), BLOCKS_EQUAL):
            keys = np.sum([octets[:, place] << np.uint64(8 * i) for i, place in enumerate(chosen)], axis=0)
            order = np.argsort(keys, kind="stable")
            yield from _near_neighbours(hashes, keys[order], order)


def _near_neighbours(hashes: np.ndarray, keys: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs within runs of equal keys, at most WINDOW apart."""
    places = np.arange(len(keys) - 1)
    for distance in range(1, WINDOW + 1):
        places = places[places + distance < len(keys)]
        places = places[keys[places] == keys[places + distance]]
        if not len(places):
            return
        first, second = order[places], order[places + distance]
        near = (np.bitwise_count(hashes[first] ^ hashes[second]) <= HASH_LIMIT).all(1)
        yield np.stack([first[near], second[near]], 1)


def is_same(match: Match) -> np.ndarray:
    """Whether each pair is the same picture, (N,) bool."""
    spread = match.concentration <= SAME_CONCENTRATION
    return (match.correlation >= SAME_CORRELATION) & spread & (match.colour <= SAME_COLOUR)


def is_related(match: Match) -> np.ndarray:
    """Whether each pair may be two editions of a cover, or two covers of a series, (N,) bool; they share a group."""
    return match.correlation >= RELATED_CORRELATION


def compare_pairs(pairs: np.ndarray, thumbnails: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair is the same picture, and whether it is related; `thumbnails` returns those of given rows."""
    same, related = np.zeros(len(pairs), bool), np.zeros(len(pairs), bool)
    with tqdm(total=len(pairs), desc="comparing", unit=" pairs", disable=None) as bar:
        for start in range(0, len(pairs), AT_ONCE):
            part = pairs[start : start + AT_ONCE]
            match = compare(thumbnails(part[:, 0]), thumbnails(part[:, 1]))
            same[start : start + AT_ONCE], related[start : start + AT_ONCE] = is_same(match), is_related(match)
            bar.update(len(part))
    return same, related | same


def originals(pairs: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` rows, ordered by preference, the row that replaces it: itself, or a better one.

    A row is replaced only by one that is kept, so that a chain of small changes does not remove its ends.
    """
    original = np.arange(count)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    for better, worse in pairs.tolist():
        if original[better] == better and original[worse] == worse:
            original[worse] = better
    return original


def components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Connected components of `pairs`: for each of `count` rows, the smallest row of its component."""
    label = np.arange(count)
    while len(pairs):
        low = label[pairs].min(1)
        for side in range(2):
            np.minimum.at(label, label[pairs[:, side]], low)
        while (label[label] != label).any():
            label = label[label]
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
    return label
