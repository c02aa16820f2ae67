"""Tables and diagrams of networks with all dimensions, from the steps of a trace."""

import math
from collections.abc import Sequence
from html import escape

from .trace import Step, Trace

ROW, WIDE, GAP = 250, 124, 60  # pixels of a drawing: height of a row, room for a box, room for an arrow
PER_ROW = 9
SHORT = {
    "transposed convolution": "transp. conv", "convolution": "conv", "fully connected": "full",
    "average pooling": "pool", "upsampling": "upsample", "gated constant": "gate",
}  # fmt: skip


def shape_text(shape: Sequence[int]) -> str:
    """(256, 4, 4) -> "256 x 4 x 4"; a single number for features."""
    return " x ".join(f"{size:,}" for size in shape) if shape else "1"


def table(steps: Sequence[Step]) -> str:
    """A text table: one line for each step that changes the shape or has parameters, then the total."""
    header = ("step", "layer", "kind", "output", "arithmetic", "parameters")
    rows = [
        (
            str(step.number), step.name or "-", step.kind.name, shape_text(step.output), step.arithmetic,
            f"{step.parameters:,}" if step.parameters else "",
        )
        for step in steps
        if step.parameters or step.kind.main or step.inputs[0] != step.output
    ]  # fmt: skip
    rows.append(("", "", "all", "", "", f"{sum(step.parameters for step in steps):,}"))
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    right = len(header) - 1

    def line(row: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if i == right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def boxes(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in a diagram: chains of main steps; a new chain begins where the previous output is not used."""
    shown: list[list[Step]] = []
    latest: dict[int, int] = {-1: -1}  # step: the shown step whose output it forwards
    for step in steps:
        source = latest.get(step.sources[0], -1)
        if not (step.kind.main or (step.kind.name == "reshape" and len(step.output) == 3)):
            latest[step.number] = source
            continue
        latest[step.number] = step.number
        previous = shown[-1][-1] if shown else None
        if previous is not None and (source == previous.number or source == -1):
            shown[-1].append(step)
        else:
            shown.append([step])
    return shown


def diagram(traces: Sequence[tuple[str, Trace]]) -> str:
    """An SVG of networks, stacked vertically, given as title and trace. Uses the surrounding text colour."""
    parts: list[str] = []
    width, y = 0, 0
    for title, trace in traces:
        parameters = sum(step.parameters for step in trace.steps)
        parts.append(_text(12, y + 30, f"{title}: {parameters:,} parameters", 20, "start"))
        y += 48
        for chain in boxes(trace.steps):
            for start in range(0, len(chain), PER_ROW):
                row = chain[start : start + PER_ROW]
                before = row[0].inputs[0]
                parts.append(_box(before, 12, y))
                for place, step in enumerate(row):
                    x = 12 + (place + 1) * (WIDE + GAP)
                    parts += [_arrow(step, x - GAP, y), _box(step.output, x, y)]
                width = max(width, 12 + (len(row) + 1) * (WIDE + GAP))
                y += ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" '
        'font-family="system-ui, sans-serif" fill="currentColor" stroke="none" role="img" '
        f'aria-label="{escape("; ".join(title for title, _ in traces))}">' + "".join(parts) + "</svg>\n"
    )


def _box(shape: Sequence[int], x: int, y: int) -> str:
    """A block as deep as there are channels and as high as the maps, both on a logarithmic scale."""
    channels, size = (shape[0], shape[-1]) if len(shape) == 3 else (shape[-1] if shape else 1, 1)
    high = 12 + 13 * math.log2(size) if size > 1 else 8
    wide = 6 + 6.5 * math.log2(max(channels, 1) + 1)
    slant = min(24.0, high / 3)
    left, top = x + (WIDE - wide) / 2, y + 130 - high / 2
    faces = (
        f"M{left:.1f} {top:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"
        f"M{left:.1f} {top:.1f}l{slant:.1f} {-slant:.1f}h{wide:.1f}l{-slant:.1f} {slant:.1f}"
        f"M{left + wide:.1f} {top + high:.1f}l{slant:.1f} {-slant:.1f}v{-high:.1f}"
    )
    return (
        f'<path d="{faces}" fill="currentColor" fill-opacity=".12" stroke="currentColor" stroke-width="1.5"/>'
        + _text(x + WIDE / 2, y + 214, shape_text(shape), 15)
    )


def _arrow(step: Step, x: int, y: int) -> str:
    middle = y + 130
    settings = step.settings
    how = f"{settings['kernel']}x{settings['kernel']}" if "kernel" in settings else ""
    if settings.get("stride", 1) > 1:
        how += f" /{settings['stride']}"
    line = (
        f'<path d="M{x + 8} {middle}h{GAP - 20}m-6 -5l7 5l-7 5" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    )
    name = SHORT.get(step.kind.name, step.kind.name)
    return line + _text(x + GAP / 2, middle - 14, how, 14) + _text(x + GAP / 2, middle + 106, name, 14)


def _text(x: float, y: float, text: str, size: int, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
