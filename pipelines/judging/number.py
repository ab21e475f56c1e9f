"""Numbers: `1,200`, `$5`, `50%`, `3/4`, `12 cm`, `-5`, `7.8e2`, `twenty-five`.

Equal means equal: tolerance is what the caller asks for, nothing by default, and a year is always exact. An answer that
agrees to the reference's own decimals (`3.14159` for `3.14`) is equal; one that is only rounded more coarsely, or
given in a unit that cannot be compared, is undecided.
"""

import re
from fractions import Fraction
from typing import Final

from pipelines.judging import expression
from pipelines.judging.normalise import plain
from pipelines.judging.quantity import Quantity, in_base_units, is_unknown_measure, quantity
from pipelines.judging.refusal import is_refusal
from pipelines.judging.rounding import is_other_angle, is_range, is_rounding
from pipelines.judging.verdict import EXACT, Decision, Tolerance

_NEAR: Final = Fraction(1, 100)
_FLOAT: Final = 1e-9
_FLOAT_DECIMALS: Final = 15
"""A computed value is known to about so many decimals."""
_SCALE_SLIPS: Final = frozenset(
    Fraction(n) for k in (10, 100, 1000, 12, 60, 3600) for n in (k, Fraction(1, k))
)
_CLAUSE: Final = re.compile(r"\b(?:is|are|was|were|be|equals|of|have|has|had|got|left|total|=)\b|[=:≈]")
_LOOSE: Final = re.compile(
    r"(?<![\w.,^*+/<>!\\-])(?<![*+/<>^-] )-?[$€£]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:/\d+)?|\.\d+)%?"
    r"(?![\d!^*+/<>-]|\s[*+/<>^-]\s|,\d)"
)
_PROSE: Final = re.compile(r"[^\W\d_]{2,}")
_WORDED: Final = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", re.IGNORECASE
)
_FORMULA: Final = re.compile(r"\\(?:pi|sqrt)\b")
"""Its first number is not its value."""
_SHORT: Final = 12
_YEARS: Final = (1000, 2100)


def judge(text: str, gold: str, tolerance: Tolerance = EXACT) -> Decision:
    """Compare an extracted answer with a reference number."""
    reference = quantity(gold)
    if reference is None:
        return Decision("undecided", "number", reason="gold")
    answer = quantity(text)
    if answer is None:
        found = computed(text, reference, tolerance)
        if found is not None:
            return found
        answer = stated(text) if not (_FORMULA.search(text) or is_refusal(text)) else None
    if answer is None:
        return Decision("undecided", "number", plain(text)[:80], reason="nomatch")
    return compare(answer, reference, tolerance)


def computed(text: str, reference: Quantity, tolerance: Tolerance = EXACT) -> Decision | None:
    r"""An unevaluated answer such as `10\\sqrt{3}` or `4!`: its value decides, unless it is only near.

    `\\log 100` and `\\sin 30` have two values each: right where one of them is, else undecided.
    """
    values = () if is_range(plain(text)) else expression.values(text)
    if not values:
        return None
    shown, theirs = plain(text)[:80], float(reference.value)
    for value in values:
        rounding = abs(value - theirs) <= abs(theirs) * _FLOAT
        if rounding or same_value(Fraction(value), _FLOAT_DECIMALS, reference, tolerance):
            return Decision("correct", "number-value", shown)
    if len(values) > 1:
        return Decision("undecided", "number-value", shown, reason="conflict")
    rounded = reference.decimals > 0 and is_rounding(reference, values[0])
    if rounded or abs(values[0] - theirs) < abs(theirs) * float(_NEAR):
        return Decision("undecided", "number-value", shown, reason="near")
    if is_other_angle(Quantity(Fraction(values[0]), scale=Fraction(0)), reference):
        return Decision("undecided", "number-value", shown, reason="conflict")
    return Decision("wrong", "number-value", shown)


def may_deny(text: str, gold: str) -> bool:
    """Whether a text that declines to answer contradicts the reference number.

    Not where the reference is 0 (`The image does not contain any dogs`), nor where the text holds the reference.
    """
    reference = quantity(gold)
    if reference is None or reference.value == 0:
        return False
    named = (quantity(match[0]) for pattern in (_LOOSE, _WORDED) for match in pattern.finditer(text[:2000]))
    return all(value is None or value.value != reference.value for value in named)


