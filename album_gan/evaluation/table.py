"""The numbers of an evaluation as text. Knows neither torch nor datasets: cards and commands show it as well."""

from typing import Any

SUBSET_DRAWS = 50  # draws that "of_draws" numbers are averaged over


def table(result: dict[str, Any]) -> str:
    """The numbers as text, one row per measure and one column per feature space."""
    spaces = result["spaces"]
    measures = list(dict.fromkeys(measure for numbers in spaces.values() for measure in numbers))
    width = max(map(len, measures)) + 2
    lines = [f"{result['samples']:,} samples against {result['held_out']:,} held-out covers"]
    if result["subset"]:
        lines[0] += f"; of draws: means of {SUBSET_DRAWS} draws of {result['subset']} of each"
    lines.append(" " * width + "".join(f"{name:>22}" for name in spaces))
    for measure in measures:
        cells = (f"{numbers[measure]:.4f}" if measure in numbers else "" for numbers in spaces.values())
        lines.append(f"{measure:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    octaves = ", ".join(f"{octave}: {value:+.1f}" for octave, value in result["spectrum_db"].items())
    lines.append(f"power against held-out covers in dB, by octave (cycles per picture): {octaves}")
    return "\n".join(lines)
