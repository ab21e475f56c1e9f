"""Judgements that the original's rules get wrong, judged here as a person would."""

import pytest

from pipelines.judging import Tolerance, judge

# prediction, reference, answer type, right verdict
CASES = [
    ("zzzzz", "apple", "anls", "wrong"),
    ("zzzzz", "apple", "auto", "undecided"),  # as free text: what shares no letters may mean the same
    ("12", "98", "anls", "wrong"),
    ("12", "98", "auto", "wrong"),
    ("yes", "no", "anls", "wrong"),
    ("yes", "no", "auto", "wrong"),
    ("apples", "apple", "anls", "correct"),
    ("apples", "apple", "auto", "correct"),
    ("-5", "5", "auto", "wrong"),
    ("x+1", "x-1", "auto", "wrong"),
    ("10-3", "10+3", "auto", "wrong"),
    ("1>2", "1<2", "auto", "wrong"),
    ("1/2", "1 2", "auto", "wrong"),
    ("5!", "5", "auto", "wrong"),
    ("A", "A.", "auto", "correct"),
    ("A)", "A", "auto", "correct"),
    ("** Yes", "Yes", "auto", "correct"),
    ("$5", "5", "auto", "correct"),
    ("1950", "1955", "relaxed", "wrong"),
    ("1950", "1955", "auto", "wrong"),
]


@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize(("prediction", "gold", "answer_type", "right"), CASES)
def test_is_judged_as_a_person_would(
    prediction: str, gold: str, answer_type: str, right: str, anchored: bool
) -> None:
    response = f"Some reasoning.\nFinal answer: {prediction}" if anchored else prediction
    assert judge(response, (gold,), answer_type, anchored=anchored).outcome == right


@pytest.mark.parametrize("kind", ["number", "relaxed"])
def test_a_reference_of_zero_has_an_explicit_absolute_tolerance(kind: str) -> None:
    assert judge("0.01", ("0",), kind, anchored=False).outcome == "wrong"
    loose = Tolerance(absolute=0.05)
    assert judge("0.01", ("0",), kind, anchored=False, tolerance=loose).outcome == "correct"
    assert judge("0.06", ("0",), kind, anchored=False, tolerance=loose).outcome == "wrong"
