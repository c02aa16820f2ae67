"""Seeds, their names and latents, and paths through latent space.

A seed, 0 to 99,999,999, gives one cover and has one readable name ("velvet-otter-042"). Its latent does not come from a
library's random number generator, which may change with a release, but from arithmetic that any language can reproduce;
`latents_of` specifies it. Needs only numpy, no networks.
"""

import difflib
import hashlib
import operator
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .word_lists import ADJECTIVES, NOUNS

SEED_COUNT = 100_000_000
MAX_LIST = 1_000_000  # seeds in one list
DEFAULT_TRUNCATION = 1.0
MAX_TRUNCATION = 1.5

# Name index = seed * MULTIPLIER + OFFSET mod 1e8. The multiplier has no factor 2 or 5, so it is one to one;
# it steps adjectives and nouns by the golden ratio of their lists, so no word comes twice on a wall of 64.
MULTIPLIER = 61_847_213
OFFSET = 27_182_818
_INVERSE = pow(MULTIPLIER, -1, SEED_COUNT)

_SEED_RULE = "must be a number from 0 to 99999999 or a name"
_SEED_HELP = "try 42 or velvet-otter-042"


def latents_of(seeds: Iterable[int], latent_dim: int) -> np.ndarray:
    """Seeds -> standard normal latents, float32 (N, latent_dim).

    For each seed, Philox4x64-10 (Salmon et al. 2011) with the key (seed, 0) and the counters (1, 0, 0, 0),
    (2, 0, 0, 0), ... gives four 64-bit words each, in order. Each pair of words (a, b) makes two values by
    Box-Muller, in double precision:

        u = ((a >> 11) + 1) / 2^53    in (0, 1]        r = sqrt(-2 ln u)
        v = (b >> 11) / 2^53          in [0, 1)        r cos(2 pi v), r sin(2 pi v)

    The first latent_dim values, rounded to float32, are the latent. ValueError for a seed out of range.
    """
    seeds = [seed_of(seed) for seed in seeds]
    pairs = (latent_dim + 1) // 2
    words = np.empty((len(seeds), pairs, 2), np.uint64)
    for row, seed in zip(words, seeds, strict=True):
        row[:] = np.random.Philox(key=seed).random_raw(2 * pairs).reshape(pairs, 2)
    top = (words >> np.uint64(11)).astype(np.float64)
    radius = np.sqrt(-2 * np.log((top[..., 0] + 1) * 2.0**-53))
    angle = 2 * np.pi * (top[..., 1] * 2.0**-53)
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return normal.reshape(len(seeds), 2 * pairs)[:, :latent_dim].astype(np.float32)


def classes_of(seeds: Iterable[int], counts: Sequence[int]) -> list[int]:
    """Seeds -> numbers of classes, class n for a share counts[n] / sum(counts) of all seeds.

    For each seed, the upper half w of the first 64-bit word that Philox4x64-10 gives with the key (seed, 1) and the
    counter (1, 0, 0, 0) chooses among sum(counts) rows, sorted by class: row w * sum(counts) / 2^32, rounded down.
    """
    ends = np.cumsum(counts)
    words = [int(np.random.Philox(key=[seed_of(seed), 1]).random_raw()) >> 32 for seed in seeds]
    return [int(np.searchsorted(ends, word * int(ends[-1]) >> 32, side="right")) for word in words]


def name_of(seed: int) -> str:
    """The readable name of a seed; ValueError for a seed out of range."""
    number = (seed_of(seed) * MULTIPLIER + OFFSET) % SEED_COUNT
    rest, digits = divmod(number, 1000)
    adjective, noun = divmod(rest, len(NOUNS))
    return f"{ADJECTIVES[adjective]}-{NOUNS[noun]}-{digits:03d}"


def seed_of(text: str | int) -> int:
    """A seed from a number or from an exact name, in any case, with spaces or underscores for dashes.

    Raises ValueError for anything else, which `seed_for_any_text` accepts.
    """
    if not isinstance(text, str):
        seed = operator.index(text)
        if 0 <= seed < SEED_COUNT:
            return seed
    elif re.fullmatch(r"\s*0*[0-9]{1,8}\s*", text):
        return int(text)
    else:
        parts = re.split(r"[\s_-]+", text.strip().casefold())
        if len(parts) == 3 and re.fullmatch(r"[0-9]{3}", parts[2]):
            adjective, noun = _ADJECTIVE_INDEX.get(parts[0]), _NOUN_INDEX.get(parts[1])
            if adjective is not None and noun is not None:
                number = (adjective * len(NOUNS) + noun) * 1000 + int(parts[2])
                return (number - OFFSET) * _INVERSE % SEED_COUNT
    raise ValueError(f"seed {_SEED_RULE}, got {shortened(text)}; {_SEED_HELP}")


_ADJECTIVE_INDEX = {word: i for i, word in enumerate(ADJECTIVES)}
_NOUN_INDEX = {word: i for i, word in enumerate(NOUNS)}


def seed_for_any_text(text: str) -> tuple[int, str]:
    """A seed for any text, and what the text was: "seed" (a number), "name", or "words".

    Words select a seed by hash: SHA-256 of the text (NFC, casefolded, trimmed, single spaces, UTF-8), read as one
    big-endian number, mod 1e8. The network cannot read: the words' meaning has no effect.
    """
    try:
        return seed_of(text), "seed" if text.strip().isdigit() else "name"
    except ValueError:
        normal = " ".join(unicodedata.normalize("NFC", text).casefold().split())
        digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest, "big") % SEED_COUNT, "words"


