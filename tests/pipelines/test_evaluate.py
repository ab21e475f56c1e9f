"""`prefdata eval` and `prefdata judge` as a user sees them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.evaluate import wilson
from tests.support.program import prefdata, program, read_lines, write_lines


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    questions: list[dict[str, Any]] = [
        {"question": "one", "answer": "1", "scene": 7},
        {"question": "two", "answer": "2"},
        {"question": "sky", "answer": "yes"},
        {"question": "say", "scene": 8},
    ]
    texts = {
        "one": "x\nFinal answer: 1",
        "two": "x\nFinal answer: 3",
        "sky": "no marker",
        "say": "Seen: a cat.",
    }
    write_lines(tmp_path / "qa.jsonl", questions)
    write_lines(tmp_path / "replay.jsonl", [{"question": q, "texts": [t]} for q, t in texts.items()])
    return tmp_path


EVAL = (
    "eval",
    "--engine",
    "replay",
    "--checkpoint",
    "replay.jsonl",
    "--data",
    "qa.jsonl",
    "--prompt-version",
    "plain",
)


def test_accuracy_counts_questions_with_an_answer(inputs: Path) -> None:
    done = prefdata(*EVAL, "--out-dir", "ev", cwd=inputs)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["questions"], result["judged"]) == (4, 3)
    assert (result["correct"], result["wrong"], result["undecided"]) == (1, 1, 1)
    assert result["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert result["ci95"] == pytest.approx(wilson(1, 3), abs=1e-6)
    assert result["per_type"]["number"]["accuracy"] == 0.5
    samples = read_lines(inputs / "ev" / "samples.jsonl")
    assert [row["response"] for row in samples][3] == "Seen: a cat."
    assert samples[0]["scene"] == 7
    assert samples[0]["finish_reason"] == "stop"
    assert samples[0]["meta"]["verdict"]["outcome"] == "correct"
    assert samples[0]["meta"]["model_hash"]
    assert "verdict" not in samples[3]["meta"]


def test_a_question_that_failed_is_not_right(inputs: Path) -> None:
    replay = read_lines(inputs / "replay.jsonl")
    write_lines(inputs / "replay.jsonl", [replay[0], {"question": "two", "error": "too long"}, *replay[2:]])
    done = prefdata(*EVAL, cwd=inputs)
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["dropped"] == {"engine": 1}
    assert (result["with_answer"], result["judged"], result["correct"]) == (3, 2, 1)
    assert result["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert result["per_type"]["number"]["accuracy"] == 0.5


def test_samples_of_one_question_are_not_independent_questions(inputs: Path) -> None:
    drawn = ("--num-return-sequences", 8, "--temperature", 1)
    one, many = (json.loads(prefdata(*EVAL, *more, cwd=inputs).stdout) for more in ((), drawn))
    assert many["judged"] == 8 * one["judged"]
    assert (many["accuracy"], many["ci95"]) == (one["accuracy"], one["ci95"])


def test_without_answers_there_is_no_accuracy(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", [{"question": "say"}])
    done = prefdata(*EVAL, cwd=inputs)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["with_answer"], result["accuracy"], result["ci95"]) == (0, None, None)


def test_it_resumes_and_needs_no_folder(inputs: Path) -> None:
    first, second = (prefdata(*EVAL, "--out-dir", "ev", cwd=inputs) for _ in range(2))
    assert first.stdout == second.stdout
    bare = prefdata(*EVAL, cwd=inputs)
    assert json.loads(bare.stdout)["accuracy"] == json.loads(first.stdout)["accuracy"]


def test_wilson_interval_is_the_published_one() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 5)[0] == 0.0


def test_judge_prints_a_verdict_per_row(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prediction": "12", "answer": "12", "label": True},
        {"prediction": "The answer is 13.", "answer": ["12", "twelve"], "label": False},
        {"prediction": "no idea", "answer": "12", "answer_type": "number", "label": False},
        {"prediction": "(B)", "answer": "dog", "choices": ["cat", "dog"], "label": True},
    ]
    write_lines(tmp_path / "p.jsonl", rows)
    done = program("judge", "p.jsonl", "--label-key", "label", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [v["verdict"] for v in verdicts] == ["correct", "wrong", "undecided", "correct"]
    assert verdicts[0]["id"] == "a"
    assert {"rule", "extracted", "normalised", "reason"} <= set(verdicts[0])
    assert "false wrong 0/2" in done.stderr
    strict = prefdata("judge", "p.jsonl", "--anchored", cwd=tmp_path)
    assert json.loads(strict.stdout.splitlines()[0])["verdict"] == "undecided"


def test_judge_names_the_row_without_a_prediction(tmp_path: Path) -> None:
    write_lines(tmp_path / "p.jsonl", [{"answer": "1"}])
    done = prefdata("judge", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "p.jsonl:1" in done.stderr


def test_the_dev_cases_keep_what_was_reached(shared_data: Path, tmp_path: Path) -> None:
    cases = shared_data / "judge_cases_dev.jsonl"
    done = prefdata("judge", cases, "--label-key", "label", cwd=tmp_path)
    labels = read_lines(cases)
    outcomes = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    right = [o for o, row in zip(outcomes, labels, strict=True) if row["label"]]
    decided = [
        (o == "correct") == row["label"] for o, row in zip(outcomes, labels, strict=True) if o != "undecided"
    ]
    numbers = [o for o, row in zip(outcomes, labels, strict=True) if row["answer_type"] == "number"]
    assert right.count("wrong") / len(right) < 0.01
    assert sum(decided) / len(decided) > 0.97
    assert 1 - numbers.count("undecided") / len(numbers) > 0.95
