"""Reward losses against formulas written out in plain Python."""

import math

import pytest
import torch

from trainers import reward_losses as losses

CHOSEN = [0.3, -1.2, 0.0, 4.0]
REJECTED = [-0.1, 0.7, 0.0, -3.0]
MARGIN = [0.0, 0.5, 1.0, 2.0]


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bradley_terry_with_margins() -> None:
    expected = [-math.log(logistic(c - r - m)) for c, r, m in zip(CHOSEN, REJECTED, MARGIN, strict=True)]
    found = losses.bradley_terry(torch.tensor(CHOSEN), torch.tensor(REJECTED), torch.tensor(MARGIN))
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert losses.bradley_terry(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(2))


def test_focal_forgets_what_is_safely_right() -> None:
    expected = []
    for c, r in zip(CHOSEN, REJECTED, strict=True):
        weight = (1 - 2 * max(0.0, logistic(c - r) - 0.5)) ** 2
        expected.append(-weight * math.log(logistic(c - r)))
    found = losses.focal(torch.tensor(CHOSEN), torch.tensor(REJECTED))
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    plain = losses.bradley_terry(torch.tensor(CHOSEN), torch.tensor(REJECTED))
    assert found[1] == plain[1]  # in the wrong order: full weight
    assert found[3] < 1e-5 * plain[3]


def test_centring() -> None:
    expected = [(c + r) ** 2 for c, r in zip(CHOSEN, REJECTED, strict=True)]
    found = losses.centring(torch.tensor(CHOSEN), torch.tensor(REJECTED))
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_penalties_and_the_bounds_of_the_barrier() -> None:
    scores = torch.tensor([0.0, 4.0, -4.999, 7.0], requires_grad=True)
    expected = [-math.log(5 - s) - math.log(s + 5) for s in (0.0, 4.0, -4.999, 4.999)]
    found = losses.log_barrier(scores)
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    found.sum().backward()
    assert scores.grad is not None
    assert scores.grad[1] > 0  # pushed down from the upper bound
    assert scores.grad[3] == 0
    assert losses.l2(torch.tensor([-2.0, 3.0])).tolist() == [4.0, 9.0]