def near_miss(text: str) -> str | None:
    """The closest name to a mistyped one, "velvt oter 42" -> "velvet-otter-042"; None if nothing is close."""
    parts = re.split(r"[\s_-]+", text.strip().casefold())
    if len(parts) != 3 or len(text) > 60 or not re.fullmatch(r"[0-9]{1,3}", parts[2]):
        return None
    words = [
        next(iter(difflib.get_close_matches(part, known, 1, 0.7)), None)
        for part, known in zip(parts, (ADJECTIVES, NOUNS), strict=False)
    ]
    name = f"{words[0]}-{words[1]}-{int(parts[2]):03d}"
    return name if None not in words and name != "-".join(parts) else None


class Chosen(NamedTuple):
    """A seed, and the words typed for it; "" for a seed typed as a number or a name."""

    seed: int
    typed: str = ""

    @property
    def name(self) -> str:
        """The cover's name: the typed words, or the seed's readable name."""
        return self.typed or name_of(self.seed)


def read_seeds(text: str, most: int = MAX_LIST) -> list[Chosen]:
    """The seeds chosen by a text, the same everywhere: in the order given, repeats kept.

    "1,2,7-9,velvet-otter-042" is a list of numbers, inclusive ranges and readable names. Any other text is one name,
    commas included ("Tyler, The Creator"), and its words choose the seed (`seed_for_any_text`). Semicolons and new
    lines separate several of either: "The Flat Tyres; 1,2". Next to a readable name commas separate words too.
    Raises ValueError for an empty text or item, a range that runs backwards, or more than `most` seeds, before it
    creates them.
    """
    chosen: list[Chosen] = []

    def add(seeds: Sequence[int], typed: str = "") -> None:
        if len(chosen) + len(seeds) > most:
            raise ValueError(f"seeds must be at most {most} in one list, got more; split {shortened(text)}")
        chosen.extend(Chosen(seed, typed) for seed in seeds)

    for part in re.split(r"[;\n]", text.strip(" ;\n")):
        items = part.split(",")
        numbers = re.fullmatch(r"[0-9,\s-]*", part)
        exact = [_is_exact(item) for item in items]
        named = any(
            is_exact and re.search("[a-z]", item.casefold()) for is_exact, item in zip(exact, items, strict=True)
        )
        if not (numbers or all(exact) or named):
            add([seed_for_any_text(part)[0]], " ".join(part.split()))
            continue
        for item, is_exact in zip(items, exact, strict=True):
            if not item.strip():
                remedy = "remove the empty item" if text.strip() else "name a seed"
                raise ValueError(f"seeds must be a list such as 1,2,7-9, got {shortened(text)}; {remedy}")
            if not (is_exact or numbers):
                add([seed_for_any_text(item)[0]], " ".join(item.split()))
                continue
            ends = re.fullmatch(_RANGE, item)
            first, last = (seed_of(ends[1]), seed_of(ends[2])) if ends else (seed_of(item),) * 2
            if last < first:
                raise ValueError(f"seeds must have ranges that run upwards, got {item.strip()}; write {last}-{first}")
            add(range(first, last + 1))
    return chosen


def parse_seeds(text: str) -> list[int]:
    """The seeds alone that a text chooses, as `read_seeds`."""
    return [seed for seed, _ in read_seeds(text)]


_RANGE = r"\s*([0-9]+)\s*-\s*([0-9]+)\s*"


def _is_exact(item: str) -> bool:
    """Whether an item of a list is a number, a range or a readable name."""
    if re.fullmatch(_RANGE, item):
        return True
    try:
        seed_of(item)
    except ValueError:
        return False
    return True


def typed_for(seed: int, typed: str | None) -> str:
    """The words `typed`, on one line, if they choose this seed; "" otherwise, so that no link renames a cover."""
    typed = " ".join((typed or "").split())
    return typed if typed and seed_for_any_text(typed) == (seed, "words") else ""


def shortened(value: object) -> str:
    """Any value as text for a message: on one line, at most 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def check_truncation(truncation: float) -> float:
    """Return the truncation as a plain number; ValueError unless it is from 0 to 1.5."""
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation must be from 0 to {MAX_TRUNCATION}, got {truncation}; 1 changes nothing")
    return float(truncation)


def truncate(stem: Any, mean: Any, truncation: float) -> Any:
    """Pull stems (B, C, h, w) towards the mean stem (C, h, w): 0 gives the mean cover, 1 changes nothing.

    Takes numpy arrays or torch tensors alike. Raises ValueError unless 0 <= truncation <= 1.5.
    """
    return mean + check_truncation(truncation) * (stem - mean)


def smooth_path(points: np.ndarray, frames: int, loop: bool) -> np.ndarray:
    """A smooth path through points (K, ...) in even steps of time -> (frames, ...) in the points' dtype.

    Uniform Catmull-Rom splines: through every point, with continuous velocity. An open path starts at the first point
    and ends at the last. A loop returns to the first and omits the final frame, which is the first again: played
    repeatedly it neither stops nor jumps.
    Raises ValueError for fewer than 2 points or frames.
    """
    points = np.asarray(points)
    count = len(points)
    if count < 2:
        raise ValueError(f"a path must have 2 or more seeds, got {count}; add another")
    if frames < 2:
        raise ValueError(f"frames must be 2 or more, got {frames}; 60 is two seconds of video")

    time = np.arange(frames) * (count / frames if loop else (count - 1) / (frames - 1))
    start = np.minimum(time.astype(int), count - 1 if loop else count - 2)
    t = time - start
    basis = np.stack(  # weights of the points before, at, after and two after the start
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )
    weights = np.zeros((frames, count))
    for offset in range(4):
        neighbour = start + offset - 1
        neighbour = neighbour % count if loop else neighbour.clip(0, count - 1)
        np.add.at(weights, (np.arange(frames), neighbour), basis[:, offset] / 2)
    return np.tensordot(weights, points, axes=1).astype(points.dtype)