def compare(answer: Quantity, reference: Quantity, tolerance: Tolerance = EXACT) -> Decision:
    """Compare two numbers: percent, units, then the values."""
    shown = answer.shown()
    mine, theirs = answer.value, reference.value
    if answer.percent != reference.percent:
        by = Fraction(1, 100) if answer.percent else Fraction(100)
        scaled = Quantity(mine * by, answer.decimals, scale=answer.scale * by)
        if same_value(scaled.value, answer.decimals + 2, reference, tolerance):
            return Decision("correct", "number-percent", shown)
        if is_rounding(scaled, theirs):
            return Decision("undecided", "number-near", shown, reason="near")
    elif answer.unit and reference.unit and answer.unit != reference.unit:
        return _across_units(answer, reference, tolerance)
    if same_value(mine, answer.decimals, reference, tolerance):
        return Decision("correct", "number", shown)
    if bool(answer.unit) != bool(reference.unit) and theirs and mine / theirs in _SCALE_SLIPS:
        return Decision("undecided", "number-unit", shown, reason="conflict")
    if _rounded(answer, reference):
        return Decision("undecided", "number-near", shown, reason="near")
    if is_other_angle(answer, reference):
        return Decision("undecided", "number-unit", shown, reason="conflict")
    return Decision("wrong", "number", shown)


def same_value(mine: Fraction, decimals: int, reference: Quantity, tolerance: Tolerance = EXACT) -> bool:
    """Equal exactly, to the reference's own decimals, or within the tolerance that was asked for."""
    theirs = reference.value
    if mine == theirs:
        return True
    if theirs.denominator == 1 and _YEARS[0] <= theirs <= _YEARS[1] and not reference.unit:
        return False
    if reference.decimals >= 2 and (
        decimals > reference.decimals or mine.denominator % 3 == 0 or decimals == 0
    ):
        shift = 10**reference.decimals
        if mine.denominator > 1 and abs(mine - theirs) * shift * 2 <= 1:
            return True
    if (
        theirs.denominator > 1
        and reference.decimals == 0
        and decimals >= 2
        and abs(mine - theirs) * 10**decimals * 2 <= 1
    ):
        return True  # the reference is a fraction, the answer its decimals
    if tolerance == EXACT:
        return False
    gap = abs(mine - theirs)
    return gap <= Fraction(tolerance.absolute) or (
        theirs != 0 and gap <= abs(theirs) * Fraction(tolerance.relative)
    )


def _rounded(answer: Quantity, reference: Quantity) -> bool:
    """Whether the two may be one number rounded differently; two whole numbers only as `2.5 million` may be."""
    if is_rounding(answer, reference.value):
        return True
    if answer.value.denominator == 1 and reference.value.denominator == 1:
        return False
    return reference.value != 0 and abs(answer.value - reference.value) < abs(reference.value) * _NEAR


def _across_units(answer: Quantity, reference: Quantity, tolerance: Tolerance) -> Decision:
    mine, theirs = in_base_units(answer), in_base_units(reference)
    shown = answer.shown()
    if mine and theirs and mine[0] == theirs[0]:
        if same_value(mine[1].value, 0, Quantity(theirs[1].value), tolerance):
            return Decision("correct", "number-unit", shown)
        if is_rounding(mine[1], theirs[1].value) or is_rounding(theirs[1], mine[1].value):
            return Decision("undecided", "number-near", shown, reason="near")
        return Decision("wrong", "number-unit", shown)
    if is_unknown_measure(answer.unit) or is_unknown_measure(reference.unit):
        return Decision("undecided", "number-unit", shown, reason="conflict")
    if answer.value != reference.value and not (
        answer.unit in reference.unit or reference.unit in answer.unit
    ):
        slip = reference.value != 0 and answer.value / reference.value in _SCALE_SLIPS
        if not slip and not _rounded(answer, reference):
            return Decision("wrong", "number-unit", shown)
    if answer.value != reference.value:
        return compare(
            Quantity(answer.value, answer.decimals), Quantity(reference.value, reference.decimals), tolerance
        )
    shared = set(answer.unit.split()) & set(reference.unit.split())
    if shared:
        return Decision("correct", "number", shown)
    return Decision("undecided", "number-unit", shown, reason="conflict")


def stated(text: str) -> Quantity | None:
    """The number an answer sentence states: the only one in it, or the last after `is`, `=`, `total` and the like.

    Used only on an extracted answer, never on a whole chain of reasoning. None where it stays ambiguous.
    """
    text = text[:2000]
    if not _PROSE.search(text):
        return None
    found = [m[0] for m in _LOOSE.finditer(text)]
    if not found and len(text.split()) <= _SHORT:
        found = [m[0] for m in _WORDED.finditer(text)]
    values = {q.value for q in map(quantity, found) if q is not None}
    if len(values) == 1:
        return quantity(found[0])
    if not values:
        return None
    lines = [line for line in text.strip().splitlines() if _LOOSE.search(line)]
    last = re.split(r"(?<=[^\d\W][.!?])\s+|(?<=\d[.!?])\s+(?=[A-Z])", lines[-1])
    sentences = [s for s in last if _LOOSE.search(s)] if last else []
    if not sentences:
        return None
    clauses = list(_CLAUSE.finditer(sentences[-1]))
    for clause in reversed(clauses):
        after = [m[0] for m in _LOOSE.finditer(sentences[-1], clause.end())]
        if after:
            seen = {q.value for q in map(quantity, after) if q is not None}
            return quantity(after[0]) if len(seen) == 1 else None
    return None
