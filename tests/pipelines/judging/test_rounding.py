"""Right answers that look like other values: rounded, in degrees, in another unit; and their wrong neighbours."""

import pytest

from pipelines.judging import judge
from pipelines.judging.rounding import is_range

C, W, U = "correct", "wrong", "undecided"


def said(answer: str, gold: str, kind: str, options: tuple[str, ...] = ()) -> tuple[str, str]:
    verdict = judge(f"So.\nFinal answer: {answer}", (gold,), kind, options=options, algebra="off")
    return verdict.outcome, verdict.reason


CHOICES = [
    ("6.28", ("2\\pi", "4\\pi", "8\\pi", "\\pi"), (C, "")),
    ("6.29", ("2\\pi", "4\\pi", "8\\pi", "\\pi"), (W, "")),
    ("12.57", ("4\\pi", "8\\pi"), (C, "")),
    ("1.7", ("\\sqrt{3}", "\\sqrt{5}", "2"), (U, "near")),
    ("1.9", ("\\sqrt{3}", "\\sqrt{5}", "2"), (W, "")),
    ("3.464", ("2\\sqrt{3}", "3\\sqrt{3}", "5"), (C, "")),
    ("1.414", ("\\sqrt{2}", "\\sqrt{3}"), (C, "")),
    ("1.424", ("\\sqrt{2}", "\\sqrt{3}"), (W, "")),
    ("30", ("\\frac{\\pi}{6}", "\\frac{\\pi}{3}"), (U, "nomatch")),
    ("31", ("\\frac{\\pi}{6}", "\\frac{\\pi}{3}"), (W, "")),
    ("\\pi/6", ("30^\\circ", "60^\\circ"), (U, "nomatch")),
    ("\\pi/5", ("30^\\circ", "60^\\circ"), (W, "")),
    ("72 km/h", ("20 m/s", "30 m/s"), (C, "")),
    ("70 km/h", ("20 m/s", "30 m/s"), (W, "")),
    ("2024", ("2022-23", "2023-24", "2024-25"), (U, "nomatch")),
    ("1999", ("2023-24", "2024-25"), (U, "nomatch")),
    ("15", ("$10-$20", "$20-$30"), (U, "nomatch")),
    ("10-20", ("15", "25"), (U, "nomatch")),
    # Two options may be meant, or another one is no further off.
    ("3.14", ("\\pi", "\\frac{22}{7}"), (U, "conflict")),
    ("6.28", ("6.283", "2\\pi"), (U, "conflict")),
    ("0.33", ("0.333", "\\frac{1}{3}"), (U, "conflict")),
    ("120 mm", ("12 cm", "12.1 cm"), (C, "")),
]


@pytest.mark.parametrize(("answer", "options", "right"), CHOICES)
def test_an_option_that_it_may_be_is_not_called_another(
    answer: str, options: tuple[str, ...], right: tuple[str, str]
) -> None:
    assert said(answer, "A", "choice", options) == right


MATHS = [
    ("6.28", "2\\pi", (C, "")),
    ("6.29", "2\\pi", (W, "")),
    ("-6.28", "2\\pi", (W, "")),
    ("1.414", "\\sqrt{2}", (C, "")),
    ("1.4", "\\sqrt{2}", (U, "near")),
    ("1.5", "\\sqrt{2}", (W, "")),
    ("1.732", "\\sqrt[4]{\\sqrt{81}}", (C, "")),
    ("1.8", "\\sqrt[4]{\\sqrt{81}}", (W, "")),
    ("2", "\\sqrt[n]{2^n}", (U, "nomatch")),
    ("2.23", "\\sqrt{5}", (U, "near")),  # cut off
    ("314", "100\\pi", (U, "near")),
    ("315", "100\\pi", (W, "")),
    ("6.28r", "2\\pi r", (U, "near")),
    ("7r", "2\\pi r", (W, "")),
    ("30", "\\frac{\\pi}{6}", (U, "conflict")),
    ("31", "\\frac{\\pi}{6}", (W, "")),
    ("2024", "2023-24", (U, "conflict")),
    ("(1.7, 1)", "(\\sqrt{3}, 1)", (U, "near")),
    ("(1.9, 1)", "(\\sqrt{3}, 1)", (W, "")),
    ("\\{1.7, 1\\}", "\\{1, \\sqrt{3}\\}", (U, "near")),
    ("x > 1.7", "x > \\sqrt{3}", (U, "near")),
    ("x > 1.9", "x > \\sqrt{3}", (W, "")),
]


@pytest.mark.parametrize(("answer", "gold", "right"), MATHS)
def test_a_formula_and_its_value(answer: str, gold: str, right: tuple[str, str]) -> None:
    assert said(answer, gold, "math") == right


NUMBERS = [
    ("72 km/h", "20 m/s", (C, "")),
    ("72 km per hour", "20 m/s", (C, "")),
    ("70 km/h", "20 m/s", (W, "")),
    ("44.7 mph", "20 m/s", (U, "near")),
    ("100 mm^2", "1 cm^2", (C, "")),
    ("10 mm^2", "1 cm^2", (W, "")),
    ("1000 cm^3", "1 liter", (C, "")),
    ("5 miles", "8.0 km", (U, "near")),
    ("6 miles", "8.0 km", (W, "")),
    ("36 psi", "2.5 bar", (U, "conflict")),  # no conversion is known
    ("24 hours", "2 years", (U, "conflict")),
    ("0.5 rad", "30 degrees", (U, "conflict")),
    ("\\pi/6", "30", (U, "conflict")),
    ("0.524", "30", (U, "conflict")),
    ("0.534", "30", (W, "")),
    ("\\pi", "3.1", (U, "near")),
    ("2\\pi r", "6.28 r", (U, "nomatch")),
    ("0.3", "1/3", (U, "near")),
    ("0.4", "1/3", (W, "")),
    ("0", "1/3", (W, "")),
    ("67%", "0.6666", (U, "near")),
    ("68%", "0.6666", (W, "")),
    ("2.3 million", "2345678", (U, "near")),
    ("2.4 million", "2345678", (W, "")),
]


@pytest.mark.parametrize(("answer", "gold", "right"), NUMBERS)
def test_a_number_rounded_or_in_another_unit(answer: str, gold: str, right: tuple[str, str]) -> None:
    assert said(answer, gold, "number") == right


@pytest.mark.parametrize("text", ["2023-24", "10 - 20 km", "$10-$20", "5%–10%", "3 to 4", "2023--24"])
def test_ranges(text: str) -> None:
    assert is_range(text)


@pytest.mark.parametrize("text", ["x-1", "5-\\sqrt{2}", "-5", "3-4i+2", "12"])
def test_no_ranges(text: str) -> None:
    assert not is_range(text)
