"""The intervals that `benchmarks.learning` prints."""

import pytest

from benchmarks.learning import bootstrap, over_seeds


def test_intervals_over_seeds() -> None:
    found = over_seeds([0.1, 0.2, 0.3])
    assert found["mean"] == pytest.approx(0.2)
    assert found["error"] == pytest.approx(0.1 / 3**0.5)
    assert found["interval95"] == pytest.approx([0.2 - 0.2484, 0.2 + 0.2484], abs=1e-4)


def test_bootstrap_is_paired_over_questions() -> None:
    """Three seeds that agree are no more evidence than one; the normal approximation is the oracle."""
    better = {f"{number}": number % 10 < 9 for number in range(200)}
    worse = {f"{number}": number % 10 < 7 for number in range(200)}
    one, three = bootstrap([(better, worse)]), bootstrap([(better, worse)] * 3)
    assert one == pytest.approx(three, abs=1e-9)
    half = 1.96 * (0.2 * 0.8 / 200) ** 0.5
    assert one == pytest.approx([0.2 - half, 0.2 + half], abs=0.008)
