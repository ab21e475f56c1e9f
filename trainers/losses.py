"""The training losses: plain functions on fp32 tensors, one value per pair; the caller sums and divides.

Where they stand: `trainer.py` feeds them log-probabilities summed over an answer's tokens. Notation: r_c, r_r are the
rewards beta * (log pi_policy - log pi_reference) of the chosen and the rejected answer, s is the logistic function.
The decision to question: the functions never take a mean. A packed row holds a varying number of pairs, so a mean per
row would weigh pairs unequally; every sum is divided by the count of the whole step instead.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

Delta = Literal["none", "cumulative", "ema"]
Preference = Literal["sigmoid", "ipo", "hinge", "robust"]


class MpoWeights(NamedTuple):
    """w_p, w_q, w_g of Mixed Preference Optimization; the defaults are the paper's (arXiv 2411.10442, 4.1)."""

    dpo: float = 0.8
    bco: float = 0.2
    sft: float = 1.0


def reward(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """beta * (policy - reference) of summed log-probabilities, any shape (DPO, arXiv 2305.18290, eq. 5)."""
    return beta * (policy - reference)


def dpo(chosen: torch.Tensor, rejected: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Preference loss of rewards [pairs]: -(1 - e) log s(r_c - r_r) - e log s(r_r - r_c).

    e = 0 is DPO (arXiv 2305.18290, eq. 7); e > 0 is the conservative form (cDPO). ln 2 where the rewards are equal.
    """
    margin = chosen - rejected
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def robust(chosen: torch.Tensor, rejected: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """Preference loss of rewards [pairs]: (-(1 - e) log s(r_c - r_r) + e log s(r_r - r_c)) / (1 - 2 e).

    Robust DPO (arXiv 2403.00409, eq. 12): unbiased if a share e < 1/2 of the pairs is the wrong way round. It may be
    negative. ln 2 where the rewards are equal, as dpo.
    """
    margin = chosen - rejected
    clean, flipped = -F.logsigmoid(margin), -F.logsigmoid(-margin)
    return ((1 - label_smoothing) * clean - label_smoothing * flipped) / (1 - 2 * label_smoothing)


def hinge(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Preference loss of rewards [pairs]: max(0, 1 - (r_c - r_r)), SLiC's on log ratios (arXiv 2309.06657).

    1 where the rewards are equal, 0 from a margin of 1 on.
    """
    return F.relu(1 - (chosen - rejected))


def ipo(
    chosen: torch.Tensor, rejected: torch.Tensor, chosen_tokens: torch.Tensor, rejected_tokens: torch.Tensor,
    beta: float,
) -> torch.Tensor:  # fmt: skip
    """Preference loss of rewards [pairs]: (r_c / (beta |y_c|) - r_r / (beta |y_r|) - 1 / (2 beta))^2.

    IPO (arXiv 2310.12036, eq. 17, its tau is our beta), on log ratios per token [pairs] instead of their sums: the
    authors' own normalisation, without which the square grows with the length. 1 / (4 beta^2) where rewards are 0.
    """
    gap = chosen / (beta * chosen_tokens) - rejected / (beta * rejected_tokens)
    return (gap - 1 / (2 * beta)) ** 2


FIRST_QUALITY = 2 * math.log(2)
"""A pair's quality loss where all rewards and delta are 0."""


def first_preference(kind: Preference, beta: float) -> float:
    """A pair's preference loss before the first step, where policy and reference agree and all rewards are 0."""
    return {"sigmoid": math.log(2), "robust": math.log(2), "hinge": 1.0, "ipo": 1 / (4 * beta * beta)}[kind]


def bco(chosen: torch.Tensor, rejected: torch.Tensor, delta: float = 0.0) -> torch.Tensor:
    """Quality loss of rewards [pairs]: -log s(r_c - delta) - log s(-(r_r - delta)).

    Binary classifier optimisation (arXiv 2404.04656) on pairs, as MPO uses it; `delta` is a constant, no gradient
    flows through it. 2 ln 2 where both rewards equal delta.
    """
    return -F.logsigmoid(chosen - delta) - F.logsigmoid(delta - rejected)


def sft(token_logps: torch.Tensor) -> torch.Tensor:
    """Generation loss per token [tokens]: -log pi (arXiv 2411.10442, 4.1: L_g).

    Its sum is divided by the number of chosen tokens of the step, or, per sample, each answer's by its own length and
    then by the number of answers, as the paper writes it (the code it was published with takes the mean of tokens).
    """
    return -token_logps


class RewardShift:
    """delta of the quality loss: a mean of past rewards, the same on every process.

    `none` is 0 (what TRL >= 0.2x computes), `cumulative` the mean of all pairs so far (what InternVL's trainer
    computes), `ema` an exponential mean from 0. It moves once per optimiser step, *after* the step, so that it
    depends neither on how pairs are packed nor on accumulation; the original moves it per micro-batch, before use,
    each micro-batch weighing the same (`--compat internvl`).
    """

    def __init__(self, mode: Delta, decay: float = 0.99) -> None:
        self.mode, self.decay = mode, decay
        self.value = 0.0
        self.count = 0

    def update(self, reward_sum: float, rewards: int) -> None:
        """Take in rewards, chosen and rejected together: their sum and how many."""
        if self.mode == "none" or rewards == 0:
            return
        self.count += rewards
        mean = reward_sum / rewards
        if self.mode == "cumulative":
            self.value += (mean - self.value) * rewards / self.count
        else:
            self.value = self.decay * self.value + (1 - self.decay) * mean

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""
        return {"value": self.value, "count": self.count}

    def load(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.value, self.count = float(state["value"]), int(state["count"])
