"""Correctness pairs end to end: the public command, the replay engine, interruptions, files sampled elsewhere."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import samples
from pipelines.canonical import judge_and_fix
from tests.support.program import prefdata, read_lines, write_lines
from tests.support.questions import QUESTIONS, TEXTS, arguments, cot_pairs, write_inputs

RESULTS = (
    *("samples.jsonl", "pairs.jsonl", "format_pairs.jsonl", "undecided.jsonl", "hard.jsonl", "easy.jsonl"),
    *("dropped.jsonl", "meta.json", "README.md"),
)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return write_inputs(tmp_path)


def results(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RESULTS}


def test_questions_in_pairs_out(inputs: Path) -> None:
    result = cot_pairs(inputs)
    run = inputs / result["run"]
    samples, pairs = read_lines(run / "samples.jsonl"), read_lines(run / "pairs.jsonl")
    assert len(samples) == len(QUESTIONS) * 12 == result["sampled"]
    outcomes = [row["meta"]["verdict"]["outcome"] for row in samples]
    assert [outcomes.count(name) for name in ("correct", "wrong", "undecided")] == [
        result[name] for name in ("correct", "wrong", "undecided")
    ]
    for key in (
        "question_orig",
        "question",
        "response",
        "prompt_version",
        "answer",
        "finish_reason",
        "seed",
        "meta",
    ):
        assert key in samples[0]
    assert samples[0]["tag"] == 1  # keys of the input are carried
    asked = {row["question"] for row in pairs}
    assert "Too hard?" not in asked
    assert "Too easy?" not in asked
    assert "Who wrote it?" not in asked  # another name may be right too
    assert {"What is 2+3?", "Is the sky green?"} <= asked
    assert [row["question"] for row in read_lines(run / "hard.jsonl")] == ["Too hard?"]
    assert [row["question"] for row in read_lines(run / "easy.jsonl")] == ["Too easy?"]
    assert {row["meta"]["verdict"]["reason"] for row in read_lines(run / "undecided.jsonl")} == {
        "format",
        "nomatch",
    }


def test_every_pair_carries_its_provenance(inputs: Path) -> None:
    run = inputs / cot_pairs(inputs)["run"]
    for name, method in (("pairs", "correctness"), ("format_pairs", "format")):
        rows = read_lines(run / f"{name}.jsonl")
        assert rows
        assert len({row["meta"]["id"] for row in rows}) == len(rows)
        for row in rows:
            assert row["chosen"] != row["rejected"]
            assert row["answer_gt"]
            meta = row["meta"]
            assert meta["method"] == method
            assert meta["engine"] == "replay"
            assert meta["model_hash"]
            assert meta["template_hash"]
            assert meta["sampling"]["temperature"] == 1.0
            assert meta["verdicts"]["chosen"]["outcome"] == "correct"
            expected = {"correctness": "wrong", "format": "undecided"}[method]
            assert meta["verdicts"]["rejected"]["outcome"] == expected


def test_what_comes_out_validates(inputs: Path) -> None:
    run = inputs / cot_pairs(inputs)["run"]
    meta = json.loads((run / "meta.json").read_text())
    ((name, entry),) = meta.items()
    assert entry["annotation"] == "pairs.jsonl"
    assert entry["length"] == len(read_lines(run / "pairs.jsonl"))
    assert name == run.name


def test_the_same_run_gives_the_same_bytes_and_another_seed_others(inputs: Path) -> None:
    first, second = (inputs / cot_pairs(inputs, out=out)["run"] for out in ("a", "b"))
    assert results(first) == results(second)
    other = inputs / cot_pairs(inputs, "--seed", 1, out="c")["run"]
    assert (other / "samples.jsonl").read_bytes() != (first / "samples.jsonl").read_bytes()


def test_killed_three_times_and_run_again_gives_the_same_bytes(inputs: Path) -> None:
    pace = ("--engine-arg", "delay=0.3", "--batch-size", 1)
    whole = inputs / cot_pairs(inputs, *pace, out="whole")["run"]
    slow = [*arguments("killed"), *pace]
    random.seed(3)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "prefdata", *map(str, slow)],
            cwd=inputs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        parts = list(inputs.glob("killed/*/*/parts/*.jsonl"))
        before = sum(part.stat().st_size for part in parts)
        while time.monotonic() < deadline and process.poll() is None:
            grown = sum(part.stat().st_size for part in inputs.glob("killed/*/*/parts/*.jsonl"))
            if grown > before:
                break
            time.sleep(0.02)
        time.sleep(random.random() * 0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = prefdata(*slow, cwd=inputs)
    assert done.returncode == 0, done.stderr
    killed = inputs / json.loads(done.stdout)["run"]
    for name, content in results(whole).items():
        assert (killed / name).read_bytes() == content, name


def test_files_sampled_elsewhere_are_judged_and_paired(tmp_path: Path) -> None:
    cases: list[tuple[bool, Any, list[Any]]] = [
        (True, "3", [3, 4, 5, 3, None]),
        (False, 3, [3, 9]),
        (False, ["x", "y"], ["y"]),
    ]
    rows: list[dict[str, Any]] = [
        {
            **({"image": "a.png"} if image else {}),
            "question_orig": "How many?",
            "question": "<image>\nHow many? ..." if image else "How many? ...",
            "answer": answer,
            "response": f"Some thinking.\nAnswer: \\boxed{{{said}}}"
            if said
            else "I cannot say, there are 3 perhaps",
            "prompt_version": "en_v2",
        }
        for image, answer, saids in cases
        for said in saids
    ]
    random.Random(0).shuffle(rows)  # rows of one question may lie anywhere
    folder = tmp_path / "sampled"
    folder.mkdir()
    write_lines(folder / "one.jsonl", rows[:4])
    write_lines(folder / "two.jsonl", rows[4:])
    done = prefdata("cot-pairs", "--samples", "sampled", "--out-dir", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["sampled"], result["questions"]) == (8, 3)
    assert (result["correct"], result["wrong"], result["undecided"]) == (4, 3, 1)
    pairs = read_lines(tmp_path / result["run"] / "pairs.jsonl")
    assert {row["question"] for row in pairs} == {"<image>\nHow many? ...", "How many? ..."}
    assert len(pairs) == 3  # the doubled right answer counts once
    ours = prefdata("cot-pairs", "--samples", result["run"], "--out-dir", "again", cwd=tmp_path)
    again = json.loads(ours.stdout)
    assert again["pair_count"] == result["pair_count"]


def test_judging_of_sampled_files_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"question": f"{n % 5}?", "answer": "3", "response": f"Way {n}.\nFinal answer: {3 + n % 2}"}
        for n in range(40)
    ]
    write_lines(tmp_path / "s.jsonl", rows)
    run = ("cot-pairs", "--samples", "s.jsonl", "--out-dir")
    whole = tmp_path / json.loads(prefdata(*run, "whole", cwd=tmp_path).stdout)["run"]
    monkeypatch.setattr(samples, "_TOGETHER", 2)
    judged: list[int] = []

    def counted(asks: list[Any], fix: bool, model: Any) -> Any:
        if stop_at is not None and sum(judged) >= stop_at:
            raise KeyboardInterrupt
        judged.append(len(asks))
        return judge_and_fix(asks, fix, model)

    monkeypatch.setattr(samples, "judge_and_fix", counted)
    stop_at: int | None = 16
    assert prefdata(*run, "again", cwd=tmp_path).returncode == 130
    stop_at = None
    again = tmp_path / json.loads(prefdata(*run, "again", cwd=tmp_path).stdout)["run"]
    assert sum(judged) == len(rows)  # none twice
    assert results(again) == results(whole)


def test_one_bad_image_costs_its_own_row(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", [{"image": "gone.png", **QUESTIONS[0]}, *QUESTIONS[1:]])
    done = prefdata(*arguments("out"), cwd=inputs)
    assert done.returncode == 1  # finished with a failure
    result = json.loads(done.stdout)
    assert result["dropped"] == {"image": 1}
    assert result["questions"] == len(QUESTIONS) - 1
    (dropped,) = read_lines(inputs / result["run"] / "dropped.jsonl")
    assert "gone.png" in dropped["reason"]
    (inputs / "pics").mkdir()
    (inputs / "pics/gone.png").write_bytes(b"the replay engine does not look")
    assert cot_pairs(inputs, "--image-root", "pics")["questions"] == len(QUESTIONS)


def test_no_pair_at_all_is_exit_code_1(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", QUESTIONS[3:5])
    done = prefdata(*arguments("out"), cwd=inputs)
    assert (done.returncode, json.loads(done.stdout)["pair_count"]) == (1, 0)


def test_ids_of_the_rows_are_kept_but_not_relied_on(inputs: Path) -> None:
    rows = [{"id": name, **row} for name, row in zip(("a", "a", "a-2"), QUESTIONS, strict=False)]
    write_lines(inputs / "qa.jsonl", rows)
    run = inputs / cot_pairs(inputs)["run"]
    samples, pairs = read_lines(run / "samples.jsonl"), read_lines(run / "pairs.jsonl")
    assert len(samples) == 3 * 12
    assert len({row["meta"]["id"] for row in samples}) == len(samples)
    assert len({row["meta"]["question_id"] for row in samples}) == 3
    assert {(row["question"], row["meta"]["source_id"]) for row in pairs} == {
        (row["question"], row["id"]) for row in rows
    }


def test_pairs_hold_the_whole_prompt(inputs: Path) -> None:
    rows = [{**QUESTIONS[0], "system_prompt": f"Be {manner}."} for manner in ("brief", "kind")]
    write_lines(inputs / "qa.jsonl", rows)
    result = cot_pairs(inputs)
    pairs = read_lines(inputs / result["run"] / "pairs.jsonl")
    assert {row["system_prompt"] for row in pairs} == {"Be brief.", "Be kind."}
    done = prefdata("cot-pairs", "--samples", result["run"], "--out-dir", "again", cwd=inputs)
    again = json.loads(done.stdout)
    assert again["questions"] == 2
    assert read_lines(inputs / again["run"] / "pairs.jsonl")[0]["system_prompt"] == "Be brief."


def test_pairs_of_two_models_name_both(tmp_path: Path) -> None:
    rows = [
        {
            "question": "How many?",
            "answer": "3",
            "response": f"Some thinking.\nFinal answer: {said}",
            "meta": {"engine": "vllm", "model": model, "model_hash": model * 2},
        }
        for model, said in (("small", 4), ("large", 3))
    ]
    write_lines(tmp_path / "sampled.jsonl", rows)
    done = prefdata("cot-pairs", "--samples", "sampled.jsonl", "--out-dir", "out", cwd=tmp_path)
    (pair,) = read_lines(tmp_path / json.loads(done.stdout)["run"] / "pairs.jsonl")
    assert pair["meta"]["engine"] == "vllm"
    assert pair["meta"]["model"] == {"chosen": "large", "rejected": "small"}
    assert pair["meta"]["model_hash"] == {"chosen": "largelarge", "rejected": "smallsmall"}


def test_the_length_gap_is_a_mean_over_questions_with_pairs(tmp_path: Path) -> None:
    # The second question is mixed too, but out of the band.
    rows = [
        {"question": name, "answer": "3", "response": f"{'x' * extra}\nFinal answer: {said}"}
        for name, said, extra in (("a?", 3, 10), ("a?", 4, 0), ("b?", 3, 1), ("b?", 4, 2), ("b?", 5, 3))
    ]
    write_lines(tmp_path / "sampled.jsonl", rows)
    arguments = ("cot-pairs", "--samples", "sampled.jsonl", "--out-dir", "out", "--accuracy-range", "0.5,1")
    result = json.loads(prefdata(*arguments, cwd=tmp_path).stdout)
    assert (result["mixed"], result["paired"], result["pair_count"]) == (2, 1, 1)
    assert result["length_gap"] == result["length_distance"] == {"before": 10.0, "after": 10.0}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--accuracy-range", "0.9"), "--accuracy-range 0.9"),
        (("--answer-type", "colour"), "--answer-type colour"),
        (("--prompt-version", "fr"), "fr"),
        (("--max-lines", "10"), "--max-lines"),
    ],
)
def test_a_mistake_gets_one_sentence(inputs: Path, more: tuple[str, str], said: str) -> None:
    done = prefdata(*arguments("out"), *more, cwd=inputs)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_question_without_an_answer_is_refused(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", [{"question": "What?"}])
    done = prefdata(*arguments("out"), cwd=inputs)
    assert done.returncode == 2
    assert "answer" in done.stderr


def test_another_setting_is_refused_by_name(inputs: Path) -> None:
    cot_pairs(inputs)
    done = prefdata(*arguments("out"), "--num-pairs-per-key", 3, cwd=inputs)
    assert done.returncode == 2
    assert "num_pairs_per_key was 15 and is now 3" in done.stderr


def test_questions_are_put_as_a_file_says(inputs: Path) -> None:
    own = inputs / "mine.txt"
    own.write_text("Look closely.\n{question}\n")
    texts = {f"Look closely.\n{question}": texts for question, texts in TEXTS.items()}
    write_lines(inputs / "replay.jsonl", [{"question": q, "texts": t} for q, t in texts.items()])
    command = [word for word in arguments("out") if word not in ("--prompt-version", "plain")]
    result = json.loads(prefdata(*command, "--prompt-file", "mine.txt", cwd=inputs).stdout)
    (first, *_) = read_lines(inputs / result["run"] / "pairs.jsonl")
    assert first["question"] == "Look closely.\nWhat is 2+3?"
    assert {row["prompt_version"] for row in read_lines(inputs / result["samples"])} == {"own_mine"}
    own.write_text("Look again.\n{question}")
    done = prefdata(*command, "--prompt-file", "mine.txt", cwd=inputs)
    assert done.returncode == 2
    assert "prompt_file was" in done.stderr
    both = prefdata(*arguments("out"), "--prompt-file", "mine.txt", cwd=inputs)
    assert both.returncode == 2
    assert "leave one out" in both.stderr


def test_results_without_a_manifest_are_not_taken_for_other_settings(inputs: Path) -> None:
    run = inputs / cot_pairs(inputs)["run"]
    (run / "run.json").unlink()
    done = prefdata(*arguments("out"), "--seed", 1, cwd=inputs)
    assert done.returncode == 2
    assert "holds results but no run.json" in done.stderr


def test_an_empty_question_costs_its_own_row(inputs: Path) -> None:
    write_lines(inputs / "qa.jsonl", [*QUESTIONS, {"question": " ", "answer": "5"}])
    done = prefdata(*arguments("out"), cwd=inputs)
    assert done.returncode == 1
    (dropped,) = read_lines(inputs / json.loads(done.stdout)["run"] / "dropped.jsonl")
    assert dropped["reason"] == "empty question"


def test_a_licence_that_a_person_wrote_is_kept(inputs: Path) -> None:
    card = inputs / cot_pairs(inputs)["run"] / "README.md"
    card.write_text(card.read_text().replace("license: unknown", "license: mit"))
    cot_pairs(inputs)
    assert "license: mit" in card.read_text()
