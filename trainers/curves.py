"""Curves of a run as inline SVG. Only numbers and fixed words enter the markup.

Where it stands: `trainreport.py` puts them on its page, in the style of `prefdata.report`. The decision to question: no
library and no script. A curve of a hundred thousand steps is drawn as the means of a few hundred stretches over the
band of their smallest and largest values, which is what an eye sees of it anyway.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

_WIDTH, _HEIGHT = 380, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 20
_STRETCHES = 300

Point = tuple[float, float, float, float]
Scale = Callable[[float], float]
Series = tuple[str, str, Sequence[float]]
"""CSS class, label, one value per step."""


def curves(title: str, steps: Sequence[int], series: Sequence[Series]) -> str:
    """A figure of lines over steps, on one axis of values; what is not finite is left out."""
    drawn = [(kind, label, _stretched(steps, values)) for kind, label, values in series]
    everything = [
        value for _, _, points in drawn for _, mean, low, high in points for value in (mean, low, high)
    ]
    if not everything:
        return ""
    low, high = min(everything), max(everything)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    first, last = steps[0], max(steps[-1], steps[0] + 1)

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    lines = [_lines(kind, points, x, y) for kind, _, points in drawn]
    marks = [mark if abs(mark) > (high - low) / 1e4 else 0.0 for mark in (low, (low + high) / 2, high)]
    axis = "".join(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        f'<text x="{_LEFT - 4}" y="{y(mark) + 4:.1f}" text-anchor="end">{number(mark)}</text>'
        for mark in marks
    )
    ends = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 5}">step {first}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">{steps[-1]}</text>'
    )
    keys = " · ".join(
        f'<span class="key-{kind}">{escape(label)} {number(points[-1][1])}</span>'
        for kind, label, points in drawn
        if points
    )
    name = escape(title)
    return (
        f"<figure><figcaption>{name}: {keys}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">{axis}{"".join(lines)}{ends}</svg>'
        "</figure>"
    )


def number(value: float) -> str:
    """Three digits, however large or small."""
    if not math.isfinite(value):
        return "no number"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-2 <= size < 1e4:
        return f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return f"{value:.1e}"


def _stretched(steps: Sequence[int], values: Sequence[float]) -> list[Point]:
    """(step, mean, smallest, largest) of stretches of steps."""
    points = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    size = max(1, math.ceil(len(points) / _STRETCHES))
    found: list[Point] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        inside = [value for _, value in part]
        found.append((part[-1][0], sum(inside) / len(inside), min(inside), max(inside)))
    return found


def _lines(kind: str, points: Sequence[Point], x: Scale, y: Scale) -> str:
    if len(points) == 1:
        step, mean, _, _ = points[0]
        return f'<circle class="dot-{kind}" cx="{x(step):.1f}" cy="{y(mean):.1f}" r="2.5"/>'
    line = " ".join(f"{x(step):.1f},{y(mean):.1f}" for step, mean, _, _ in points)
    over = " ".join(f"{x(step):.1f},{y(high):.1f}" for step, _, _, high in points)
    under = " ".join(f"{x(step):.1f},{y(low):.1f}" for step, _, low, _ in reversed(points))
    band = (
        f'<polygon class="band-{kind}" points="{over} {under}"/>' if any(p[2] < p[3] for p in points) else ""
    )
    return f'{band}<polyline class="line-{kind}" points="{line}"/>'
