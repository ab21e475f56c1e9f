"""Stage reward: what a score head is trained to do with pairs.

Where it stands: an `Objective` beside those of `objective.py`; the formulas are in `reward_losses.py`, the forward pass
in `scorehead.py`. The decision to question: scores have no reference and no scale of their own. Bradley-Terry sees
their differences only, so `centring` or a penalty is what keeps their level where other programs expect it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from trainers import reward_losses as losses
from trainers.config import TrainConfig
from trainers.forest import Row
from trainers.logprobs import AnswerHead
from trainers.objective import Normaliser, Objective, pack_sums
from trainers.plan import Step
from trainers.preference import TIE
from trainers.scorehead import ScoreHead, branch_scores
from trainers.trees import Tree


class Scores(Objective):
    """Loss of a step: mean over its pairs of rank + centring_weight * centring + penalty_weight * penalty."""

    sums = (
        "loss", "rank", "centring", "penalty", "score_chosen", "score_rejected", "wins", "ties",
    )  # fmt: skip

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.over = Normaliser(config)

    def forward(self, model: Any, head: AnswerHead, row: Row) -> torch.Tensor:
        """Scores [branches]."""
        assert isinstance(head, ScoreHead)
        return branch_scores(model, head, row, self.config.pooling)

    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step, weight: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The row's losses over the step's pairs."""
        chosen, rejected = values[row["pairs"]].unbind(1)
        rank, centring, penalty = self.parts(chosen, rejected, margins(row["trees"]).to(values.device))
        share = self.over.pairs(self.weigh(rank, centring, penalty), row, step)
        return share, pack_sums(
            share, rank, centring, penalty, chosen.sum(), rejected.sum(),
            (chosen - rejected > TIE).sum(), ((chosen - rejected).abs() <= TIE).sum(),
        )  # fmt: skip

    def rewards(self, values: torch.Tensor, reference: torch.Tensor, row: Row) -> torch.Tensor:
        """The scores themselves."""
        return values

    def parts(
        self, chosen: torch.Tensor, rejected: torch.Tensor, margin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of the pair loss, of the centring and of the penalty, unweighted."""
        rank = losses.focal if self.config.reward_loss == "focal" else losses.bradley_terry
        penalty = chosen.new_zeros(())
        if self.config.score_penalty != "none":
            one = losses.log_barrier if self.config.score_penalty == "log-barrier" else losses.l2
            penalty = one(chosen).sum() + one(rejected).sum()
        wanted = self.config.margin_weight * margin
        return rank(chosen, rejected, wanted).sum(), losses.centring(chosen, rejected).sum(), penalty

    def weigh(self, rank: torch.Tensor, centring: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        """Their weighted sum."""
        return rank + self.config.centring_weight * centring + self.config.penalty_weight * penalty

    def first_loss(
        self, step: Step, trees: Sequence[Tree], known: Mapping[str, Sequence[float]]
    ) -> float | None:
        """The loss of scores that are all 0, as before the first step: ln 2 where nothing else is asked for."""
        if self.over.by_row:
            return None
        margin = margins([trees[number] for number in step.trees])
        zeros = torch.zeros_like(margin)
        return float(self.weigh(*self.parts(zeros, zeros, margin)) / len(margin))

    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Losses apart, scores of both sides, and how often the chosen answer's is higher."""
        pairs = max(1, step.pairs)
        line = {"loss": sums["loss"], "loss_rank": sums["rank"] / pairs}
        if self.config.centring_weight:
            line["loss_centring"] = sums["centring"] / pairs
        if self.config.score_penalty != "none":
            line["loss_penalty"] = sums["penalty"] / pairs
        line["score_chosen"] = sums["score_chosen"] / pairs
        line["score_rejected"] = sums["score_rejected"] / pairs
        line["margin"] = line["score_chosen"] - line["score_rejected"]
        line["accuracy"] = sums["wins"] / pairs
        line["ties"] = sums["ties"] / pairs
        return line


def margins(trees: Sequence[Tree]) -> torch.Tensor:
    """[pairs] the margins that rows ask for, 0 where they ask for none."""
    return torch.tensor([m for tree in trees for m in tree.margins or (0.0,) * len(tree.pairs)])
