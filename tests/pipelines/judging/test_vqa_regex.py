"""The consensus of ten people, and patterns given by a row."""

from fractions import Fraction

import pytest

from pipelines.judging import judge
from pipelines.judging.vqa import accuracy


@pytest.mark.parametrize(("matches", "share"), [(0, 0), (1, 3), (2, 6), (3, 9), (4, 10), (5, 10), (10, 10)])
def test_the_accuracy_is_the_mean_over_leaving_one_person_out(matches: int, share: int) -> None:
    golds = ["net"] * matches + [f"other{n}" for n in range(10 - matches)]
    direct = (
        sum(
            min(Fraction(1), Fraction(sum(g == "net" for g in golds[:i] + golds[i + 1 :]), 3))
            for i in range(10)
        )
        / 10
    )
    assert accuracy("net", golds) == direct == Fraction(share, 10)


@pytest.mark.parametrize(
    ("answer", "golds", "outcome", "reason"),
    [
        ("Net.", ["net"] * 3 + ["racket"] * 7, "correct", ""),
        ("the net", ["net"] * 4 + ["racket"] * 6, "correct", ""),
        ("two", ["2"] * 9 + ["3"], "correct", ""),
        ("net", ["net"] * 2 + ["racket"] * 8, "undecided", "near"),
        ("4", ["2"] * 7 + ["3"] * 3, "wrong", ""),
        ("no", ["yes"] * 10, "wrong", ""),
        ("-5", ["5"] * 10, "wrong", ""),
        ("couch", ["sofa"] * 10, "undecided", "nomatch"),  # nobody wrote it, and it may be right
        ("net", ["net"], "undecided", "gold"),  # no consensus to speak of
    ],
)
def test_vqa(answer: str, golds: list[str], outcome: str, reason: str) -> None:
    verdict = judge(f"Final answer: {answer}", golds, "vqa")
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("answer", "pattern", "outcome", "reason"),
    [
        ("a1b", r"[a-z]\d[a-z]", "correct", ""),
        ("**A1b**", r"(?i)[a-z]\d[a-z]", "correct", ""),
        ("it is a1b", r"[a-z]\d[a-z]", "undecided", "nomatch"),  # holds it, and says more
        ("zz", r"[a-z]\d[a-z]", "wrong", ""),
        ("zz", r"[a-z", "undecided", "gold"),
        ("a" * 50 + "!", r"(a+)+$", "undecided", "timeout"),
    ],
)
def test_regex(answer: str, pattern: str, outcome: str, reason: str) -> None:
    verdict = judge(f"Final answer: {answer}", [pattern], "regex")
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_a_pattern_is_never_taken_for_an_option() -> None:
    assert judge("Final answer: 12", [r"\d+"], "regex", options=[r"\d+", "x"]).outcome == "correct"
