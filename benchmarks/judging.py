"""How right, how often undecided and how fast the judge is, on real answers with labels.

    python -m benchmarks.judging [../shared/data/judge_cases_dev.jsonl]

For each source: agreement of the decided verdicts with the label, false wrong (right answers called wrong), false
correct (wrong answers called correct) and the undecided share of the right and of the wrong answers. Labels given by
people stand apart from labels given by another program, which hold errors. Then verdicts per second on one core:
every row judged for the first time, and again with the verdicts of equal answers remembered. Where math-verify is
installed, one more table: our rules alone, with it, it alone, and the original's rules (`original_rules.py`).
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import original_rules
from pipelines import judging
from pipelines.judging import choice, judge, kind, maths, normalise, quantity, symbolic
from pipelines.judging.agreement import Agreement
from pipelines.judging.outside import Algebra
from pipelines.judging.verdict import Outcome
from pipelines.judging.workers import Task, Workers
from pipelines.samples import forms_of

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "judge_cases_dev.jsonl"
_PLAIN = "benchmarks.plain_math_verify"
_REMEMBERED = (
    *(judging._decide, choice.options_in, kind._kind, maths.canonical),
    *(normalise.plain, normalise.words, normalise.operators, quantity.quantity),
)


def outcome_of(row: dict[str, Any], algebra: Algebra = "auto") -> Outcome:
    """The verdict on one labelled row, the whole prediction being allowed to be the answer."""
    return judge(
        row["prediction"],
        forms(row),
        row["answer_type"],
        row.get("question") or "",
        tuple(row.get("choices") or ()),
        anchored=False,
        algebra=algebra,
    ).outcome


def alone(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Agreement]]:
    """Type -> judge -> agreement, for the judges that know no undecided, and for ours without math-verify."""
    verified = _verified(rows)
    table: dict[str, dict[str, Agreement]] = defaultdict(lambda: defaultdict(Agreement))
    for number, row in enumerate(rows):
        label = bool(row["label"])
        answer = original_rules.parsed(row["prediction"])
        said = {
            "ours": outcome_of(row),
            "ours, rules alone": outcome_of(row, "off"),
            "math-verify alone": _as_outcome(verified[number]),
            "the original's": _as_outcome(
                original_rules.is_correct(answer, forms(row), lambda *_, known=verified[number]: known)
            ),
        }
        for group in (f"type {row['answer_type']}", "all"):
            for name, outcome in said.items():
                table[group][name].add(outcome, label)
    return table


def _as_outcome(right: bool) -> Outcome:
    return "correct" if right else "wrong"


def _verified(rows: Sequence[dict[str, Any]]) -> list[bool]:
    """math-verify's own opinion of each row, with its own extraction; bounded by a killable process each."""
    tasks = [Task(_PLAIN, row["prediction"], "\0".join(forms(row))) for row in rows]
    team = Workers(_PLAIN)
    try:
        return [found.what == "equal" for found in team.run(tasks)]
    finally:
        team.close()


def forms(row: dict[str, Any]) -> tuple[str, ...]:
    """Every valid form of a row's reference, once."""
    answers = row.get("answers")
    return tuple(
        dict.fromkeys((*forms_of(row["answer"]), *(forms_of(answers) if isinstance(answers, list) else ())))
    )


def line(name: str, found: Agreement) -> str:
    """One row of the table."""
    right, wrong = found.right, found.answers - found.right
    return (
        f"{name:34} {found.answers:6} {found.decided / found.answers:8.1%} "
        f"{found.agreed / max(found.decided, 1):8.1%} "
        f"{found.false_wrong:5}/{right:<5} {found.false_correct:5}/{wrong:<5} "
        f"{found.undecided(True) / max(right, 1):8.1%} {found.undecided(False) / max(wrong, 1):8.1%}"
    )


def main(path: Path) -> None:
    """Print the table and the rates."""
    if not path.is_file():
        print(f"{path}: not here, nothing to measure")
        return
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    tables: dict[str, dict[str, Agreement]] = {
        name: defaultdict(Agreement) for name in ("source", "type", "all")
    }
    for row in rows:
        outcome, label = outcome_of(row), bool(row["label"])
        tables["source"][f"{row['source']} ({row['label_kind']})"].add(outcome, label)
        tables["type"][f"type {row['answer_type']}"].add(outcome, label)
        people = "by people" if row["label_kind"] != "rule" else "by a program"
        tables["all"][f"all, labelled {people}"].add(outcome, label)
        tables["all"]["all"].add(outcome, label)
    head = f"{'':34} {'rows':>6} {'decided':>8} {'agree':>8} {'false wrong':>11} {'false corr.':>11}"
    print(head + f" {'undecided of right, wrong':>17}")
    for table in tables.values():
        for name in sorted(table):
            print(line(name, table[name]))
    if symbolic.installed():
        for group, judges in sorted(alone(rows).items()):
            for name, found in judges.items():
                print(line(f"{group}: {name}", found))
    for remembered in _REMEMBERED:
        remembered.cache_clear()
    for what in ("first time", "answers seen before"):
        started = time.process_time()
        for row in rows:
            outcome_of(row)
        print(f"{what}: {len(rows) / (time.process_time() - started):,.0f} verdicts per second of one core")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
