"""How many tiles, and so visual tokens, InternVL makes of an image.

Grids of 1 to `most` tiles; the one whose aspect ratio is closest to the image's wins, on ties the larger one if the
image has more than half its pixels; more than one tile brings a thumbnail along. Each tile becomes 256 tokens.
"""

import functools
import math

TILE = 448
TOKENS_PER_TILE = 256


def internvl_tiles(width: int, height: int, most: int = 12) -> int:
    """Tiles including the thumbnail."""
    ratio = width / height
    best, distance = (1, 1), float("inf")
    for columns, rows in _grids(most):
        off = abs(ratio - columns / rows)
        if off < distance:
            best, distance = (columns, rows), off
        elif off == distance and width * height > 0.5 * TILE * TILE * columns * rows:
            best = (columns, rows)
    tiles = best[0] * best[1]
    return tiles + (tiles > 1)


@functools.cache
def _grids(most: int) -> tuple[tuple[int, int], ...]:
    found = [(i, j) for i in range(1, most + 1) for j in range(1, most + 1) if i * j <= most]
    return tuple(sorted(found, key=lambda grid: (grid[0] * grid[1], grid)))


def ixc_partition(
    width: int, height: int, budget: int, base: int = 560, *, capped: bool = True
) -> tuple[int, int]:
    """(width, height) in pixels of the padded image that IXC cuts into tiles of `base` pixels, at most `budget`.

    As in training of 2.5 and its reward model; `capped=False` is 2.0-4KHD, which blows small images up to the budget.
    """
    if width < height:
        tall, wide = ixc_partition(height, width, budget, base, capped=capped)
        return wide, tall
    ratio = width / height
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= budget:
        columns += 1
    if capped:
        columns = min(math.ceil(width * 1.5 / base), columns)
    return columns * base, math.ceil(int(columns * base / ratio) / base) * base
