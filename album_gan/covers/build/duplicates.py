"""Finding the same picture twice among a million, in time nearly linear in their number.

See docs/decisions/duplicates.md for what was measured.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from tqdm import tqdm

from .image_match import Match, compare

HASH_LIMIT = 12  # bits of 64 in which each of the two hashes of a pair may differ
BLOCKS_EQUAL = 3  # of the eight bytes of a hash: pairs with so many bytes in common are looked at
WINDOW = 64  # hashes with the same three bytes are compared with so many of their neighbours
SAME_CORRELATION, SAME_CONCENTRATION, SAME_COLOUR = 0.98, 4.6, 8.0  # see `Match`; the first at least, others at most
RELATED_CORRELATION = 0.85  # at least
AT_ONCE = 512  # pairs compared at once, about 60 MB


def near_hashes(difference_hashes: np.ndarray, cosine_hashes: np.ndarray) -> np.ndarray:
    """Pairs of rows whose two 64-bit hashes each differ in at most HASH_LIMIT bits: (M, 2), first < second, sorted.

    Nearly all of them: a pair is seen when three of the eight bytes of one of its hashes are equal. Of rows with
    the same two hashes, the first stands for all in the search, and each is paired with that one.
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
    """Whether each pair is one picture, (N,) bool."""
    spread = match.concentration <= SAME_CONCENTRATION
    return (match.correlation >= SAME_CORRELATION) & spread & (match.colour <= SAME_COLOUR)


def is_related(match: Match) -> np.ndarray:
    """Whether each pair may be two editions of one cover, or two of a series: (N,) bool; both get one group."""
    return match.correlation >= RELATED_CORRELATION


def compare_pairs(pairs: np.ndarray, thumbnails: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pair is one picture, and whether its two are related; `thumbnails` gives those of some rows."""
    same, related = np.zeros(len(pairs), bool), np.zeros(len(pairs), bool)
    with tqdm(total=len(pairs), desc="comparing", unit=" pairs", disable=None) as bar:
        for start in range(0, len(pairs), AT_ONCE):
            part = pairs[start : start + AT_ONCE]
            match = compare(thumbnails(part[:, 0]), thumbnails(part[:, 1]))
            same[start : start + AT_ONCE], related[start : start + AT_ONCE] = is_same(match), is_related(match)
            bar.update(len(part))
    return same, related | same


def originals(pairs: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` rows, in order of preference, the row that is kept in its place: itself, or a better one.

    A row goes only if a kept one is the same picture, so that a chain of small changes does not swallow its ends.
    """
    kept = np.arange(count)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    for better, worse in pairs.tolist():
        if kept[better] == better and kept[worse] == worse:
            kept[worse] = better
    return kept


def components(pairs: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` rows the smallest row that it hangs together with through `pairs`."""
    label = np.arange(count)
    while len(pairs):
        low = label[pairs].min(1)
        for side in range(2):
            np.minimum.at(label, label[pairs[:, side]], low)
        while (label[label] != label).any():
            label = label[label]
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
    return label
