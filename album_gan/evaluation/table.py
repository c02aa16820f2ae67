"""Evaluation results as text, for model cards and commands. Does not import torch or datasets."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..metrics.measures import KERNEL_DISTANCE, MEASURES, Measure, ruler, ruler_line

COLUMN = 22  # characters, of a feature space
ENDINGS = {  # of keys, the longest first, and what they add to the name of a measure
    "_of_draws_spread": ", std over subsets", "_of_draws": ", of subsets", "_spread": ", std",
    "_of_training": ", training covers", "": "",
}  # fmt: skip
SUBSET_DRAWS = 50  # random subsets over which "of_draws" numbers are averaged


def table(result: dict[str, Any]) -> str:
    """The numbers as text, one row per measure and one column per feature space, with the ruler below."""
    spaces = result["spaces"]
    keys = list(dict.fromkeys(key for numbers in spaces.values() for key in numbers))
    rows = [(_measure(key), key) for key in keys]
    width = max(len(name) for (name, _), _ in rows) + 2
    lines = [f"{result['samples']:,} samples against {result['held_out']:,} held-out covers"]
    if result["subset"]:
        lines[0] += f"; of subsets: means over {SUBSET_DRAWS} random subsets of {result['subset']} of each"
    lines.append(_row("", width, spaces, COLUMN))
    for (name, measure), key in rows:
        cells = (measure.show(numbers[key]) if key in numbers else "" for numbers in spaces.values())
        lines.append(_row(name, width, cells, COLUMN))
    octaves = ", ".join(f"{octave}: {value:+.1f}" for octave, value in result["spectrum_db"].items())
    lines.append(f"power against held-out covers in dB, by octave (cycles per picture): {octaves}")
    known = [f"  {space}: {ruler_line(space)}" for space in spaces if ruler(space)]
    return "\n".join([*lines, *([f"for comparison, {KERNEL_DISTANCE.name}, at 128 px:"] if known else []), *known])


def check_comparable(result: dict[str, Any], other: dict[str, Any], name: str) -> None:
    """Raise ValueError unless `other`, called `name`, was measured like `result`, as far as both say.

    Older evaluations have no `held_out_digest`: the number of held-out covers has to do.
    """
    for field in ("samples", "truncation", "resolution", "held_out", "held_out_digest"):
        if field in result and field in other and result[field] != other[field]:
            raise ValueError(
                f"{name} must be measured like this model, with {field} {result[field]}, got {other[field]}; "
                "evaluate it with the same options and covers"
            )


def side_by_side(results: Mapping[str, dict[str, Any]]) -> str:
    """Evaluations as text, by the names of their models: a block for each feature space, one column per model."""
    first = next(iter(results.values()))
    names = list(results)
    column = max(14, *(len(name) + 2 for name in names))
    lines = []
    for space, numbers in first["spaces"].items():
        rows = [(_measure(key), key) for key in numbers]
        width = max(len(space), *(len(name) for (name, _), _ in rows)) + 2
        lines.append(_row(space, width, names, column))
        for (name, measure), key in rows:
            found = (result["spaces"].get(space, {}).get(key) for result in results.values())
            cells = ("" if value is None else measure.show(value) for value in found)
            lines.append(_row(name, width, cells, column))
    return "\n".join(lines)


def _row(name: str, width: int, cells: Iterable[str], column: int) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>{column}}" for cell in cells)


def _measure(key: str) -> tuple[str, Measure]:
    """The name to show for a key of a feature space, and its measure."""
    for ending, words in ENDINGS.items():
        measure = MEASURES.get(key.removesuffix(ending))
        if key.endswith(ending) and measure:
            return f"{measure.name}{words}", measure
    return key, Measure(key, key, "")
