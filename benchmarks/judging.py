"""How right, how often undecided and how fast the judge is, on real answers with labels.

    python -m benchmarks.judging [../shared/data/judge_cases_dev.jsonl]

For each source: agreement of the decided verdicts with the label, false wrong (right answers called wrong), false
correct (wrong answers called correct) and the undecided share of the right and of the wrong answers. Labels given by
people stand apart from labels given by another program, which hold errors. Where math-verify is installed, one more
table: our rules alone, with it, it alone, and the original's rules (`original_rules.py`).

Then the speed, in two parts. The rules alone, in this one process, in seconds of its CPU (the best of five): every row
judged for the first time with nothing remembered; every answer new but its question and reference met before, as in a
run where a question has 32 samples; and every answer seen before. With math-verify, whose worker processes run beside
this one: wall time, and the CPU of this process and of the workers apart, their start included.
"""

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import original_rules
from pipelines.judging import Ask, judge, judge_all, outside, symbolic
from pipelines.judging.agreement import Agreement
from pipelines.judging.outside import Algebra
from pipelines.judging.verdict import Outcome
from pipelines.judging.workers import Task, Workers, shared
from pipelines.samples import forms_of

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "judge_cases_dev.jsonl"
_PLAIN = "benchmarks.plain_math_verify"
_TIMES = 5


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
    asks = [
        Ask(
            row["prediction"],
            forms(row),
            row["answer_type"],
            row.get("question") or "",
            tuple(row.get("choices") or ()),
        )
        for row in rows
    ]
    rules_alone(asks)
    if symbolic.installed():
        with_workers(asks)


def rules_alone(asks: Sequence[Ask]) -> None:
    """Print verdicts per second of this process's CPU, without math-verify."""
    references = [msgspec.structs.replace(ask, response="Final answer: ?") for ask in asks]
    print("\nThe rules alone, in one process:")
    for what, met in (
        ("all for the first time", None),
        ("new answers, questions and references met before", references),
        ("answers seen before", asks),
    ):
        spent = []
        for _ in range(_TIMES):
            forget()
            if met is not None:
                judge_all(met, anchored=False, algebra="off")
            started = time.process_time()
            judge_all(asks, anchored=False, algebra="off")
            spent.append(time.process_time() - started)
        print(f"  {what}: {len(asks) / min(spent):,.0f} verdicts per second of one core")


def with_workers(asks: Sequence[Ask]) -> None:
    """Print the rate for the first time with math-verify, and whose time it takes."""
    easy = [Ask(f"Final answer: (0, {n})", (f"0 < x < {n}",), "math") for n in range(1, 9)]
    _, _, start = _judged(easy)
    wall, own, workers = _judged(asks)
    print(
        f"With math-verify, all for the first time: {len(asks) / wall:,.0f} verdicts per second of wall time "
        f"({wall:.1f} s; CPU: this process {own:.1f} s, workers {workers:.1f} s, about {start:.1f} s of it their start)"
    )


def _judged(asks: Sequence[Ask]) -> tuple[float, float, float]:
    """Wall time, CPU of this process and CPU of its workers, which are started and ended for it."""
    forget()
    shared("symbolic").close()
    wall, own, children = time.perf_counter(), time.process_time(), _cpu_of_children()
    judge_all(asks, anchored=False, algebra="on")
    wall, own = time.perf_counter() - wall, time.process_time() - own
    shared("symbolic").close()
    return wall, own, _cpu_of_children() - children


def _cpu_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def forget() -> None:
    """Forget everything that judging remembers."""
    outside.forget()
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("pipelines.judging") else ():
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
