"""Accuracy of a model on questions with answers: the same engines, prompts and judge as pair making.

Greedy by default, so that a number means the model and not the dice. An undecided answer is not a right one: accuracy
is correct / all questions with an answer, and the undecided are shown beside it. Questions without an answer are
asked and kept in samples.jsonl, but count in nothing.
"""

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines import correctness
from pipelines.engines import make_engine
from pipelines.judging import VERSION, kind_of
from pipelines.output import checkpoint_name, pinned
from pipelines.questions import Asked, How, load, thinned
from pipelines.rundir import RunDir
from prefdata.errors import EXIT_DATA
from prefdata.progress import say
from prefdata.readers import read_rows

if TYPE_CHECKING:
    from pipelines.cli.evaluate import Config

_Z95: Final = 1.959963984540054


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The Wilson 95 % interval of a share (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def run(config: "Config") -> int:
    """Evaluate, print the result as JSON on standard output; the exit code is 1 when questions were dropped."""
    if config.out_dir:
        result = _evaluate(config, Path(config.out_dir))
        result |= {"run": config.out_dir, "samples": str(Path(config.out_dir) / "samples.jsonl")}
    else:
        with tempfile.TemporaryDirectory(prefix="prefdata-eval-") as folder:
            result = _evaluate(config, Path(folder))
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    low, high = result["ci95"]
    say(
        f"accuracy {result['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}): {result['correct']} correct, "
        f"{result['wrong']} wrong, {result['undecided']} undecided of {result['judged']}"
    )
    if result["dropped"]:
        say("dropped: " + ", ".join(f"{count} {reason}" for reason, count in result["dropped"].items()))
        return EXIT_DATA
    return 0


def _evaluate(config: "Config", path: Path) -> dict[str, Any]:
    source = Path(config.data)
    settings, inputs = pinned(config, "eval", source)
    settings["judge"] = VERSION
    settings.pop("data")
    how = How(
        version=config.prompt_version,
        n=config.num_return_sequences,
        sampling=config.sampling(),
        seed=config.seed,
        image_root=Path(config.image_root) if config.image_root else None,
    )
    rows = thinned(list(read_rows(source, "qa")), 0, config.sample_max_num, config.seed)
    asked = load(source, how, rows)
    with RunDir.open(path, settings, inputs) as rundir:
        correctness.sample(
            make_engine(config), rundir, asked, checkpoint_name(config.checkpoint), in_flight=config.in_flight
        )
        ids = [one.id for one in asked]
        tally = _count(rundir, asked)
        dropped = rundir.finish(ids, {"samples.jsonl": _samples(rundir, ids)}, result=tally)
    return tally | {"dropped": dropped}


def _samples(rundir: RunDir, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for result in rundir.rows(ids):
        for index, entry in enumerate(result.get("samples", ())):
            shown = {key: entry[key] for key in ("response", "finish_reason", "seed")}
            row = (
                {"id": f"{result['id']}-{index}"}
                | {k: v for k, v in result["row"].items() if k != "id"}
                | shown
            )
            yield row | ({"verdict": entry["verdict"]} if result["row"].get("answer") is not None else {})


def _count(rundir: RunDir, asked: Sequence[Asked]) -> dict[str, Any]:
    gold = {one.id: one for one in asked if one.gold}
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    for result in rundir.rows([one.id for one in asked]):
        one = gold.get(result["id"])
        if one is None:
            continue
        for entry in result.get("samples", ()):
            verdict = entry["verdict"]
            kind = verdict.get("answer_type") or _kind(one)
            outcomes[verdict["outcome"]] += 1
            kinds.setdefault(kind, Counter())[verdict["outcome"]] += 1
            if verdict["outcome"] == "undecided":
                reasons[verdict["reason"]] += 1
    return {
        "questions": len(asked),
        **_shares(outcomes),
        "undecided_by_reason": dict(sorted(reasons.items())),
        "per_type": {kind: _shares(kinds[kind]) for kind in sorted(kinds)},
    }


def _kind(one: Asked) -> str:
    return one.answer_type if one.answer_type != "auto" else kind_of(one.gold[0], one.options)


def _shares(outcomes: Counter[str]) -> dict[str, Any]:
    judged = outcomes.total()
    low, high = wilson(outcomes["correct"], judged)
    return {
        "judged": judged,
        **{name: outcomes[name] for name in ("correct", "wrong", "undecided")},
        "accuracy": round(outcomes["correct"] / judged, 6) if judged else 0.0,
        "ci95": [round(low, 6), round(high, 6)],
    }
