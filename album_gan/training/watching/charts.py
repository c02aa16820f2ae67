"""Curves and reference scales as inline SVG, in the colours of the shared stylesheet."""

import math
from collections.abc import Mapping, Sequence
from html import escape

POINTS = 300  # of a curve
COLOURS = 8  # --curve-1 to --curve-8
WIDTH, HEIGHT = 900, 200
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 12, 44  # margins


def chart(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Curves over images seen; each has at least one point."""
    points = [point for curve in curves.values() for point in curve]
    right = max(x for x, _ in points) or 1
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = (high - low) or 1
    lines, names = [], []
    for number, (name, curve) in enumerate(curves.items()):
        colour = f"var(--curve-{number % COLOURS + 1})"
        shown = [*curve[:: max(1, len(curve) // POINTS)], curve[-1]]
        places = [
            (LEFT + x / right * (WIDTH - LEFT - RIGHT), TOP + (high - y) / span * (HEIGHT - TOP - BOTTOM))
            for x, y in shown
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<polyline points="{path}" style="fill:none;stroke:{colour};stroke-width:2"/>')
        lines.append(f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3" style="fill:{colour}"/>')
        names.append(f'<tspan dx="14" style="fill:{colour}">{escape(name)}</tspan>')
    bottom = f'<text x="6" y="{HEIGHT - BOTTOM}">{low:.3g}</text>' if low < high else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(", ".join(curves))} over images seen">'
        f'{"".join(lines)}<text x="6" y="{TOP + 6}">{high:.3g}</text>{bottom}'
        f'<text x="{LEFT - 14}" y="{HEIGHT - 12}">0{"".join(names)}</text>'
        f'<text x="{WIDTH - RIGHT / 2}" y="{HEIGHT - 12}" text-anchor="end">{right:,} images</text></svg>'
    )


def ruler_chart(marks: Mapping[str, float], own: float, unit: str) -> str:
    """`own` ("now") among known values ("real covers", "noise", ...) on a logarithmic scale."""
    values = {name: math.log(max(value, 1e-9)) for name, value in {**marks, "now": own}.items()}
    low, high = min(values.values()), max(values.values())
    parts = []
    for name, value in sorted(values.items(), key=lambda one: one[1]):
        x = 90 + (value - low) / ((high - low) or 1) * (WIDTH - 180)
        now = name == "now"
        colour, y = ("var(--curve-1)", 20) if now else ("var(--muted)", 66)
        shown = own if now else marks[name]
        parts.append(
            f'<circle cx="{x:.1f}" cy="40" r="{6 if now else 4}" style="fill:{colour}"/>'
            f'<text x="{x:.1f}" y="{y}" text-anchor="middle" style="fill:{colour}">{escape(name)}: {shown:.3g}</text>'
        )
    line = f'<line x1="90" x2="{WIDTH - 90}" y1="40" y2="40" style="stroke:var(--line);stroke-width:2"/>'
    label = f"{escape(unit)}: now {own:.3g}"
    return f'<svg class="ruler" viewBox="0 0 {WIDTH} 80" role="img" aria-label="{label}">{line}{"".join(parts)}</svg>'
