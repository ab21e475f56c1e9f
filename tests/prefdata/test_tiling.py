"""Tile counts against values computed from the original implementation."""

import pytest

from prefdata.tiling import internvl_tiles


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
