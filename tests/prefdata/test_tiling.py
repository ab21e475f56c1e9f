"""Tile counts against values computed from the original implementation."""

import pytest

from prefdata.tiling import internvl_tiles, ixc_partition


@pytest.mark.parametrize(
    ("size", "six", "twelve"),
    [
        ((448, 448), 1, 1), ((560, 560), 1, 1), ((100, 100), 1, 1), ((640, 480), 7, 13), ((800, 600), 7, 13),
        ((1024, 768), 7, 13), ((1000, 1000), 5, 10), ((1344, 896), 7, 7), ((1920, 1080), 3, 9),
        ((1080, 1920), 3, 9), ((4000, 3000), 7, 13), ((3000, 300), 7, 11),
    ],
)  # fmt: skip
def test_tiles_of_common_sizes(size: tuple[int, int], six: int, twelve: int) -> None:
    assert internvl_tiles(*size, 6) == six
    assert internvl_tiles(*size, 12) == twelve


@pytest.mark.parametrize(
    ("size", "base", "budget", "padded"),
    [
        ((560, 560), 560, 18, (1120, 1120)), ((640, 480), 560, 18, (1120, 1120)), ((1024, 768), 560, 18, (1680, 1680)),
        ((1920, 1080), 560, 18, (2800, 1680)), ((1920, 1080), 560, 9, (1680, 1120)),
        ((1080, 1920), 560, 9, (1120, 1680)),
        ((4000, 3000), 560, 18, (2240, 1680)), ((100, 100), 560, 18, (560, 560)), ((3000, 300), 560, 9, (5040, 560)),
        ((1920, 1080), 336, 16, (1680, 1008)), ((100, 100), 336, 16, (1344, 1344)),
    ],
)  # fmt: skip
def test_ixc_partition(size: tuple[int, int], base: int, budget: int, padded: tuple[int, int]) -> None:
    assert ixc_partition(*size, budget, base, capped=base == 560) == padded
