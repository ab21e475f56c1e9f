"""The score head of a reward model, on any supported model, reading the same trees as everything else.

Where it stands: `run.py` puts a `ScoreHead` where an `AnswerHead` stands in the other stages; `branch_scores` is the
one way a row is scored, in training, in evaluation and by a saved reward model (`reward.py`).

A score is linear in the hidden states, so all three ways of pooling are one: the head gives a number per token, and a
branch's score is a weighted sum of some of them. `last` takes the branch's last token (its end of turn) with weight 1,
`token` does the same behind a reward token that was put there, `mean` takes the trunk and the branch's own tokens with
weight 1/n. So the trunk's tokens are scored once, whatever the number of answers.

The decision to question: the score head is a child of the model's own output layer, whose forward is replaced for the
time of training. It is thereby a registered module, seen by the optimiser, by ZeRO, by LoRA (`modules_to_save`) and by
checkpoints, and is called once per forward inside the module, which ZeRO-3 needs. The output layer itself takes no
part and is left as it was given, so that the saved folder still is a model that generates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from prefdata.errors import PrefdataError
from trainers.families import Opened
from trainers.forest import Row
from trainers.logprobs import AnswerHead
from trainers.trees import LazyTrees, Measure, Tree, measured

Pooling = Literal["last", "mean", "token"]
CHILD = "score"
"""Name of the score head inside the output layer."""


@dataclass(frozen=True)
class Pool:
    """Which tokens of a row make which branch's score: sum of weight * (number of the token at index)."""

    index: torch.Tensor
    """[parts] positions over the flattened input"""
    branch: torch.Tensor
    """[parts] number of the branch"""
    weight: torch.Tensor
    """[parts] fp32"""
    branches: int

    def to(self, device: torch.device) -> "Pool":
        """The same on a device."""
        index, branch, weight = (
            tensor.to(device, non_blocking=True) for tensor in (self.index, self.branch, self.weight)
        )
        return Pool(index, branch, weight, self.branches)


