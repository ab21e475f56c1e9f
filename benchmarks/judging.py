"""How right, how often undecided and how fast the judge is, on real answers with labels.

    python -m benchmarks.judging [../shared/data/judge_cases_dev.jsonl]

For each source: agreement of the decided verdicts with the label, false wrong (right answers called wrong), false
correct (wrong answers called correct) and the undecided share of the right and of the wrong answers. Labels given by
people stand apart from labels given by another program, which hold errors. Then verdicts per second on one core:
every row judged for the first time, and again with the verdicts of equal answers remembered.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from pipelines import judging
from pipelines.judging import choice, judge, kind, maths, normalise, quantity
from pipelines.samples import forms_of

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "judge_cases_dev.jsonl"
_REMEMBERED = (
    *(judging._decide, choice.options_in, kind._kind, maths.canonical),
    *(normalise.plain, normalise.words, normalise.operators, quantity.quantity),
)


def outcome_of(row: dict[str, Any]) -> str:
    """The verdict on one labelled row, the whole prediction being allowed to be the answer."""
    answers = row.get("answers")
    gold = tuple(
        dict.fromkeys((*forms_of(row["answer"]), *(forms_of(answers) if isinstance(answers, list) else ())))
    )
    options = tuple(row.get("choices") or ())
    return judge(
        row["prediction"], gold, row["answer_type"], row.get("question") or "", options, anchored=False
    ).outcome


def line(name: str, counts: Counter[tuple[str, bool]]) -> str:
    """One row of the table."""
    right = sum(count for (_, label), count in counts.items() if label)
    wrong = counts.total() - right
    agreed = counts["correct", True] + counts["wrong", False]
    decided = agreed + counts["correct", False] + counts["wrong", True]
    return (
        f"{name:34} {counts.total():6} {decided / counts.total():8.1%} {agreed / max(decided, 1):8.1%} "
        f"{counts['wrong', True]:5}/{right:<5} {counts['correct', False]:5}/{wrong:<5} "
        f"{counts['undecided', True] / max(right, 1):8.1%} {counts['undecided', False] / max(wrong, 1):8.1%}"
    )


def main(path: Path) -> None:
    """Print the table and the rates."""
    if not path.is_file():
        print(f"{path}: not here, nothing to measure")
        return
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    tables: dict[str, dict[str, Counter[tuple[str, bool]]]] = {
        name: defaultdict(Counter) for name in ("source", "type", "all")
    }
    for row in rows:
        key = outcome_of(row), bool(row["label"])
        tables["source"][f"{row['source']} ({row['label_kind']})"][key] += 1
        tables["type"][f"type {row['answer_type']}"][key] += 1
        people = "by people" if row["label_kind"] != "rule" else "by a program"
        tables["all"][f"all, labelled {people}"][key] += 1
        tables["all"]["all"][key] += 1
    head = f"{'':34} {'rows':>6} {'decided':>8} {'agree':>8} {'false wrong':>11} {'false corr.':>11}"
    print(head + f" {'undecided of right, wrong':>17}")
    for table in tables.values():
        for name in sorted(table):
            print(line(name, table[name]))
    for remembered in _REMEMBERED:
        remembered.cache_clear()
    for what in ("first time", "answers seen before"):
        started = time.process_time()
        for row in rows:
            outcome_of(row)
        print(f"{what}: {len(rows) / (time.process_time() - started):,.0f} verdicts per second of one core")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
