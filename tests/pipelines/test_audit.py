"""The sample of verdicts for a person: every rule is in it, and the same run gives the same one."""

import json
import random
from pathlib import Path

from pipelines.audit import Audit
from tests.support.program import program

VERDICTS = [
    *[({"outcome": "correct", "rule": "number"}, 900), ({"outcome": "wrong", "rule": "text-class"}, 3)],
    *[({"outcome": "undecided", "rule": "text", "reason": "nomatch"}, 500)],
]


def test_a_rare_rule_is_shown_whole_and_order_does_not_matter() -> None:
    entries = [(f"{verdict['rule']}-{n}", verdict) for verdict, count in VERDICTS for n in range(count)]
    drawn = []
    for seed in (1, 2):
        random.Random(seed).shuffle(entries)
        audit = Audit()
        for identity, verdict in entries:
            audit.add(identity, "q", "a", "response", verdict)
        drawn.append(audit.rows())
    assert drawn[0] == drawn[1]
    rules = [row["verdict"]["rule"] for row in drawn[0]]
    assert (len(rules), rules.count("text-class")) == (200, 3)
    assert abs(rules.count("number") - rules.count("text")) <= 1


def test_judge_writes_it(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"id": "x", "prediction": "12", "answer": "12", "question": "How many?"}\n'
    )
    done = program("judge", "p.jsonl", "--audit", "a.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "a.jsonl").read_text())
    assert (row["id"], row["question"], row["right"]) == ("x", "How many?", None)
    assert row["verdict"]["rule"] == "exact"
