"""`--answer-fix` edits right answers only, and only where the edit is judged right again."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.canonical import judge_and_fix
from pipelines.judging import Ask
from pipelines.prompts import TEMPLATES
from pipelines.rationale import reference_of
from tests.support.program import prefdata, read_lines, write_lines


def fixed(
    response: str, *gold: str, answer_type: str = "auto", question: str = "", cut: bool = False
) -> str | None:
    ask = Ask(response, gold, answer_type, question, (), "length" if cut else "stop")
    ((_, fix),) = judge_and_fix([ask], fix=True)
    if fix is None:
        return None
    assert fix.verdict.outcome == "correct"
    start, end = fix.at
    return response[:start] + fix.to + response[end:]


CHOICE = "Which?\n(A) cat\n(B) dog"


@pytest.mark.parametrize(
    ("response", "gold", "question", "becomes"),
    [
        ("So.\nFinal answer: 30,594", "30594", "", "So.\nFinal answer: 30594"),
        ("It is 30,594.\nAnswer: \\boxed{30,594}", "30594", "", "It is 30,594.\nAnswer: \\boxed{30594}"),
        ("It barks.\nFinal answer: B. dog", "B", CHOICE, "It barks.\nFinal answer: B"),
        ("It barks.\nFinal answer: (b)", "b", CHOICE, "It barks.\nFinal answer: B"),
        ("So.\nFinal answer: 5", "5", "", None),  # nothing to change
        ("So.\nFinal answer: 15", "5", "", None),  # the reference is a part of it, but it is wrong
        ("So.\nFinal answer: cat", "a", "", None),
        ("The answer might be 5, who knows", "5", "", None),
        ("So.\nFinal answer: **1,200**.", "1200", "", "So.\nFinal answer: **1200**."),
        ("So.\nFinal answer: **1,200**", "1200", "", "So.\nFinal answer: **1200**"),
        ("So.\n**Final answer: 1,200**", "1200", "", "So.\n**Final answer: 1200**"),
        ("So.\n**Final answer:** 1,200.", "1200", "", "So.\n**Final answer:** 1200."),
        ("好。\n答案：**1,200**。", "1200", "", "好。\n答案：**1200**。"),
        ("So.\nFinal answer: _1,200_.", "1200", "", None),  # its end is not seen
        ("So.\nFinal answer: `1,200`.", "1200", "", "So.\nFinal answer: `1200`."),
        ("So.\nFinal answer: $30,594$.", "30594", "", "So.\nFinal answer: $30594$."),
        ("So.\n<answer>\\boxed{1,200}</answer>", "1200", "", "So.\n<answer>\\boxed{1200}</answer>"),
        ("It barks.\nFinal answer: **(b)**.", "B", CHOICE, "It barks.\nFinal answer: **B**."),
        ("It barks.\nFinal answer: **(b)** dog.", "B", CHOICE, None),  # bold would not end
    ],
)
def test_a_right_answer_is_spelt_as_the_reference(
    response: str, gold: str, question: str, becomes: str | None
) -> None:
    assert fixed(response, gold, question=question) == becomes


def test_the_form_that_matched_is_the_one_put_in() -> None:
    assert fixed("So.\nFinal answer: 1,200", "a hundred dozen", "1200") == "So.\nFinal answer: 1200"


@pytest.mark.parametrize(
    ("said", "gold", "answer_type"),
    [
        ("12 cm", r"12\s*cm", "regex"),
        ("95.5", "100", "relaxed"),
        ("hallo", "hello", "anls"),
        ("yes", "Yes, it is red", "yesno"),
        ("A red car", "red", "text"),
        ("electroencephalogramm", "electroencephalogram", "text"),
    ],
)
def test_another_answer_that_is_right_stays(said: str, gold: str, answer_type: str) -> None:
    response = f"So.\nFinal answer: {said}"
    ask = Ask(response, (gold,), answer_type)
    ((verdict, fix),) = judge_and_fix([ask], fix=True)
    assert (verdict.outcome, fix) == ("correct", None)


@pytest.mark.parametrize("answer_type", ["relaxed", "anls", "text"])
def test_the_same_words_are_spelt_as_the_reference_whatever_the_type(answer_type: str) -> None:
    assert (
        fixed("So.\nFinal answer: **RED**.", "red", answer_type=answer_type) == "So.\nFinal answer: **red**."
    )


def test_without_the_flag_nothing_is_edited() -> None:
    ((verdict, fix),) = judge_and_fix([Ask("Final answer: 1,200", ("1200",))], fix=False)
    assert (verdict.outcome, fix) == ("correct", None)


def run(folder: Path, *more: object) -> tuple[dict[str, Any], Path]:
    done = prefdata("cot-pairs", "--samples", "s.jsonl", "--out-dir", f"out{len(more)}", *more, cwd=folder)
    result: dict[str, Any] = json.loads(done.stdout)
    return result, folder / result["run"]


def sample(said: str, **more: Any) -> dict[str, Any]:
    return {
        "question": "How many?",
        "answer": "1200",
        "response": f"Hm, {said}.\nFinal answer: {said}",
    } | more


def test_pairs_hold_the_edit_and_say_so_and_samples_stay(tmp_path: Path) -> None:
    write_lines(tmp_path / "s.jsonl", [sample("1,200"), sample("7,000")])
    result, folder = run(tmp_path, "--answer-fix")
    assert result["answers_fixed"] == 1
    (pair,) = read_lines(folder / "pairs.jsonl")
    assert pair["chosen"] == "Hm, 1,200.\nFinal answer: 1200"
    assert pair["rejected"] == "Hm, 7,000.\nFinal answer: 7,000"
    assert pair["meta"]["answer_fix"] == {"from": "1,200", "to": "1200"}
    assert pair["meta"]["verdicts"]["chosen"]["extracted"] == "1200"
    assert read_lines(folder / "samples.jsonl")[0]["response"] == "Hm, 1,200.\nFinal answer: 1,200"
    _, plain = run(tmp_path)
    assert "answer_fix" not in read_lines(plain / "pairs.jsonl")[0]["meta"]


@pytest.mark.parametrize(
    ("version", "rationale", "chosen"),
    [
        ("en", "Ten dozen tens.\nFinal answer: 1200", "Ten dozen tens.\nFinal answer: 1200"),
        ("en", "Ten dozen tens.", "Ten dozen tens.\nFinal answer: 1200"),
        ("zh", "十打十。", "十打十。\n答案: 1200"),
        ("en_v2", "Ten dozen tens.", "Ten dozen tens.\nAnswer: \\boxed{1200}"),
        ("zh_v2", "十打十。", "十打十。\n答案：\\boxed{1200}"),
        ("en_r1", "Ten dozen tens.", "<think>Ten dozen tens.</think>\n\n\\boxed{1200}"),
        ("en", "Nine.\nFinal answer: 9", None),
        ("plain", "Ten dozen tens.\nFinal answer: 1200", "Ten dozen tens.\nFinal answer: 1200"),
        ("plain", "Ten dozen tens.", None),  # in which form, nobody knows
        ("own_riddle", "Ten dozen tens.", None),
    ],
)
def test_a_rationale_stands_in_where_no_sample_is_right(
    tmp_path: Path, version: str, rationale: str, chosen: str | None
) -> None:
    more = {"rationale": rationale, "prompt_version": version, "meta": {"model": "m", "engine": "e"}}
    write_lines(tmp_path / "s.jsonl", [sample(said, **more) for said in ("7", "8")])
    result, folder = run(tmp_path, "--force")
    pairs = read_lines(folder / "pairs.jsonl")
    assert (result["hard"], result["rationales_refused"]) == (1, chosen is None)
    assert [pair["chosen"] for pair in pairs] == ([chosen] * 2 if chosen else [])
    for pair in pairs:
        assert pair["meta"]["chosen_from"] == "reference"
        assert pair["meta"]["model"] == {"chosen": None, "rejected": "m"}
        assert pair["meta"]["verdicts"]["chosen"]["outcome"] == "correct"
    assert read_lines(run(tmp_path)[1] / "pairs.jsonl") == []


def test_every_prompt_that_asks_for_a_form_has_it() -> None:
    ask = Ask("", ("1200",))
    for version in TEMPLATES:
        found = reference_of({"rationale": "So.", "prompt_version": version}, ask)
        assert found is not None
        assert ("response" in found) == (version != "plain")


def test_a_right_sample_makes_the_rationale_unnecessary(tmp_path: Path) -> None:
    rows = [sample(said, rationale="Ten dozen tens.") for said in ("1200", "7")]
    write_lines(tmp_path / "s.jsonl", rows)
    (pair,) = read_lines(run(tmp_path, "--force")[1] / "pairs.jsonl")
    assert pair["chosen"] == rows[0]["response"]
    assert "chosen_from" not in pair["meta"]


def test_sampling_takes_both(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "rows.jsonl",
        [
            {"question": "a?", "answer": "1200", "rationale": "So.\nFinal answer: 1200"},
            {"question": "b?", "answer": "1200"},
        ],
    )
    texts = {
        "a?": ["x\nFinal answer: 7", "y\nFinal answer: 8"],
        "b?": ["x\nFinal answer: 1,200", "y\nFinal answer: 9"],
    }
    write_lines(tmp_path / "answers.jsonl", [{"question": q, "texts": t} for q, t in texts.items()])
    done = prefdata(
        *("cot-pairs", "--engine", "replay", "--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl"),
        *("--out-dir", "out", "--prompt-version", "plain", "--force", "--answer-fix"),
        cwd=tmp_path,
    )
    result = json.loads(done.stdout)
    chosen = {row["question"]: row["chosen"] for row in read_lines(tmp_path / result["run"] / "pairs.jsonl")}
    assert chosen == {"a?": "So.\nFinal answer: 1200", "b?": "x\nFinal answer: 1200"}
