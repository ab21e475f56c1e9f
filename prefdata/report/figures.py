"""Distributions as inline SVG. Only numbers and fixed words enter the markup, never text from the data."""

import math
from collections.abc import Sequence
from html import escape

from prefdata.stats.collect import nearest_rank

_WIDTH, _HEIGHT = 380, 150
_LEFT, _BOTTOM = 6, 18
_BINS = 30
# The last bin holds what lies above so many per cent of the values: one giant answer must not flatten the figure.
_TAIL = 99


def histogram(title: str, series: Sequence[tuple[str, str, Sequence[float]]], *, signed: bool = False) -> str:
    """A figure of (class, label, values) drawn over each other on a common axis."""
    values = sorted(value for _, _, numbers in series for value in numbers)
    if not values:
        return ""
    high = nearest_rank(values, _TAIL)
    low = nearest_rank(values, 100 - _TAIL) if signed else 0
    if signed:
        high = max(abs(high), abs(low), 1)
        low = -high
    width = nice((high - low) / _BINS or 1)
    low = math.floor(low / width) * width
    bins = max(1, min(2 * _BINS, math.ceil((high - low) / width) + 1))
    counted = [_counts(numbers, low, width, bins) for _, _, numbers in series]
    top = max(max(counts) for counts in counted) or 1
    step = (_WIDTH - 2 * _LEFT) / bins
    bars = "".join(
        f'<rect class="{kind}" x="{_LEFT + place * step:.1f}" y="{_y(count, top):.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{_HEIGHT - _BOTTOM - _y(count, top):.1f}"/>'
        for (kind, _, _), counts in zip(series, counted, strict=True)
        for place, count in enumerate(counts)
        if count
    )
    whole = bins * width
    middle = -low / whole if signed else 0.5
    ends = [(0.0, "start", low), (middle, "middle", low + middle * whole), (1.0, "end", low + whole)]
    labels = "".join(
        f'<text x="{_LEFT + share * (_WIDTH - 2 * _LEFT):.1f}" y="{_HEIGHT - 4}" text-anchor="{anchor}">'
        f"{round(value):,}{'+' if share == 1.0 and values[-1] > value else ''}</text>"
        for share, anchor, value in ends
    )
    keys = " · ".join(f'<span class="key-{kind}">{escape(label)}</span>' for kind, label, _ in series)
    base = _HEIGHT - _BOTTOM
    return (
        f"<figure><figcaption>{escape(title)}: {keys}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{bars}'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
        f'{labels}<text x="{_LEFT}" y="11">most in one bar: {top:,}</text></svg></figure>'
    )


def shares(title: str, parts: Sequence[tuple[str, int]]) -> str:
    """A figure of named counts as horizontal bars; the names are ours, not the data's."""
    total = sum(count for _, count in parts)
    if not total:
        return ""
    lines = []
    for place, (name, count) in enumerate(parts):
        y = 14 + place * 24
        lines.append(
            f'<text x="0" y="{y}">{escape(name)}</text>'
            f'<rect class="plain" x="150" y="{y - 11}" width="{160 * count / total:.1f}" height="14"/>'
            f'<text x="{154 + 160 * count / total:.1f}" y="{y}">{count / total:.1%}</text>'
        )
    height = 24 * len(parts) + 4
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(lines)}</svg></figure>'
    )


def nice(width: float) -> float:
    """The next of 1, 2, 5, 10, ... at or above a bin width."""
    power = 10.0 ** math.floor(math.log10(width))
    return max(1.0, next(step * power for step in (1, 2, 5, 10) if step * power >= width * 0.999))


def _counts(values: Sequence[float], low: float, width: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(max(int((value - low) // width), 0), bins - 1)] += 1
    return counts


def _y(count: int, top: int) -> float:
    return 16 + (_HEIGHT - _BOTTOM - 16) * (1 - count / top)
