"""What a stage minimises: from a row's log-probabilities to its share of the step's loss, and the numbers to log.

Where it stands: `trainer.py` runs an objective on every packed row and sums what it reports over rows and processes;
`losses.py` holds the formulas, `preference.py` the stages dpo and mpo, `scoring.py` the stage reward. A new stage is a
new `Objective`. The decision to question: an objective owns the forward pass of a row as well, because a stage that
scores whole answers needs other outputs of the model than token log-probabilities; the loop then has no case per
stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from trainers import losses
from trainers.config import TrainConfig
from trainers.forest import Row
from trainers.logprobs import AnswerHead, token_logps
from trainers.plan import Step
from trainers.trees import Tree


class Objective(ABC):
    """One stage's loss. All sums are over the rows of a step and over processes before they are looked at."""

    sums: ClassVar[tuple[str, ...]]
    """Names of what `share` sums, in order; the first is `loss`, already divided."""

    def forward(self, model: Any, head: AnswerHead, row: Row) -> torch.Tensor:
        """What the model says about a row: log-probabilities [supervised] of its supervised tokens."""
        return token_logps(model, head, row)

    @abstractmethod
    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step, weight: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the row's part of the step's loss, detached fp64 sums in the order of `sums`).

        values: what `forward` gave; reference: [branches] summed log-probabilities under the reference.
        weight: 0 for a row that only keeps processes in step; it moves nothing.
        The parts of all rows of a step, on all processes, add up to its loss.
        """

    def rewards(self, values: torch.Tensor, reference: torch.Tensor, row: Row) -> torch.Tensor:
        """[branches] what each answer is worth by this stage's lights: what held-out pairs are judged by."""
        raise TypeError(f"{type(self).__name__} does not judge answers")

    @abstractmethod
    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """The step's numbers for the log, from the sums over all rows and processes."""

    def first_loss(
        self, step: Step, trees: Sequence[Tree], known: Mapping[str, Sequence[float]]
    ) -> float | None:
        """The loss that step 1 must have, where the policy is the reference; None where that is not known.

        known: summed log-probabilities of each tree's branches under the reference, by tree key.
        """
        return None

    def end_step(self, step: Step, sums: dict[str, float]) -> None:  # noqa: B027 - most have nothing to move
        """Move what moves once per step. `line` was asked before."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""
        return {}

    def load(self, state: dict[str, float]) -> None:  # noqa: B027
        """Go on from a checkpoint."""


def make_objective(config: TrainConfig) -> Objective:
    """The objective of a stage."""
    from trainers.preference import Preference
    from trainers.scoring import Scores

    if config.stage == "reward":
        return Scores(config)
    return Generation(config) if config.stage == "sft" else Preference(config)


class Normaliser:
    """What a row's sums are divided by, so that the parts of all rows add up to the step's mean.

    By default the counts of the whole step: neither packing nor accumulation nor processes change what a pair or a
    token weighs. With `--compat` a packed row is a micro-batch, and the step's loss the mean of its rows' means.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.by_row = config.compat != "none"
        self.by_sample = config.sft_normalise == "sample"

    def pairs(self, total: torch.Tensor, row: Row, step: Step) -> torch.Tensor:
        """A sum over pairs, divided."""
        return total / (len(row["pairs"]) * step.row_count if self.by_row else step.pairs)

    def generation(self, token_losses: torch.Tensor, row: Row, step: Step) -> torch.Tensor:
        """Token losses [supervised] as the row's part of the generation loss."""
        liked, branch = row["liked"], row["branch"]
        lengths = branch_lengths(row)
        if self.by_sample:
            weights = (liked / lengths.clamp(min=1))[branch]
            count = liked.sum() * step.row_count if self.by_row else step.answers
        else:
            weights = liked[branch]
            count = (liked * lengths).sum() * step.row_count if self.by_row else step.tokens
        return (token_losses * weights).sum() / count

    def first_generation(
        self, step: Step, trees: Sequence[Tree], known: Mapping[str, Sequence[float]]
    ) -> float:
        """The generation loss of log-probabilities that are known as sums over branches."""
        rows = [row.trees for rank in step.rows for row in rank if row.weight]
        total = 0.0
        for members in rows:
            loss, count = 0.0, 0.0
            for tree in (trees[number] for number in members):
                for logp, branch in zip(known[tree.key], tree.branches, strict=True):
                    loss -= branch.liked * logp / (branch.scored if self.by_sample else 1)
                    count += branch.liked * (1 if self.by_sample else branch.scored)
            total += loss / (count * len(rows)) if self.by_row else loss
        if self.by_row:
            return total
        return total / (step.answers if self.by_sample else step.tokens)


class Generation(Objective):
    """Stage sft: the mean negative log-probability of supervised tokens."""

    sums = ("loss", "nll", "liked_tokens")

    def __init__(self, config: TrainConfig) -> None:
        self.over = Normaliser(config)

    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step, weight: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The row's part of the mean over tokens or answers."""
        token_losses = losses.sft(values)
        liked = row["liked"][row["branch"]]
        share = self.over.generation(token_losses, row, step)
        return share, pack_sums(share, (token_losses * liked).sum(), liked.sum())

    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """The loss, and per token."""
        return {"loss": sums["loss"], "loss_sft": sums["nll"] / max(1.0, sums["liked_tokens"])}


def branch_lengths(row: Row) -> torch.Tensor:
    """Supervised tokens of each branch: [branches]."""
    return torch.bincount(row["branch"], minlength=len(row["liked"]))


def pack_sums(*parts: torch.Tensor) -> torch.Tensor:
    """Detached fp64 values in one tensor: one copy from the device instead of many."""
    return torch.stack([part.detach().double() for part in parts])
