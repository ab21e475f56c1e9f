"""Does preference training help? Reads finished demos of several seeds and says by how much, with intervals.

    for seed in 0 1 2; do prefdata demo --out demo-$seed --seed $seed; done
    python -m benchmarks.learning demo-0 demo-1 demo-2

Two intervals beside each mean, since two things vary. Over seeds (pictures, sampling and order of the training pairs
differ; the base and the held-out questions are shared): mean +- standard error, and Student's 95 % interval, which is
wide with three seeds. Over held-out questions: a paired bootstrap of the difference, questions drawn with replacement
and each counted with its answers of all seeds, so that one hard question is not three. benchmarks/results/learning.json
holds the figures, and for every demo which model and which pairs they come from.
"""

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, versions_of

STAGES = ("base", "sft", "mpo")
DRAWS = 10_000
_STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Two-sided 95 % quantiles by number of seeds."""


def main() -> None:
    """Read the demos, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("demos", nargs="+", type=Path, help="output folders of `prefdata demo`, a seed each")
    parser.add_argument("--output", type=Path, default=RESULTS / "learning.json")
    arguments = parser.parse_args()
    if len(arguments.demos) not in _STUDENT:
        raise SystemExit(f"{len(arguments.demos)} demos given; 2 to 5 are needed.")
    results = [json.loads((demo / "demo.json").read_text()) for demo in arguments.demos]
    correct = [
        {stage: verdicts(demo / "eval" / stage / "samples.jsonl") for stage in STAGES}
        for demo in arguments.demos
    ]
    document: dict[str, Any] = {
        "versions": versions_of(("torch", "transformers", "deepspeed", "prefdata")),
        "seeds": [result["seed"] for result in results],
        "pairs": [result["pairs"] for result in results],
        "stages": {
            stage: {
                "accuracy": over_seeds([result[stage]["accuracy"] for result in results]),
                "exact_list": over_seeds([result[stage]["exact_list"] for result in results]),
                "hallucination": over_seeds([result["hallucination"][stage] for result in results]),
            }
            for stage in STAGES
        },
        "differences": {
            f"{better} - {worse}": {
                "accuracy": over_seeds([r[better]["accuracy"] - r[worse]["accuracy"] for r in results]),
                "bootstrap95": bootstrap([(one[better], one[worse]) for one in correct]),
            }
            for better, worse in (("mpo", "base"), ("mpo", "sft"), ("sft", "base"))
        },
    }
    print(text(document))
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=2) + "\n")


def verdicts(samples: Path) -> dict[str, bool]:
    """Question id -> whether the answer is right, for held-out questions that have one."""
    found = {}
    for line in samples.read_text(encoding="utf-8").splitlines():
        meta = json.loads(line)["meta"]
        if "verdict" in meta:
            found[meta["question_id"]] = meta["verdict"]["outcome"] == "correct"
    return found


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard error and Student's 95 % interval."""
    mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
    half = _STUDENT[len(values)] * error
    return {"values": list(values), "mean": mean, "error": error, "interval95": [mean - half, mean + half]}


def bootstrap(seeds: Sequence[tuple[dict[str, bool], dict[str, bool]]]) -> list[float]:
    """95 % interval of the difference in accuracy over held-out questions, which all seeds share."""
    questions = sorted(seeds[0][0])
    gains = [
        sum(better[question] - worse[question] for better, worse in seeds) / len(seeds)
        for question in questions
    ]
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(gains, k=len(gains))) for _ in range(DRAWS))
    return [means[DRAWS * 25 // 1000], means[DRAWS * 975 // 1000 - 1]]


def text(document: dict[str, Any]) -> str:
    """Both tables, in Markdown."""
    seeds = len(document["seeds"])
    lines = [
        f"| {seeds} seeds, mean +- standard error | accuracy | exact list | hallucination |",
        "|---|---|---|---|",
    ]
    for stage, measures in document["stages"].items():
        cells = (f"{100 * m['mean']:.1f} +- {100 * m['error']:.1f} %" for m in measures.values())
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    lines += [
        "",
        "| accuracy, points | mean +- standard error | by seed | 95 % (Student) | 95 % (questions) |",
        "|---|---|---|---|---|",
    ]
    for name, found in document["differences"].items():
        gain = found["accuracy"]
        values = ", ".join(f"{100 * value:.1f}" for value in gain["values"])
        spans = (
            f"{100 * low:.1f} to {100 * high:.1f}" for low, high in (gain["interval95"], found["bootstrap95"])
        )
        lines.append(
            f"| {name} | {100 * gain['mean']:.1f} +- {100 * gain['error']:.1f} | {values} | {' | '.join(spans)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
