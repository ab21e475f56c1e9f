"""Stages dpo and mpo: rewards of pairs, with the quality and the generation loss for mpo.

Where it stands: an `Objective` that `objective.make_objective` makes. The decision to question: what is logged per
pair counts an answer as often as it stands in a pair, so a grouped tree logs what its single pairs would.
"""

from collections.abc import Mapping, Sequence

import torch

from prefdata.errors import PrefdataError
from trainers import losses
from trainers.config import TrainConfig
from trainers.forest import Row
from trainers.logprobs import branch_sums
from trainers.objective import Normaliser, Objective, branch_lengths, pack_sums
from trainers.plan import Step
from trainers.trees import Tree

TIE = 1e-4
"""Margins up to this are ties: rounding alone makes them, and at step 1 they are all there is."""


class Preference(Objective):
    """The weighted losses of pairs. `shift` is the delta of the quality loss."""

    sums = (
        "loss", "nll", "liked_tokens", "dpo", "bco", "reward_chosen", "reward_rejected", "wins", "ties",
        "logp_chosen", "chosen_tokens", "logp_rejected", "rejected_tokens", "logp_end", "kl",
    )  # fmt: skip

    def __init__(self, config: TrainConfig) -> None:
        if config.label_smoothing and config.dpo_loss in ("ipo", "hinge"):
            raise PrefdataError(
                f"--label-smoothing {config.label_smoothing}: has no meaning with --dpo-loss {config.dpo_loss}; leave "
                "it out, or choose sigmoid or robust."
            )
        self.config = config
        self.over = Normaliser(config)
        self.shift = losses.RewardShift(_delta_mode(config), config.bco_decay)
        self.before_use = config.compat == "internvl"
        """Whether delta takes in the rewards of a row before that row's loss, as InternVL's trainer does."""

    def share(
        self, values: torch.Tensor, reference: torch.Tensor, row: Row, step: Step, weight: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The row's part of the weighted sum of preference, quality and generation loss."""
        config = self.config
        logps, lengths = branch_sums(values, row), branch_lengths(row)
        rewards = losses.reward(logps, reference, config.beta)
        better, worse = row["pairs"][:, 0], row["pairs"][:, 1]
        chosen, rejected = rewards[better], rewards[worse]
        preference = self._preference(chosen, rejected, lengths[better], lengths[worse]).sum()
        if self.before_use:
            self._take_in(chosen, rejected, weight)
        quality = losses.bco(chosen, rejected, self.shift.value).sum()
        token_losses = losses.sft(values)
        share = self.over.pairs(preference, row, step)
        if config.stage == "mpo":
            share = (
                config.dpo_weight * share
                + config.bco_weight * self.over.pairs(quality, row, step)
                + config.sft_weight * self.over.generation(token_losses, row, step)
            )
        liked = row["liked"][row["branch"]]
        ends = lengths.cumsum(0) - 1  # a branch's tokens stand together, in order
        drift = (logps - reference)[row["pairs"]]
        return share, pack_sums(
            share, (token_losses * liked).sum(), liked.sum(), preference, quality, chosen.sum(), rejected.sum(),
            (chosen - rejected > TIE).sum(), ((chosen - rejected).abs() <= TIE).sum(),
            logps[better].sum(), lengths[better].sum(), logps[worse].sum(), lengths[worse].sum(),
            values[ends[better]].sum(), drift.square().sum() / 4,
        )  # fmt: skip

    def rewards(self, values: torch.Tensor, reference: torch.Tensor, row: Row) -> torch.Tensor:
        """The implicit rewards."""
        return losses.reward(branch_sums(values, row), reference, self.config.beta)

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
        line["logp_chosen"] = sums["logp_chosen"] / max(1.0, sums["chosen_tokens"])
        line["logp_rejected"] = sums["logp_rejected"] / max(1.0, sums["rejected_tokens"])
        line["logp_end"] = sums["logp_end"] / pairs
        line["kl"] = sums["kl"] / pairs
        return line

    def first_loss(
        self, step: Step, trees: Sequence[Tree], known: Mapping[str, Sequence[float]]
    ) -> float | None:
        """ln 2 for dpo, 1.2 ln 2 + NLL for mpo's usual weights."""
        config = self.config
        pair = losses.first_preference(config.dpo_loss, config.beta)
        if config.stage == "dpo":
            return pair
        return (
            config.dpo_weight * pair
            + config.bco_weight * losses.FIRST_QUALITY
            + config.sft_weight * self.over.first_generation(step, trees, known)
        )

    def end_step(self, step: Step, sums: dict[str, float]) -> None:
        """Move the reward shift."""
        if not self.before_use:
            self.shift.update(sums["reward_chosen"] + sums["reward_rejected"], 2 * step.pairs)

    def state(self) -> dict[str, float]:
        """The reward shift."""
        return self.shift.state()

    def load(self, state: dict[str, float]) -> None:
        """Take the reward shift over."""
        self.shift.load(state)

    def _preference(
        self, chosen: torch.Tensor, rejected: torch.Tensor, chosen_tokens: torch.Tensor, rejected_tokens: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        config = self.config
        match config.dpo_loss:
            case "ipo":
                return losses.ipo(chosen, rejected, chosen_tokens, rejected_tokens, config.beta)
            case "hinge":
                return losses.hinge(chosen, rejected)
            case "robust":
                return losses.robust(chosen, rejected, config.label_smoothing)
            case _:
                return losses.dpo(chosen, rejected, config.label_smoothing)

    def _take_in(self, chosen: torch.Tensor, rejected: torch.Tensor, weight: int) -> None:
        """Move delta by the rewards of the rows that all processes are at."""
        # A micro-batch weighs 1 however many pairs it holds: TRL 0.10 hands its running mean their mean.
        mean = torch.cat([chosen, rejected]).mean().detach()
        fresh = torch.stack([mean, torch.ones_like(mean)]) * weight
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(fresh)
        total, count = fresh.tolist()
        self.shift.update(total, int(count))


def _delta_mode(config: TrainConfig) -> losses.Delta:
    """What `--compat` computes goes before `--bco-delta`."""
    if config.stage != "mpo" or config.compat == "trl":
        return "none"
    return "cumulative" if config.compat == "internvl" else config.bco_delta
