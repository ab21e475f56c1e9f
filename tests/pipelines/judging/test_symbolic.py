"""Formulas that the rules leave open and math-verify decides; and what must stay open all the same."""

import pytest

from pipelines.judging import Ask, judge, judge_all, symbolic
from prefdata.errors import PrefdataError

C, W, U = "correct", "wrong", "undecided"
needs_it = pytest.mark.skipif(not symbolic.installed(), reason="math-verify is not installed")

CASES = [
    ("(0, 1)", "0 < x < 1", C),
    ("(0, 2)", "0 < x < 1", W),
    ("[0, 1)", "(0, 1)", U),  # the ends alone
    ("[0, \\infty)", "a \\geq 0", C),
    ("k < -5", "(-\\infty, -5)", C),
    ("k > -5", "(-\\infty, -5)", W),
    ("(4, 8] \\cup [10, 12)", "4 < m \\leq 8 \\text{ or } 10 \\leq m < 12", C),
    ("(-∞, -3) ∪ (3, +∞)", "(-\\infty, -3) \\cup (3, \\infty)", C),
    ("\\{x | -1 < x < 1\\}", "(-1, 1)", C),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}", C),
    ("\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", W),
    ("1-x^2-y^2=0", "x^2+y^2=1", C),
    ("x^2+y^2=2", "x^2+y^2=1", W),
    ("y = 2x+1", "2x - y + 1 = 0", C),
    ("-4x^2+4x-2", "y + 1 = -(2x-1)^2", C),
    ("120^\\circ", "\\frac{2\\pi}{3}", C),
    ("60^\\circ", "\\frac{2\\pi}{3}", W),
    ("\\arccos(1-2a)", "2\\arcsin\\sqrt{a}", C),
    (
        "\\lceil n/2 \\rceil",
        "\\lfloor (n+1)/2 \\rfloor",
        C,
    ),  # equal at whole numbers, which is what they count
    ("\\log 100", "\\sqrt{5}", U),  # whatever the base
    ("the set of all primes", "\\{2, 3, 5\\}", U),
    ("a_1 + a_2 + \\cdots + a_n", "a_1 + \\ldots + a_n", U),
    ("x \\text{ is even}", "2k", U),
    ("m+1", "n+1", U),  # other letters may be other names
    ("0.002, 5.234", "0.003, 5.233", U),
    ("1.7", "\\csc\\frac{\\pi}{5}", U),  # perhaps rounded
    ("1.9", "\\csc\\frac{\\pi}{5}", W),
    ("97.5", "\\csc\\frac{\\pi}{5}", U),  # as radians, in degrees
    ("1.7", "\\sqrt{\\left|-3\\right|}", U),
    ("1.9", "\\sqrt{\\left|-3\\right|}", W),
    ("x < 1.7 \\text{ or } x > 3", "(-\\infty, \\sqrt{3}) \\cup (3, \\infty)", U),
    ("x < 1.2 \\text{ or } x > 3", "(-\\infty, \\sqrt{3}) \\cup (3, \\infty)", W),
]


@needs_it
@pytest.mark.parametrize("kind", ["math", "latex"])
def test_as_a_person_would(kind: str) -> None:
    asks = [Ask(f"So.\nFinal answer: {answer}", (gold,), kind) for answer, gold, _ in CASES]
    said = [verdict.outcome for verdict in judge_all(asks)]
    assert [(a, g, s) for (a, g, _), s in zip(CASES, said, strict=True)] == CASES


@needs_it
def test_the_verdict_names_math_verify() -> None:
    assert judge("Final answer: (0, 1)", ("0 < x < 1",), "math").rule == "math-verify"


def test_only_formulas_are_asked_about() -> None:
    assert judge("Final answer: sofa", ("couch",), "text").rule == "text"
    assert symbolic.task("The sum is less than zero", "f(x) < 0") is None


def test_without_it_such_answers_stay_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = judge("Final answer: (0, 1)", ("0 < x < 1",), "math", algebra="off")
    assert (verdict.outcome, verdict.reason) == (U, "nomatch")
    monkeypatch.setattr(symbolic, "installed", lambda: "")
    assert judge("Final answer: (0, 1)", ("0 < x < 1",), "math") == verdict
    with pytest.raises(PrefdataError, match=r"pip install 'prefdata\[judge\]'"):
        judge("Final answer: (0, 1)", ("0 < x < 1",), "math", algebra="on")