class Score(torch.nn.Linear):
    """Hidden states [tokens, width] -> one fp32 number per token, without bias; zero before training, as in XTuner.

    A zero start makes the first loss known (ln 2 per pair), as in the other stages.
    """

    def __init__(self, width: int, like: torch.Tensor) -> None:
        super().__init__(width, 1, bias=False, device=like.device, dtype=like.dtype)
        torch.nn.init.zeros_(self.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[tokens, width] -> [tokens]; fp32 whatever the compute type."""
        with torch.autocast(hidden.device.type, enabled=False):
            return torch.nn.functional.linear(hidden.float(), self.weight.float())[:, 0]


class ScoreHead(AnswerHead):
    """An `AnswerHead` that gives scores when asked, with the trained head beside the model's own."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        width = model.config.get_text_config().hidden_size
        own = self.module.weight
        # Scored in the type of the model's floats; a quantised or partitioned output layer says nothing of its width.
        like = next(p for p in model.parameters() if p.is_floating_point())
        self.module.add_module(CHILD, Score(width, like))
        if own is not model.get_input_embeddings().weight:
            own.requires_grad_(False)  # it has no gradient, and weight decay would still move it
        self._pool: Pool | None = None

    def trained(self, model: Any) -> list[str]:
        """Name of the score head within `model`, for adapters that freeze all but what is named."""
        child = getattr(self.module, CHILD)
        return [name for name, module in model.named_modules() if module is child]

    def want_scores(self, pool: Pool) -> None:
        """Give the scores of these branches in the next forward."""
        self._pool = pool

    def weight(self) -> torch.Tensor:
        """The score head's weight [1, width] as it is now, fp32."""
        child = getattr(self.module, CHILD)
        if hasattr(child, "modules_to_save"):  # PEFT wraps what it trains
            child = child.modules_to_save["default"]
        if hasattr(child.weight, "ds_id"):  # a part per process under ZeRO-3; all of them must come here
            import deepspeed

            with deepspeed.zero.GatheredParameters([child.weight]):
                return self._copy(child.weight)
        return self._copy(child.weight)

    @staticmethod
    def _copy(weight: torch.Tensor) -> torch.Tensor:
        return weight.detach().float().cpu().clone()

    def set_weight(self, weight: torch.Tensor) -> None:
        """Take over a trained head."""
        own = getattr(self.module, CHILD).weight
        if own.shape != weight.shape:
            raise PrefdataError(
                f"the score head has the shape {list(weight.shape)} where the model needs {list(own.shape)}; "
                "model and head are not of one training."
            )
        with torch.no_grad():
            own.copy_(weight)

    def take_off(self) -> torch.Tensor:
        """Remove the score head from the model, which is then as any other; returns its weight."""
        weight = self.weight()
        delattr(self.module, CHILD)
        self.remove()
        return weight

    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self._pool is None:
            return super()._forward(hidden)
        pool, self._pool = self._pool, None
        tokens = hidden.flatten(0, -2)
        score = getattr(self.module, CHILD)
        if len(pool.index) < len(tokens):
            values = score(tokens.index_select(0, pool.index))
        else:
            values = score(tokens).index_select(0, pool.index)
        sums = torch.zeros(pool.branches, dtype=torch.float32, device=hidden.device)
        return sums.index_add(0, pool.branch, values * pool.weight)[None, :, None]


def branch_scores(model: Any, head: ScoreHead, row: Row, pooling: Pooling) -> torch.Tensor:
    """Scores [branches] of a row made of whole branches, fp32."""
    head.want_scores(pool_of(row, pooling).to(row["pairs"].device))
    out: torch.Tensor = model(**row["forward"]).logits
    return out[0, :, 0]


def pool_of(row: Row, pooling: Pooling) -> Pool:
    """What to sum for each branch, from the lengths of a row's trees.

    A shared row is one sequence, trunk and branches one after the other; a padded one has a sequence per branch that
    begins with the trunk. Where there is one branch, both are the same.
    """
    sequences, width = row["forward"]["input_ids"].shape
    index: list[torch.Tensor] = []
    place = sequence = 0
    for tree in row["trees"]:
        trunk = len(tree.trunk)
        if sequences == 1:
            start, place = place, place + trunk
        for branch in tree.branches:
            length = len(branch.inputs)
            if sequences > 1:
                start, place, sequence = sequence * width, sequence * width + trunk, sequence + 1
            own = torch.arange(place, place + length)
            index.append(
                torch.cat([torch.arange(start, start + trunk), own]) if pooling == "mean" else own[-1:]
            )
            place += length
        if not tree.branches:
            sequence += 1  # the padded form gives it one of its own
    counts = torch.tensor([len(part) for part in index])
    return Pool(
        index=torch.cat(index),
        branch=torch.repeat_interleave(torch.arange(len(index)), counts),
        weight=torch.repeat_interleave(1.0 / counts, counts),
        branches=len(index),
    )


class Whole(LazyTrees):
    """Trees as a reward model reads them: every token of an answer is input, with a token, if any, behind it."""

    def __init__(self, trees: Sequence[Tree], token: int | None) -> None:
        """trees: each of one pair or of one answer. token: what `reward_token` says."""
        self.trees, self.token = trees, token

    @property
    def measures(self) -> Sequence[Measure]:
        """The trees' own, with the tokens that each answer has more."""
        return [self._more(measure) for measure in measured(self.trees)]

    def __len__(self) -> int:
        return len(self.trees)

    def tree(self, number: int) -> Tree:
        """With every token of its answers as input."""
        tree = self.trees[number]
        end = () if self.token is None else (self.token,)
        branches = tuple(
            replace(
                branch,
                ids=(*branch.ids, *end),
                supervised=(*branch.supervised, *[False] * len(end)),
                whole=True,
            )
            for branch in tree.branches
        )
        return replace(tree, branches=branches)

    def _more(self, measure: Measure) -> Measure:
        answers = 2 * measure.pairs or measure.answers
        tokens = answers * (1 if self.token is None else 2)
        return measure._replace(shared=measure.shared + tokens, plain=measure.plain + tokens)


def reward_token(opened: Opened, pooling: Pooling, token: str | None) -> int | None:
    """The id of the token that answers are scored at; None where no token is added.

    It must be one token of the vocabulary: a new one would need new rows in the embedding, and a model that other
    programs load only with our files.
    """
    if pooling != "token":
        if token is not None:
            raise PrefdataError(f"--reward-token {token}: is of use with --pooling token only; leave it out.")
        return None
    tokenizer = opened.tokenizer
    taken = (tokenizer.eos_token_id, opened.image_token_id)
    ids = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    known = [name for name, number in ids.items() if number not in taken]
    hint = f"this tokenizer has {', '.join(known[:6])}" if known else "look into its tokenizer_config.json"
    if token is None:
        raise PrefdataError(f"--pooling token needs --reward-token, a special token of the model; {hint}.")
    number = opened.tokenizer.get_vocab().get(token)
    if number is None or number >= opened.config.get_text_config().vocab_size:
        raise PrefdataError(f"--reward-token {token}: is no token of {opened.name}; {hint}.")
    if number == opened.image_token_id:
        raise PrefdataError(f"--reward-token {token}: stands for an image in {opened.name}; choose another.")
    return int(number)
