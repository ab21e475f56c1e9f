"""Whether two values may be one number written in two ways: rounded, cut off, or an angle in the other unit.

What may be is never called wrong: `1.7` may be the root of 3, and `30` may be a sixth of pi in degrees.
"""

import math
import re
from fractions import Fraction
from typing import Final

from pipelines.judging.quantity import Quantity

SURE_DIGITS: Final = 3
"""From so many digits on, rounding is no accident."""

_HALF: Final = Fraction(500_000_001, 1_000_000_000)  # half a unit, and the error of a computed value
_FLOAT: Final = Fraction(1, 10**9)
_DEGREES: Final = Fraction(180 / math.pi)
_ANGLES: Final = frozenset(("", "degree", "deg", "°", "度", "radian", "rad"))
_END: Final = r"[$€£¥]?\s*\d[\d,]*(?:\.\d+)?\s*%?"
_RANGE: Final = re.compile(rf"\s*{_END}\s*(?:-{{1,3}}|[–—−~～]|to\b)\s*{_END}\s*[^\W\d_]*\.?\s*")


def is_range(text: str) -> bool:
    """Whether a text reads as a range (`2023-24`, `10 - 20 km`), which is no subtraction."""
    return bool(_RANGE.fullmatch(text.replace("\\$", " ").replace("$", " ")))


def is_rounding(answer: Quantity, value: Fraction | float) -> bool:
    """Whether a value comes to the answer when it is rounded, or its decimals cut off, at the answer's last place."""
    value, step = Fraction(value), answer.step
    if not step or (not answer.value and not answer.decimals):
        return False  # a fraction is not rounded, and 0 says nothing about what it was
    if abs(answer.value - value) <= step * _HALF:
        return True
    cut = abs(value) - abs(answer.value)
    return answer.decimals > 0 and answer.value * value > 0 and 0 <= cut < step


def is_sure_rounding(answer: Quantity, value: Fraction | float) -> bool:
    """Whether the answer is the value rounded, not cut off, to decimals and to three digits or more."""
    close = abs(answer.value - Fraction(value)) <= answer.step * _HALF
    return close and answer.decimals > 0 and digits(answer) >= SURE_DIGITS


def digits(answer: Quantity) -> int:
    """How many significant digits it is written with; 0 for a fraction."""
    return len(str(abs(answer.value / answer.step).numerator)) if answer.step else 0


def is_other_angle(answer: Quantity, reference: Quantity) -> bool:
    """Whether one is the other turned from degrees to radians or back, exactly or to three digits and more."""
    if answer.unit not in _ANGLES or reference.unit not in _ANGLES or answer.percent or reference.percent:
        return False
    small, large = sorted((abs(answer.value), abs(reference.value)))
    if not 56 * small < large < 59 * small:
        return False  # most pairs, without long fractions
    return any(
        abs(one.value - value) <= abs(value) * _FLOAT
        or (digits(one) >= SURE_DIGITS and is_rounding(one, value))
        for one, other in ((answer, reference), (reference, answer))
        for value in (other.value * _DEGREES, other.value / _DEGREES)
    )
