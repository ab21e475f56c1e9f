"""Losses against formulas written out in plain Python. `test_parity.py` compares them with TRL."""

import math

import pytest
import torch

from trainers import losses

CHOSEN = [0.3, -1.2, 0.0, 4.0]
REJECTED = [-0.1, 0.7, 0.0, -3.0]


def log_logistic(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_dpo(smoothing: float) -> None:
    expected = [
        -(1 - smoothing) * log_logistic(c - r) - smoothing * log_logistic(r - c)
        for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]
    found = losses.dpo(torch.tensor(CHOSEN), torch.tensor(REJECTED), smoothing)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert found[2] == pytest.approx(math.log(2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_robust(smoothing: float) -> None:
    expected = [
        (-(1 - smoothing) * log_logistic(c - r) + smoothing * log_logistic(r - c)) / (1 - 2 * smoothing)
        for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]
    found = losses.robust(torch.tensor(CHOSEN), torch.tensor(REJECTED), smoothing)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_robust_is_unbiased_under_swapped_labels() -> None:
    """The mean over pairs of which a share is the wrong way round is the loss of the clean pairs."""
    chosen, rejected = torch.tensor(CHOSEN), torch.tensor(REJECTED)
    right, wrong = losses.robust(chosen, rejected, 0.2), losses.robust(rejected, chosen, 0.2)
    assert torch.allclose(0.8 * right + 0.2 * wrong, losses.dpo(chosen, rejected), atol=1e-6)


def test_hinge() -> None:
    found = losses.hinge(torch.tensor(CHOSEN), torch.tensor(REJECTED))
    assert found.tolist() == pytest.approx(
        [max(0.0, 1 - (c - r)) for c, r in zip(CHOSEN, REJECTED, strict=True)]
    )


def test_ipo_takes_log_ratios_per_token() -> None:
    beta, tokens = 0.2, ([3, 1, 7, 2], [4, 4, 1, 9])
    expected = [
        (c / beta / a - r / beta / b - 1 / (2 * beta)) ** 2
        for c, r, a, b in zip(CHOSEN, REJECTED, *tokens, strict=True)
    ]
    found = losses.ipo(
        torch.tensor(CHOSEN), torch.tensor(REJECTED), torch.tensor(tokens[0]), torch.tensor(tokens[1]), beta
    )
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_bco(delta: float) -> None:
    expected = [
        -log_logistic(c - delta) - log_logistic(-(r - delta)) for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]
    found = losses.bco(torch.tensor(CHOSEN), torch.tensor(REJECTED), delta)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_reward_is_beta_times_difference() -> None:
    assert losses.reward(torch.tensor([-3.0]), torch.tensor([-5.0]), 0.1).item() == pytest.approx(0.2)


def test_reward_shift_modes() -> None:
    steps = [[1.0, 3.0], [5.0, 5.0, 2.0, 0.0], [-1.0, 1.0]]
    none, cumulative, ema = (losses.RewardShift(mode, 0.9) for mode in ("none", "cumulative", "ema"))
    by_hand = 0.0
    for rewards in steps:
        for shift in (none, cumulative, ema):
            shift.update(sum(rewards), len(rewards))
        by_hand = 0.9 * by_hand + 0.1 * sum(rewards) / len(rewards)
    everything = [reward for step in steps for reward in step]
    assert none.value == 0.0
    assert cumulative.value == pytest.approx(sum(everything) / len(everything))
    assert ema.value == pytest.approx(by_hand)


def test_reward_shift_goes_on_from_a_checkpoint() -> None:
    whole, first = losses.RewardShift("cumulative"), losses.RewardShift("cumulative")
    for shift in (whole, first):
        shift.update(6.0, 4)
    second = losses.RewardShift("cumulative")
    second.load(first.state())
    for shift in (whole, second):
        shift.update(-1.0, 2)
    assert second.value == whole.value
