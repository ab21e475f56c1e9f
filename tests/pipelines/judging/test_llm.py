"""A model as judge, played from a file: majority of the votes, and undecided where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import program

QUESTION = "Who wrote Emma?"


def judge(folder: Path, texts: list[str], *arguments: str, row: dict[str, Any] | None = None) -> Any:
    (folder / "m.jsonl").write_text(json.dumps({"texts": texts}) + "\n")
    asked = {"question": QUESTION, "prediction": "Mary Shelley", "answer": "Jane Austen"} | (row or {})
    (folder / "p.jsonl").write_text(json.dumps(asked) + "\n")
    return program(
        *("judge", "p.jsonl", "--judge-model", "m.jsonl", "--judge-engine", "replay", *arguments), cwd=folder
    )


@pytest.mark.parametrize(
    ("texts", "votes", "outcome"),
    [
        (["Another author.\nVerdict: wrong"], 3, "wrong"),
        (["The same. **Verdict:** correct"], 1, "correct"),
        (["Verdict: correct? No. Verdict: incorrect"], 1, "wrong"),  # the last one counts
        (["I would rather not say"], 3, "undecided"),
        (["Verdict: unsure"], 3, "undecided"),
        (["Verdict: correct", "Verdict: wrong"], 2, None),
    ],
)
def test_the_majority_decides(texts: list[str], votes: int, outcome: str | None, tmp_path: Path) -> None:
    done = judge(tmp_path, texts, "--judge-votes", str(votes))
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    if outcome is None:  # two votes: undecided unless both say the same
        outcome = (
            "undecided" if verdict["normalised"].startswith("1 correct, 1 wrong") else verdict["verdict"]
        )
    assert verdict["verdict"] == outcome
    if outcome != "undecided":
        assert verdict["rule"] == "llm"


def test_rules_come_first(tmp_path: Path) -> None:
    done = judge(tmp_path, ["Verdict: wrong"], row={"prediction": "jane austen."})
    assert json.loads(done.stdout)["rule"] == "exact"


def test_the_model_sees_question_reference_and_answer(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("{question}|{reference}|{answer}")
    (tmp_path / "answers.jsonl").write_text(
        json.dumps({"question": f"{QUESTION}|Jane Austen|{{reference}}", "texts": ["Verdict: wrong"]}) + "\n"
    )
    arguments = ("--judge-prompt", "prompt.txt", "--judge-model", "answers.jsonl")
    done = judge(tmp_path, ["Verdict: correct"], *arguments, row={"prediction": "{reference}"})
    assert json.loads(done.stdout)["verdict"] == "wrong", done.stderr


def test_the_type_llm_needs_a_model(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prediction": "a", "answer": "b", "answer_type": "llm"}\n')
    done = program("judge", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "name one with --judge-model" in done.stderr


def test_explain_shows_each_step(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prediction": "So.\\nFinal answer: 120 mm", "answer": "12 cm"}\n')
    shown = program("judge", "p.jsonl", "--explain", cwd=tmp_path).stdout
    for part in (
        "line 1: correct (rule number-unit)",
        "'120 mm' at 18-24",
        "after a marker",
        "number 120 mm",
    ):
        assert part in shown
    assert "exact       says nothing" in shown
    assert "number      correct by number-unit" in shown
