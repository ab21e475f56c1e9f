"""How many tiles, and so visual tokens, InternVL makes of an image.

Grids of 1 to `most` tiles; the one whose aspect ratio is closest to the image's wins, on ties the larger one if the
image has more than half its pixels; more than one tile brings a thumbnail along. Each tile becomes 256 tokens.
"""

import functools

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
