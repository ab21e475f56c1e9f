"""The sample of verdicts for a person: every rule is in it, and the same run gives the same one."""

import json
import random
from pathlib import Path

import pytest

from pipelines.audit import Audit
from tests.support.program import prefdata, program, read_lines, replayed, write_lines

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


def test_what_a_person_filled_in_stays_in_the_sample(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    number, choice = ({"outcome": "correct", "rule": rule} for rule in ("number", "choice"))

    def rows(more: int, texts: str = "response") -> list[dict[str, object]]:
        audit = Audit([file])
        for n in range(200 + more):
            audit.add(f"n{n}", "q", "a", texts, number)
            audit.add(f"c{n}", "q", "a", "response", choice)
        return audit.rows()

    first = rows(0)
    for n, row in enumerate(first):
        row["right"] = (True, False, None)[n % 3]
    write_lines(file, first)
    assert rows(0) == first
    more = rows(5000)
    assert len(more) == 200
    assert [row for row in first if row["right"] is not None] == [r for r in more if r["right"] is not None]
    other = rows(0, "another response")  # nobody has judged these
    assert {row["verdict"]["rule"] for row in other if row["right"] is not None} == {"choice"}  # type: ignore[index]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    write_lines(tmp_path / "rows.jsonl", [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(12)])
    texts = [f"So.\nAnswer: \\boxed{{{n}}}" for n in (3, 5, 8)]
    write_lines(tmp_path / "answers.jsonl", [{"texts": texts}])
    return tmp_path


def filled_in(run: Path) -> list[bytes]:
    """Fill in every second row of a run's audit; returns these rows."""
    lines = (run / "audit.jsonl").read_bytes().splitlines()
    lines[::2] = [line.replace(b'"right":null', b'"right":false') for line in lines[::2]]
    (run / "audit.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return lines[::2]


def test_another_start_and_a_merge_keep_what_was_filled_in(questions: Path) -> None:
    run = replayed("cot-pairs", questions, "out")
    filled_in(run)
    before = (run / "audit.jsonl").read_bytes()
    assert before.count(b'"right":false') >= 10
    replayed("cot-pairs", questions, "out")
    assert (run / "audit.jsonl").read_bytes() == before
    shards = [
        replayed("cot-pairs", questions, "shards", "--engine-arg", "batch_size=4", "--shard", f"{n}/2")
        for n in range(2)
    ]
    marked = [row for shard in shards for row in filled_in(shard)]
    assert prefdata("merge-runs", *shards, "--out-dir", "merged", cwd=questions).returncode == 0
    merged = (questions / "merged/audit.jsonl").read_bytes().splitlines()
    assert sorted(row for row in merged if b'"right":false' in row) == sorted(marked)


def test_a_broken_audit_is_not_written_over(questions: Path) -> None:
    run = replayed("cot-pairs", questions, "out")
    broken = b'{"id": "x", "right": true,}\n' + (run / "audit.jsonl").read_bytes()
    (run / "audit.jsonl").write_bytes(broken)
    again = prefdata(
        *("cot-pairs", "--engine", "replay", "--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl"),
        *("--out-dir", "out"),
        cwd=questions,
    )
    assert again.returncode == 2
    assert "audit.jsonl: line 1 is no row of an audit" in again.stderr
    assert (run / "audit.jsonl").read_bytes() == broken


def test_judge_keeps_what_was_filled_in(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", [{"prediction": "12", "answer": "12"}])
    command = ("judge", "p.jsonl", "--audit", "a.jsonl")
    assert prefdata(*command, cwd=tmp_path).returncode == 0
    (row,) = read_lines(tmp_path / "a.jsonl")
    write_lines(tmp_path / "a.jsonl", [row | {"right": True}])
    assert prefdata(*command, cwd=tmp_path).returncode == 0
    assert read_lines(tmp_path / "a.jsonl") == [row | {"right": True}]
