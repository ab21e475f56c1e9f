"""The whole judgement: reasons for staying undecided, several references, and what must hold for any text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.judging import ANSWER_TYPES, judge
from prefdata.errors import PrefdataError

texts = st.text(max_size=300)
types = st.sampled_from(ANSWER_TYPES)


@given(texts, st.lists(texts, max_size=3), types, texts, st.lists(texts, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_never_raises(
    response: str, gold: list[str], kind: str, question: str, options: list[str], anchored: bool
) -> None:
    verdict = judge(response, gold, kind, question, options, anchored=anchored)
    assert verdict.outcome in ("correct", "wrong", "undecided")
    assert (verdict.reason != "") == (verdict.outcome == "undecided")


@given(
    st.from_regex(r"[-+0-9a-zA-Z .,/%$^(){}\\=<>]{1,40}", fullmatch=True),
    types.filter(lambda kind: kind != "regex"),
)
@settings(max_examples=400, deadline=None)
def test_the_reference_itself_is_never_wrong(gold: str, kind: str) -> None:
    assert judge(f"<answer>{gold}</answer>", (gold,), kind).outcome != "wrong"


@given(
    st.one_of(
        st.integers().map(str), st.sampled_from(["yes", "No", "A", "(C)", "blue", "New York", "3/4", "12 cm"])
    )
)
def test_the_reference_itself_is_correct(gold: str) -> None:
    assert judge(f"Thus.\nFinal answer: {gold}", (gold,)).outcome == "correct"
    assert judge(f"Thus.\nAnswer: \\boxed{{{gold}}}", (gold,)).outcome == "correct"


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_two_whole_numbers_are_equal_or_wrong(answer: int, gold: int) -> None:
    expected = "correct" if answer == gold else "wrong"
    assert judge(f"Final answer: {answer}", (str(gold),)).outcome == expected
    assert judge(f"Final answer: {answer:,}", (str(gold),)).outcome == expected


def test_without_an_answer_it_is_undecided_for_its_format() -> None:
    verdict = judge("There are three cats on the mat, obviously 3.", ("3",))
    assert (verdict.outcome, verdict.reason) == ("undecided", "format")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("First I count the cats. There are", "truncated"),
        ("Counting.\nFinal answer: 1", "truncated"),  # could be the beginning of 12
        ("Counting.\nFinal answer: 12\nLet me also", ""),
        ("Counting.\nAnswer: \\boxed{12}", ""),
        ("Counting.\nAnswer: \\boxed{1", "truncated"),
    ],
)
def test_an_answer_cut_off_by_the_length_limit_is_truncated(response: str, reason: str) -> None:
    verdict = judge(response, ("12",), finish_reason="length")
    assert verdict.reason == reason
    assert verdict.outcome == ("undecided" if reason else "correct")


def test_an_answer_cut_off_after_a_wrong_answer_is_not_wrong() -> None:
    response = "Counting.\nFinal answer: 11\nLet me also"
    verdict = judge(response, ("12",), finish_reason="length")
    assert (verdict.outcome, verdict.reason, verdict.extracted) == ("undecided", "truncated", "11")
    assert judge(response, ("12",)).outcome == "wrong"


def test_one_of_several_references_is_enough_and_wrong_needs_all() -> None:
    assert judge("Final answer: NYC", ("New York", "NYC")).outcome == "correct"
    assert judge("Final answer: 5", ("3", "4")).outcome == "wrong"
    assert judge("Final answer: 5", ("3", "some text")).outcome == "undecided"


def test_without_a_reference_it_is_undecided() -> None:
    assert judge("Final answer: 5", ()).reason == "gold"
    assert judge("Final answer: 5", ("  ",)).reason == "gold"


def test_the_verdict_names_its_rule_and_place() -> None:
    response = "We sum.\nFinal answer: 1,200"
    verdict = judge(response, ("1200",))
    assert verdict.rule == "number"
    assert verdict.extracted == "1,200"
    assert verdict.normalised == "1200"
    assert verdict.span is not None
    assert response[slice(*verdict.span)] == "1,200"


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(PrefdataError, match="colour"):
        judge("x", ("y",), "colour")


@pytest.mark.parametrize(
    "answer",
    [
        "9^{9^{9^9}}",
        "10^{10^{10}}",
        "(1+x)^{100000}",
        "1000000!",
        "9" * 1_000_000,
        "((" * 50_000,
        "\\frac{" * 20_000,
        "a" * 100_000 + "!",
        "1," * 50_000,
        " " * 100_000 + "x",
        "**" * 50_000,
        "\\boxed{" * 20_000,
        "the answer is " * 10_000,
        "-" * 100_000,
    ],
)
@pytest.mark.parametrize("kind", ["number", "math", "text", "choice", "anls"])
def test_hostile_answers_are_bounded(answer: str, kind: str) -> None:
    judge("(0, 1)", ("0 < x < 1",), "math", anchored=False)  # starting a worker is no answer's fault
    started = time.monotonic()
    for response in (answer, f"Final answer: {answer}"):
        judge(response, ("42",), kind, anchored=False)
    assert time.monotonic() - started < 2
