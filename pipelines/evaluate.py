"""Accuracy of a model on questions with answers: the same engines, prompts and judge as pair making.

Greedy by default, so that a number means the model and not the dice. Accuracy is right answers / all questions with a
reference answer: an undecided answer is not a right one, nor is a question that failed; both are shown beside it. Of
several samples per question the share of right ones counts, so that each question has the same weight. Questions
without a reference are asked and kept in samples.jsonl, but count in nothing.
"""

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines import correctness
from pipelines.engines import make_engine
from pipelines.judging import kind_of, version
from pipelines.output import checkpoint_name, pinned
from pipelines.prompts import TEMPLATES
from pipelines.questions import Asked, How, load, thinned
from pipelines.results import sample_rows
from pipelines.rounds import Plan
from pipelines.rundir import RunDir
from prefdata.errors import EXIT_DATA
from prefdata.progress import say
from prefdata.readers import read_rows

if TYPE_CHECKING:
    from pipelines.cli.evaluate import Config

_Z95: Final = 1.959963984540054


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """The Wilson 95 % interval of a share (Wilson 1927); (0, 1) without trials.

    `successes` may be a sum of shares of right samples, one per question: shares vary less than the zeros and ones
    that the interval assumes, so it is then too wide rather than too narrow.
    """
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def run(config: "Config") -> int:
    """Evaluate, print the result as JSON on standard output; the exit code is 1 when questions failed."""
    if config.out_dir:
        result = _evaluate(config, Path(config.out_dir))
        result |= {"run": config.out_dir, "samples": str(Path(config.out_dir) / "samples.jsonl")}
    else:
        with tempfile.TemporaryDirectory(prefix="prefdata-eval-") as folder:
            result = _evaluate(config, Path(folder))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    counted = (
        f"{result['correct']} correct, {result['wrong']} wrong, {result['undecided']} undecided samples "
        f"of {result['with_answer']} questions with an answer"
    )
    if result["ci95"] is None:
        say(f"no accuracy: {counted}")
    else:
        low, high = result["ci95"]
        say(f"accuracy {result['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}): {counted}")
    if result["dropped"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items())
        again = "; run the same command again to ask them again" if config.out_dir else ""
        say(f"failed, counted as not right: {reasons}{again}")
        return EXIT_DATA
    return 0


def _evaluate(config: "Config", path: Path) -> dict[str, Any]:
    source = Path(config.data)
    settings, inputs = pinned(config, "eval", source)
    settings["judge"] = version()
    settings.pop("data")
    how = How(
        version=config.prompt_version,
        template=TEMPLATES[config.prompt_version],
        n=config.num_return_sequences,
        sampling=config.sampling(),
        seed=config.seed,
        image_root=Path(config.image_root) if config.image_root else None,
    )
    rows = thinned(list(read_rows(source, "qa")), 0, config.sample_max_num, config.seed)
    asked = load(source, how, rows)
    with RunDir.open(path, settings, inputs) as rundir:
        correctness.sample(
            make_engine(config),
            rundir,
            asked,
            checkpoint_name(config.checkpoint),
            plan=Plan(most=how.n, size=how.n),
            stall_timeout=config.stall_timeout or None,
        )
        ids = [one.id for one in asked]
        tally = _count(rundir, asked)
        files = {"samples.jsonl": sample_rows(rundir, ids, how.sampling)}
        dropped = rundir.finish(ids, files, result=tally)
    return tally | {"dropped": dropped}


class _Score:
    """Questions with a reference answer, their samples' outcomes, and the sum of their shares of right samples."""

    def __init__(self) -> None:
        self.questions, self.right = 0, 0.0
        self.outcomes: Counter[str] = Counter()

    def add(self, outcomes: Counter[str]) -> None:
        """One more question; one that failed has no outcomes."""
        self.questions += 1
        self.right += outcomes["correct"] / outcomes.total() if outcomes else 0.0
        self.outcomes += outcomes

    def shown(self) -> dict[str, Any]:
        """The figures; null where there is nothing to divide by."""
        return {
            "with_answer": self.questions,
            "judged": self.outcomes.total(),
            **{name: self.outcomes[name] for name in ("correct", "wrong", "undecided")},
            "accuracy": round(self.right / self.questions, 6) if self.questions else None,
            "ci95": [round(end, 6) for end in wilson(self.right, self.questions)] if self.questions else None,
        }


def _count(rundir: RunDir, asked: Sequence[Asked]) -> dict[str, Any]:
    whole = _Score()
    kinds: dict[str, _Score] = {}
    reasons: Counter[str] = Counter()
    results = rundir.rows([one.id for one in asked])  # of all but the failed ones
    for one in asked:
        verdicts: list[dict[str, Any]] = []
        if not rundir.owed(one.id):
            verdicts = [entry["verdict"] for entry in next(results)["samples"]]
        if not one.gold:
            continue
        outcomes = Counter(verdict["outcome"] for verdict in verdicts)
        kind = next((found for verdict in verdicts if (found := verdict.get("answer_type"))), None) or _kind(
            one
        )
        for score in (whole, kinds.setdefault(kind, _Score())):
            score.add(outcomes)
        reasons.update(verdict["reason"] for verdict in verdicts if verdict["outcome"] == "undecided")
    return {
        "questions": len(asked),
        **whole.shown(),
        "undecided_by_reason": dict(sorted(reasons.items())),
        "per_type": {kind: kinds[kind].shown() for kind in sorted(kinds)},
    }


def _kind(one: Asked) -> str:
    return one.answer_type if one.answer_type != "auto" else kind_of(one.gold[0], one.options)
