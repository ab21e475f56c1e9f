"""`cot-pairs --samples`: a model judges what the rules leave open, and flags that would do nothing are refused."""

import json
from pathlib import Path

import pytest

from tests.support.program import prefdata, read_lines, write_lines
from tests.support.questions import QUESTIONS, arguments, cot_pairs, write_inputs


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write_inputs(tmp_path)


def test_a_model_judges_what_the_rules_leave_open(inputs: Path) -> None:
    sampled = cot_pairs(inputs)
    write_lines(inputs / "votes.jsonl", [{"texts": ["They are two people.\nVerdict: wrong"]}])
    judging = ("--judge-engine", "replay", "--judge-model", "votes.jsonl")
    refused = prefdata(*arguments("other"), *judging, cwd=inputs)
    assert refused.returncode == 2
    assert "name the run with --samples" in refused.stderr
    done = prefdata("cot-pairs", "--samples", sampled["run"], "--out-dir", "again", *judging, cwd=inputs)
    assert done.returncode == 0, done.stderr
    again = inputs / json.loads(done.stdout)["run"]
    before, after = (read_lines(run / "pairs.jsonl") for run in (inputs / sampled["run"], again))
    assert len(after) > len(before)
    assert {row["rejected_meta"]["rule"] for row in after if "wrote" in row["question"]} == {"llm"}
    assert json.loads((again / "run.json").read_text())["config"]["judge_model"] == "votes.jsonl"
    assert all(row["meta"]["judge"].endswith("+votes.jsonl") for row in after)
    assert "by a model" in (again / "README.md").read_text()


def test_a_judging_model_that_fails_leaves_its_questions_owed(inputs: Path) -> None:
    sampled = cot_pairs(inputs)
    judging = ("--judge-engine", "replay", "--judge-model", "votes.jsonl")
    write_lines(inputs / "votes.jsonl", [{"error": "out of memory"}])
    run = ("cot-pairs", "--samples", sampled["run"], "--out-dir", "again", *judging)
    failed = prefdata(*run, cwd=inputs)
    assert failed.returncode == 1
    assert "gives no answer (out of memory)" in failed.stderr
    write_lines(inputs / "votes.jsonl", [{"texts": ["Verdict: wrong"]}])
    done = prefdata(*run, cwd=inputs)
    assert done.returncode == 0, done.stderr
    assert any(
        row["rejected_meta"]["rule"] == "llm" for row in read_lines(inputs / json.loads(done.stdout)["pairs"])
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ("--samples", "s.jsonl", "--num-return-sequences", 4),
            "--num-return-sequences: with --samples nothing",
        ),
        (("--samples", "nowhere"), "nowhere"),
        (("--samples", "s.jsonl", "--shard", "0/2"), "--shard: with --samples nothing is sampled"),
        (("--samples", "s.jsonl", "--judge-votes", 5), "--judge-votes: there is no --judge-model"),
        (
            ("--checkpoint", "demo", "--prompt-path", "qa.jsonl", "--judge-votes", 5),
            "--judge-votes: it is for what",
        ),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(inputs: Path, more: tuple[object, ...], said: str) -> None:
    done = prefdata("cot-pairs", *more, cwd=inputs)
    assert done.returncode == 2
    assert said in done.stderr


def test_answers_for_a_model_to_judge_are_not_sampled_in_vain(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", [{**QUESTIONS[0], "answer_type": "llm"}])
    rounds = [word for word in arguments("out") if word != "--fixed-n"]
    done = prefdata(*rounds, cwd=inputs)
    assert done.returncode == 2
    assert "--judge-model" in done.stderr
    sampled = json.loads(prefdata(*arguments("out"), cwd=inputs).stdout)
    done = prefdata("cot-pairs", "--samples", sampled["run"], "--out-dir", "again", cwd=inputs)
    assert done.returncode == 2
    assert "name one with --judge-model" in done.stderr
