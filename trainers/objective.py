"""What a stage minimises: from a row's log-probabilities to its share of the step's loss, and the numbers to log.

Where it stands: `trainer.py` runs an objective on every packed row and sums what it reports over rows and processes;
`losses.py` holds the formulas. A new stage is a new `Objective`. The decision to question: an objective owns the
forward pass of a row as well, because a stage that scores whole answers needs other outputs of the model than
token log-probabilities; the loop then has no case per stage.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch

from trainers import losses
from trainers.config import TrainConfig
from trainers.forest import Row
from trainers.logprobs import AnswerHead, branch_sums, token_logps
from trainers.plan import Step

TIE = 1e-4
"""Margins up to this are ties: rounding alone makes them, and at step 1 they are all there is."""


class Objective(ABC):
    """One stage's loss. All sums are over the rows of a step and over processes before they are looked at."""

    sums: ClassVar[tuple[str, ...]]
    """Names of what `share` sums, in order; the first is `loss`, already divided."""

    def forward(self, model: Any, head: AnswerHead, row: Row) -> torch.Tensor:
        """What the model says about a row: log-probabilities [supervised] of its supervised tokens."""
        return token_logps(model, head, row)

    @abstractmethod
    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the row's part of the step's loss, detached fp64 sums in the order of `sums`).

        values: what `forward` gave; reference: [branches] summed log-probabilities under the reference.
        The parts of all rows of a step, on all processes, add up to its loss.
        """

    @abstractmethod
    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """The step's numbers for the log, from the sums over all rows and processes."""

    def end_step(self, step: Step, sums: dict[str, float]) -> None:  # noqa: B027 - most have nothing to move
        """Move what moves once per step. `line` was asked before."""

    def state(self) -> dict[str, float]:
        """What a checkpoint must hold."""
        return {}

    def load(self, state: dict[str, float]) -> None:  # noqa: B027
        """Go on from a checkpoint."""


def make_objective(config: TrainConfig) -> Objective:
    """The objective of a stage."""
    return Generation() if config.stage == "sft" else Preference(config)


class Generation(Objective):
    """Stage sft: the mean negative log-probability of supervised tokens."""

    sums = ("loss", "nll", "liked_tokens")

    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The row's negative log-probabilities over the step's tokens."""
        liked = row["liked"][row["branch"]]
        nll = (losses.sft(values) * liked).sum()
        share = nll / step.tokens
        return share, _sums(share, nll, liked.sum())

    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """The loss per token."""
        return {"loss": sums["loss"], "loss_sft": sums["nll"] / max(1.0, sums["liked_tokens"])}


class Preference(Objective):
    """Stages dpo and mpo: rewards of pairs, with the quality and the generation loss for mpo."""

    sums = (
        "loss", "nll", "liked_tokens", "dpo", "bco", "reward_chosen", "reward_rejected",
        "wins", "ties", "logp_rejected", "rejected_tokens",
    )  # fmt: skip

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.shift = losses.RewardShift(
            config.bco_delta if config.stage == "mpo" else "none", config.bco_decay
        )

    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted sum of the row's pair and token losses over the step's counts."""
        config = self.config
        liked = row["liked"][row["branch"]]
        nll = (losses.sft(values) * liked).sum()
        logps = branch_sums(values, row)
        rewards = losses.reward(logps, reference, config.beta)[row["pairs"]]
        chosen, rejected = rewards[:, 0], rewards[:, 1]
        preference = losses.dpo(chosen, rejected, config.label_smoothing).sum()
        quality = losses.bco(chosen, rejected, self.shift.value).sum()
        if config.stage == "dpo":
            share = preference / step.pairs
        else:
            weighted = config.dpo_weight * preference + config.bco_weight * quality
            share = weighted / step.pairs + config.sft_weight * nll / step.tokens
        worse = row["pairs"][:, 1]
        return share, _sums(
            share, nll, liked.sum(), preference, quality, chosen.sum(), rejected.sum(),
            (chosen - rejected > TIE).sum(), ((chosen - rejected).abs() <= TIE).sum(), logps[worse].sum(),
            torch.isin(row["branch"], worse).sum(),
        )  # fmt: skip

    def line(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Losses apart, rewards, margins and log-probabilities per token."""
        pairs = max(1, step.pairs)
        line = {"loss": sums["loss"], "loss_sft": sums["nll"] / max(1.0, sums["liked_tokens"])}
        line["loss_dpo"] = sums["dpo"] / pairs
        if self.config.stage == "mpo":
            line["loss_bco"] = sums["bco"] / pairs
            line["delta"] = self.shift.value
        line["reward_chosen"] = sums["reward_chosen"] / pairs
        line["reward_rejected"] = sums["reward_rejected"] / pairs
        line["margin"] = line["reward_chosen"] - line["reward_rejected"]
        line["accuracy"] = sums["wins"] / pairs
        line["ties"] = sums["ties"] / pairs
        line["logp_chosen"] = -line["loss_sft"]
        line["logp_rejected"] = sums["logp_rejected"] / max(1.0, sums["rejected_tokens"])
        return line

    def end_step(self, step: Step, sums: dict[str, float]) -> None:
        """Move the reward shift."""
        self.shift.update(sums["reward_chosen"] + sums["reward_rejected"], 2 * step.pairs)

    def state(self) -> dict[str, float]:
        """The reward shift."""
        return self.shift.state()

    def load(self, state: dict[str, float]) -> None:
        """Take the reward shift over."""
        self.shift.load(state)


def _sums(*parts: torch.Tensor) -> torch.Tensor:
    return torch.stack([part.detach().double() for part in parts])
