"""The verdicts to check, as the report shows them."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.program import prefdata

DATA = re.compile(r'<script id="data" type="application/json">(.*?)</script>', re.DOTALL)
PAIR = {"question": "How many?", "chosen": "Three of them.", "rejected": "It is 4."}


def verdict(outcome: str, rule: str, **more: Any) -> dict[str, Any]:
    row = {"id": "x", "question": "How many?", "answer": ["3", "three"], "response": "So 3.", "right": None}
    return row | {"verdict": {"outcome": outcome, "rule": rule, "extracted": "3"}} | more


def run_folder(folder: Path, lines: list[str]) -> Path:
    (folder / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    entry = {"root": ".", "annotation": "pairs.jsonl", "data_augment": False, "repeat_time": 1, "length": 1}
    (folder / "meta.json").write_text(json.dumps({"run": entry}))
    (folder / "audit.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def shown(folder: Path) -> Any:
    done = prefdata("report", folder, "-o", folder / "r.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(DATA.findall((folder / "r.html").read_text())[0])["audit"]


def test_a_run_shows_its_verdicts_rule_by_rule(tmp_path: Path) -> None:
    unsure = {"outcome": "undecided", "rule": "text", "reason": "nomatch"}
    rows = [
        verdict("correct", "number", right=True),
        verdict("correct", "number", right=False),
        verdict("wrong", "choice", response="x" * 2000 + "END"),
        verdict("undecided", "text", verdict=unsure),
    ]
    audit = shown(run_folder(tmp_path, [*map(json.dumps, rows), "torn {"]))
    assert [(group["outcome"], group["rule"], len(group["rows"])) for group in audit["groups"]] == [
        ("correct", "number", 2),
        ("wrong", "choice", 1),
        ("undecided", "text (nomatch)", 1),
    ]
    assert (audit["rows"], audit["checked"], audit["agreed"], audit["unread"]) == (4, 2, 1, 1)
    long = audit["groups"][1]["rows"][0]
    assert long["response"].startswith("… x")
    assert long["response"].endswith("END")
    assert long["reference"] == '["3","three"]'
    assert audit["groups"][2]["rows"][0]["extracted"] is None


def test_a_frequent_rule_hides_no_other_and_says_what_is_not_shown(tmp_path: Path) -> None:
    rows = [verdict("correct", "number")] * 1500 + [verdict("wrong", "choice", right=False)]
    audit = shown(run_folder(tmp_path, [json.dumps(row) for row in rows]))
    assert [(group["rule"], len(group["rows"]), group["of"]) for group in audit["groups"]] == [
        ("number", 200, 1500),
        ("choice", 1, 1),
    ]
    assert (audit["rows"], audit["checked"]) == (1501, 1)


def test_data_without_verdicts_has_no_such_part(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, [])
    (folder / "audit.jsonl").unlink()
    assert shown(folder) is None
