"""The losses of a reward model: plain functions on fp32 scores, one value per pair or per score.

Where they stand: `scoring.py` feeds them the scores that `scorehead.py` reads. Notation: s_c, s_r are the scores of the
chosen and the rejected answer, m is the margin that the row asks for (0 without one), S is the logistic function.
As in `losses.py` no mean is taken here: the caller sums and divides by the pairs of the whole step.
"""

from typing import Literal

import torch
import torch.nn.functional as F

RewardLoss = Literal["bradley-terry", "focal"]
Penalty = Literal["none", "log-barrier", "l2"]

BARRIER = 5.0
"""Scores stay between -5 and 5 under the log barrier, as in XTuner and InternLM2 (arXiv 2403.17297, 4.2)."""
_EPSILON = 1e-3


def bradley_terry(
    chosen: torch.Tensor, rejected: torch.Tensor, margin: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """-log S(s_c - s_r - m) of scores [pairs]; ln 2 where the scores are equal and nothing is asked for.

    The margin is Llama 2's (arXiv 2307.09288, eq. 2): how much better the chosen answer was judged to be.
    """
    return -F.logsigmoid(chosen - rejected - margin)


def focal(chosen: torch.Tensor, rejected: torch.Tensor, margin: torch.Tensor | float = 0.0) -> torch.Tensor:
    """(1 - 2 relu(S(d) - 1/2))^2 times Bradley-Terry of d = s_c - s_r - m, scores [pairs] (arXiv 2403.17297, eq. 1).

    A pair that is in the wrong order weighs 1, one that is safely right weighs nothing. The weight has a gradient, as
    in XTuner.
    """
    difference = chosen - rejected - margin
    weight = (1 - 2 * F.relu(torch.sigmoid(difference) - 0.5)) ** 2
    return -weight * F.logsigmoid(difference)


def centring(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """(s_c + s_r)^2 of scores [pairs] (arXiv 2312.09244): keeps the mean of all scores near 0, as TRL does."""
    return (chosen + rejected) ** 2


def log_barrier(scores: torch.Tensor) -> torch.Tensor:
    """-log(5 - s) - log(s + 5) of scores of any shape, s held 1e-3 inside the bounds; about -3.2 at 0.

    Outside the bounds the value is constant and has no gradient, as in XTuner: the barrier keeps scores in, it does not
    bring them back.
    """
    inside = scores.clamp(-BARRIER + _EPSILON, BARRIER - _EPSILON)
    return -torch.log(BARRIER - inside) - torch.log(inside + BARRIER)


def l2(scores: torch.Tensor) -> torch.Tensor:
    """s^2 of scores of any shape."""
    return scores**2
