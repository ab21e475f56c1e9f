"""Held-out pairs: how often the model prefers the chosen answer of questions it was not trained on.

Where it stands: `run.py` holds pairs out before anything is planned, `trainer.py` evaluates them at steps that are due
and after the last one. Results go into `eval.json` and, in short, into the step's line of the log. Answers are judged
by what the stage trains: scores (reward) or rewards against the reference (dpo, mpo), whose shift stays as it is.

The decision to question: accuracy is of all pairs and ties are no wins, but stand apart, because a model that gives
every answer the same score is not wrong in the way one is that prefers the worse. The baseline that always prefers
the longer answer stands beside it: preference data is often explained by length alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import torch

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import write_json
from prefdata.progress import progress, say
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.grow import Grown, grow
from trainers.logprobs import AnswerHead
from trainers.objective import Objective
from trainers.pixels import PixelStore
from trainers.plan import PlannedRow, Step
from trainers.preference import TIE
from trainers.reference import Reference
from trainers.rows import RowMaker
from trainers.trees import Chosen, Tree, measured

FILE = "eval.json"
_NAMED = 5
"""Rows left out of the held-out data that are named; `--on-bad-row fail` stops at the first."""
_Z = 1.959964
"""Normal quantile of 95 % intervals."""


class Judged(NamedTuple):
    """One held-out pair."""

    source: str
    margin: float
    """Reward of the chosen answer minus that of the rejected."""
    longer: int
    """Characters that the chosen answer has more than the rejected."""


@dataclass(frozen=True)
class Held:
    """Pairs that no step trains on."""

    data: str
    trees: Sequence[Tree]
    also_trained: int = 0
    """Held-out trees whose question, with its images, is in the training data as well."""
    left_out: int = 0
    """Rows of --eval-data that no tree can be made of."""


def hold_out(config: TrainConfig, grown: Grown, opened: Opened, store: PixelStore) -> Held | None:
    """The pairs to evaluate on: from --eval-data, or taken out of `grown` by --eval-share; None without either."""
    if not config.eval_data and not config.eval_share:
        return None
    if config.eval_share:
        held = Held(config.data, _split(config, grown))
        say(f"held out: {len(held.trees)} rows of {config.data} ({config.eval_share:g} of its questions)")
        return held
    plain = msgspec.structs.replace(
        config,
        data=config.eval_data,
        filters="",
        max_length_ratio=0.0,
        max_chosen_ratio=0.0,
        min_length_gap=0,
    )
    found = grow(plain, opened, store)
    trees = found.trees
    asked = {measure.question for measure in measured(grown.trees)}
    known = sum(measure.question in asked for measure in measured(trees))
    held = Held(str(config.eval_data), trees, known, len(found.left_out))
    say(f"held out: {len(trees)} rows of {held.data} ({held.left_out} left out)")
    for row in found.left_out[:_NAMED]:
        say(f"held out: left out {row.place}: {row.reason}")
    if held.also_trained:
        say(
            f"warning: {held.also_trained} of {len(trees)} held-out rows ask a question of the training data: what "
            "they show is memory"
        )
    return held


def _split(config: TrainConfig, grown: Grown) -> Sequence[Tree]:
    """Take a share of the questions, with all their pairs, out of the training data; the same for the same seed."""
    asked = [measure.question for measure in measured(grown.trees)]
    questions = sorted(set(asked))
    count = max(1, round(config.eval_share * len(questions)))
    if count >= len(questions):
        raise PrefdataError(
            f"--eval-share {config.eval_share:g} of {len(questions)} questions leaves nothing to train on; "
            "give more data or a smaller share.",
            exit_code=EXIT_DATA,
        )
    held = set(Random(f"held-out {config.seed}").sample(questions, count))
    starts = [0, *accumulate(grown.rows)]
    rows = [sum(asked[number] not in held for number in range(*both)) for both in pairwise(starts)]
    for source, before, after in zip(grown.mixture.sources, grown.rows, rows, strict=True):
        if before and not after:
            raise PrefdataError(
                f"--eval-share {config.eval_share:g} holds all {before} rows of {source.name} out; give another --seed "
                "or a smaller share.",
                exit_code=EXIT_DATA,
            )
    grown.rows = rows
    everything = grown.trees
    grown.trees = Chosen(everything, [number for number, name in enumerate(asked) if name not in held])
    return Chosen(everything, [number for number, name in enumerate(asked) if name in held])


class Evaluator:
    """Evaluates one run's held-out pairs; only the first process writes."""

    def __init__(
        self,
        config: TrainConfig,
        held: Held,
        objective: Objective,
        reference: Reference,
        maker: RowMaker,
        opened: Opened,
        steps: int,
    ) -> None:
        self.held, self.objective, self.reference, self.maker = held, objective, reference, maker
        self.every, self.steps, self.stage = config.eval_steps, steps, config.stage
        self.path = Path(config.output_dir) / FILE
        self.pairs = [
            [
                (
                    tree.place.rpartition(":")[0],
                    _characters(opened, tree, chosen) - _characters(opened, tree, rejected),
                )
                for chosen, rejected in tree.pairs
            ]
            for tree in held.trees
        ]
        """For every pair of every tree its source, and how much longer the chosen answer is."""
        self.history: list[dict[str, Any]] = []

    def due(self, step: int) -> bool:
        """Whether to evaluate behind this step."""
        return step == self.steps or (self.every > 0 and step % self.every == 0)

    def keep(self, done: int) -> None:
        """On resuming after step `done`, go on with what was found up to there."""
        if done and self.path.is_file():
            known = msgspec.json.decode(self.path.read_bytes(), type=dict[str, Any])["history"]
            self.history = [entry for entry in known if entry["step"] <= done]

    def __call__(self, model: Any, head: AnswerHead, step: int) -> dict[str, float]:
        """Evaluate, write `eval.json`, and give what the log shows of it."""
        judged, line = self._judge(model, head)
        found = {"step": step, **line, **summary(judged)}
        self.history = [*(entry for entry in self.history if entry["step"] < step), found]
        if self.maker.rank == 0:
            about = {
                "stage": self.stage, "data": self.held.data, "also_trained": self.held.also_trained,
                "left_out": self.held.left_out,
            }  # fmt: skip
            write_json(self.path, {**about, "history": self.history})
            say(f"held out, step {step}: {sentence(found)}")
        return {f"eval_{key}": found[key] for key in ("loss", "accuracy", "ties", "mean_margin")}

    @torch.no_grad()
    def _judge(self, model: Any, head: AnswerHead) -> tuple[list[Judged], dict[str, float]]:
        trees, maker = self.held.trees, self.maker
        rows, measures = maker.cut(trees), measured(trees)
        whole = Step(
            rows=(tuple(PlannedRow(tuple(members)) for members in rows),),
            pairs=sum(measure.pairs for measure in measures),
            tokens=sum(measure.tokens for measure in measures),
            answers=sum(measure.answers for measure in measures),
        )
        rounds = -(-len(rows) // maker.processes)
        sums = torch.zeros(len(self.objective.sums), dtype=torch.float64)
        margins: dict[int, list[float]] = {}
        training = model.training
        model.eval()
        with maker.autocast(), progress("held out", rounds, "rows") as bar:
            for turn in range(rounds):
                number = turn * maker.processes + maker.rank
                # A process without a row of its own runs one all the same: partitioned weights are gathered by all.
                members = rows[number if number < len(rows) else 0]
                found, fresh = self._row(model, head, [trees[member] for member in members], whole)
                if number < len(rows):
                    sums += fresh
                    margins |= dict(zip(members, found, strict=True))
                bar.advance()
        model.train(training)
        if maker.processes > 1:
            shares: list[Any] = [None] * maker.processes
            torch.distributed.all_gather_object(shares, (sums, margins))
            sums = torch.stack([share[0] for share in shares]).sum(0)
            margins = {key: value for share in shares for key, value in share[1].items()}
        judged = [
            Judged(source, margin, longer)
            for number, pairs in enumerate(self.pairs)
            for margin, (source, longer) in zip(margins[number], pairs, strict=True)
        ]
        line = self.objective.line(whole, dict(zip(self.objective.sums, sums.tolist(), strict=True)))
        return judged, {"loss": line["loss"]}

    def _row(
        self, model: Any, head: AnswerHead, trees: list[Tree], whole: Step
    ) -> tuple[list[list[float]], torch.Tensor]:
        """(margins by tree, the objective's sums) of one packed row."""
        row = self.maker.make(trees)
        # Scores have no reference; where there is one, every held-out tree is in it.
        known = [
            value
            for tree in trees
            for value in (self.reference[tree.key] if self.reference else (0.0,) * len(tree.branches))
        ]
        reference = torch.tensor(known, dtype=torch.float64, device=self.maker.device)
        values = self.objective.forward(model, head, row)
        _, sums = self.objective.share(values, reference, row, whole, 0)  # weight 0: nothing is moved
        rewards = self.objective.rewards(values, reference, row)[row["pairs"]]
        left = iter((rewards[:, 0] - rewards[:, 1]).tolist())
        return [[next(left) for _ in tree.pairs] for tree in trees], sums.cpu()


def _characters(opened: Opened, tree: Tree, number: int) -> int:
    """Length of an answer's text, in the unit of the length baseline of `prefdata stats`."""
    branch = tree.branches[number]
    said = [token for token, wanted in zip(branch.ids, branch.supervised, strict=True) if wanted]
    return len(opened.tokenizer.decode(said, skip_special_tokens=True))


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Accuracy, ties and the length baseline of all pairs, by length and by source."""
    sources: dict[str, list[Judged]] = {}
    for pair in judged:
        sources.setdefault(pair.source, []).append(pair)
    by_source = {name: _shares(pairs) for name, pairs in sources.items()}
    return {
        **_shares(judged),
        "interval": list(interval(sum(pair.margin > TIE for pair in judged), len(judged))),
        "mean_margin": _rounded(sum(pair.margin for pair in judged) / len(judged)),
        "macro_accuracy": _rounded(sum(s["accuracy"] for s in by_source.values()) / len(by_source)),
        "by_length": {
            "chosen_longer": _shares(pair for pair in judged if pair.longer > 0),
            "chosen_shorter": _shares(pair for pair in judged if pair.longer < 0),
            "equal": _shares(pair for pair in judged if pair.longer == 0),
        },
        "sources": by_source,
    }


def _shares(pairs: Iterable[Judged]) -> dict[str, Any]:
    held = list(pairs)
    count = len(held)
    if not count:
        return {"pairs": 0}
    longer = sum(pair.longer > 0 for pair in held) + sum(pair.longer == 0 for pair in held) / 2
    return {
        "pairs": count,
        "accuracy": _rounded(sum(pair.margin > TIE for pair in held) / count),
        "ties": _rounded(sum(abs(pair.margin) <= TIE for pair in held) / count),
        "length_baseline": _rounded(longer / count),
    }


def interval(wins: int, pairs: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, square = wins / pairs, _Z**2 / pairs
    middle = (share + square / 2) / (1 + square)
    half = _Z * ((share * (1 - share) + square / 4) / pairs) ** 0.5 / (1 + square)
    return _rounded(max(0.0, middle - half)), _rounded(min(1.0, middle + half))


def sentence(found: dict[str, Any]) -> str:
    """The result in words."""
    low, high = found["interval"]
    return (
        f"accuracy {found['accuracy']:.3f} ({low:.3f}..{high:.3f}) of {found['pairs']} pairs, "
        f"ties {found['ties']:.3f}, preferring the longer {found['length_baseline']:.3f}"
    )


def _rounded(share: float) -> float:
    return round(share, 4)
