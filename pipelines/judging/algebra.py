"""The worker's side of `symbolic.py`: two prepared formulas, math-verify's opinion, and a check of it at points.

Runs only in a worker process: importing it loads sympy (a second), and any of it may take for ever.
The check exists because "not equal" from computer algebra means "could not prove equal". Two expressions are called
different only when they have different values where both have one.
"""

import logging
import re
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import math_verify
import sympy
from math_verify import LatexExtractionConfig

from pipelines.judging.quantity import Quantity, quantity
from pipelines.judging.rounding import is_other_angle, is_rounding
from pipelines.judging.workers import Found

logging.disable(logging.CRITICAL)

_CONFIG: Final = [LatexExtractionConfig(boxed_match_priority=-1)]
_OR: Final = re.compile(r"\bor\b|\\lor\b|\\vee\b")
_POINTS: Final = (0.1837, 0.3719, 0.7391, 1.3179, 2.2361)
_EQUAL: Final = 1e-9
_DIFFERENT: Final = 1e-6
_NEAR: Final = 1e-2
_ROUGH: Final = 5e-2
"""As near as that where a number with decimals is in it, which may be rounded."""
_OF_WHOLE_NUMBERS: Final = (sympy.floor, sympy.ceiling, sympy.factorial, sympy.Mod)
_DECIMALS: Final = re.compile(r"-?\d*\.(\d{3,})")
_PLAIN_LOG: Final = re.compile(r"\\log(?![A-Za-z]|\s*_)")
_TRIGONOMETRY: Final = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|arc[a-z]+)")
_LETTER: Final = re.compile(r"(?<![\\A-Za-z])[a-df-hj-z](?![a-z])")
_WHOLE_POINTS: Final = (3, 4, 7, 10, 15)


def look(answer: str, gold: str) -> Found:
    """Equal, different, a conflict between math-verify and the points, or open."""
    mine, theirs = _parsed(answer), _parsed(gold)
    if mine is None or theirs is None:
        return Found("open")
    verified = bool(math_verify.verify([theirs], [mine], timeout_seconds=None, allow_set_relation_comp=True))
    same = _same(mine, theirs)
    if same is False and _rounded(answer, mine, theirs):
        same = True
    if same is False and (_several_readings(answer + gold) or _may_be(answer, theirs)):
        same = None
    shown = str(mine)[:200]
    if verified and same is False:
        return Found("conflict", shown)
    if verified or same:
        return Found("equal", shown)
    return Found("open" if same is None else "different", shown)


def _several_readings(text: str) -> bool:
    """Whether another base of the logarithm or degrees may be meant: then being different proves nothing."""
    degrees = _TRIGONOMETRY.search(text) and r"\pi" not in text and not _LETTER.search(text)
    return bool(_PLAIN_LOG.search(text) or degrees)


def _may_be(answer: str, theirs: Any) -> bool:
    """Whether a plain number may be the reference's value rounded coarsely, or in degrees."""
    mine, value = quantity(answer), _number(theirs, {})
    if mine is None or value is None or abs(value.imag) > _EQUAL:
        return False
    exact = Quantity(Fraction(value.real), scale=Fraction(0))
    return is_rounding(mine, exact.value) or is_other_angle(mine, exact)


def _parsed(text: str) -> Any:
    """The one expression that the whole text is; None where it is none or several."""
    sets = [_one(part) for part in _OR.split(text)]
    if len(sets) == 1:
        return sets[0]
    turned = [_as_set(part) for part in sets]
    return None if any(part is None for part in turned) else sympy.Union(*turned)


def _one(text: str) -> Any:
    found = math_verify.parse(
        f"${text}$", _CONFIG, fallback_mode="no_fallback", extraction_mode="first_match", parsing_timeout=None
    )
    return found[0] if len(found) == 1 and not isinstance(found[0], str) else None


def _same(mine: Any, theirs: Any) -> bool | None:
    """Equal, different, or None where the two cannot be compared point by point."""
    if isinstance(mine, sympy.MatrixBase) and isinstance(theirs, sympy.MatrixBase):
        return _each(list(mine), list(theirs)) if mine.shape == theirs.shape else False
    if isinstance(mine, sympy.Tuple) and isinstance(theirs, sympy.Tuple):
        return _each(list(mine), list(theirs)) if len(mine) == len(theirs) else None
    if isinstance(mine, sympy.Eq) and isinstance(theirs, sympy.Eq):
        return _equations(mine, theirs)
    if isinstance(mine, sympy.Eq | sympy.And) and isinstance(theirs, sympy.Expr):
        mine = _solved(mine, theirs)
    elif isinstance(theirs, sympy.Eq | sympy.And) and isinstance(mine, sympy.Expr):
        theirs = _solved(theirs, mine)
    if isinstance(mine, sympy.FiniteSet) and isinstance(theirs, sympy.FiniteSet):
        return _any_order(list(mine), list(theirs))
    if isinstance(mine, sympy.Expr) and isinstance(theirs, sympy.Expr):
        return _values(mine, theirs)
    one, other = _as_set(mine), _as_set(theirs)
    if isinstance(one, sympy.Interval) and isinstance(other, sympy.Interval) and one.free_symbols:
        # With letters in it, `(a, b)` may be a point as well: the same either way.
        alike = (one.left_open, one.right_open) == (other.left_open, other.right_open)
        return _each([one.start, one.end], [other.start, other.end]) if alike else None
    return _sets(one, other) if one is not None and other is not None else None


def _each(mine: list[Any], theirs: list[Any]) -> bool | None:
    outcomes = [_same(a, b) for a, b in zip(mine, theirs, strict=True)]
    return False if False in outcomes else None if None in outcomes else True


def _any_order(mine: list[Any], theirs: list[Any]) -> bool | None:
    tried = [[_same(a, b) for b in theirs] for a in mine]
    if all(True in row for row in tried) and all(True in column for column in zip(*tried, strict=True)):
        return True
    unmatched = any(all(cell is False for cell in row) for row in (*tried, *zip(*tried, strict=True)))
    return False if unmatched else None


def _values(mine: Any, theirs: Any) -> bool | None:
    letters = sorted(mine.free_symbols | theirs.free_symbols, key=str)
    whole = mine.has(*_OF_WHOLE_NUMBERS) or theirs.has(*_OF_WHOLE_NUMBERS)
    decimals = mine.has(sympy.Float) or theirs.has(sympy.Float)
    seen = 0
    for shift in range(len(_POINTS) if letters else 1):
        at: dict[Any, float] = {}
        for i, letter in enumerate(letters):
            place = (i + shift) % len(_POINTS)
            at[letter] = _WHOLE_POINTS[place] + 17 * i if whole else _POINTS[place] + 0.013 * i
        a, b = _number(mine, at), _number(theirs, at)
        if a is None or b is None:
            continue
        gap, size = abs(a - b), max(abs(a), abs(b), 1e-12)
        if gap > _DIFFERENT * size:
            if mine.free_symbols != theirs.free_symbols:
                return None  # other letters may be other names for the same
            near = _ROUGH if decimals else 0.0 if letters else _NEAR
            return None if gap < near * size else False
        if gap > _EQUAL * size:
            return None
        seen += 1
    return True if seen > (1 if letters else 0) else None


def _number(expression: Any, at: dict[Any, float]) -> complex | None:
    try:
        value = complex(expression.subs(at).evalf(15))
    except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
        return None
    if value != value or abs(value) > 1e100 or (at and abs(value.imag) > 1e-12):
        return None  # with letters only real values say something: roots and logarithms have branches
    return value


def _rounded(answer: str, mine: Any, theirs: Any) -> bool:
    """Whether the answer is the reference's exact value written out to three or more decimals."""
    decimals = _DECIMALS.fullmatch(answer.strip())
    a, b = _number(mine, {}), _number(theirs, {})
    if not decimals or a is None or b is None or theirs.has(sympy.Float):
        return False
    return abs(a - b) <= 0.5 * 10.0 ** -len(decimals[1])


def _equations(mine: Any, theirs: Any) -> bool | None:
    """Irreducible polynomial equations are the same exactly when one is a multiple of the other."""
    try:
        letters = sorted(mine.free_symbols | theirs.free_symbols, key=str)
        one, other = (
            sympy.Poly(sympy.together(side.lhs - side.rhs).as_numer_denom()[0], *letters)
            for side in (mine, theirs)
        )
        if mine.free_symbols != theirs.free_symbols or one.is_zero or other.is_zero:
            return None
        if one.monic() == other.monic():
            return True
        whole = all(poly.domain in (sympy.ZZ, sympy.QQ) for poly in (one, other))
        return False if whole and one.is_irreducible and other.is_irreducible else None
    except (sympy.PolynomialError, NotImplementedError, TypeError, ValueError):
        return None


def _solved(equations: Any, other: Any) -> Any:
    """What an equation (or a chain `x = y = value`) says that the one letter the other side lacks is."""
    chain = list(equations.args) if isinstance(equations, sympy.And) else [equations]
    letters = equations.free_symbols - other.free_symbols
    if not all(isinstance(link, sympy.Eq) for link in chain) or not letters:
        return equations
    found: list[Any] = sympy.solve(chain, *letters, dict=True) if len(letters) <= 4 else []
    values = list(found[0].values()) if len(found) == 1 and len(found[0]) == len(letters) else []
    return values[0] if values and all(value == values[0] for value in values) else equations


def _as_set(found: Any) -> Any:
    if isinstance(found, sympy.Set):
        return found
    if isinstance(found, sympy.Rel | sympy.And | sympy.Or) and len(found.free_symbols) == 1:
        try:
            return found.as_set()
        except (TypeError, ValueError, NotImplementedError):
            return None
    return None


def _sets(mine: Any, theirs: Any) -> bool | None:
    """Sets of numbers by their ends and by what lies between; only the ends differing stays open."""
    try:
        if mine == theirs:
            return True
        named = [end for found in (mine, theirs) for end in _ends(found)]
        decimals = any(end.has(sympy.Float) for end in named)
        ends = sorted({float(end) for end in named})
        apart = _ROUGH if decimals else _DIFFERENT
        inside = [(a + b) / 2 for a, b in pairwise(ends) if b - a > apart * max(1.0, abs(a))]
        probes = [ends[0] - 1, *inside, ends[-1] + 1]
        points = [sympy.Float(point) for point in probes]
        if any(bool(mine.contains(point)) != bool(theirs.contains(point)) for point in points):
            return False
        if decimals:
            return None
        members = {member for found in (mine, theirs) for member in _members(found)}
        if any(bool(mine.contains(member)) != bool(theirs.contains(member)) for member in members):
            return False
        return None
    except (TypeError, ValueError, NotImplementedError, IndexError, AttributeError):
        return None


def _ends(found: Any) -> list[Any]:
    """The finite ends of intervals and the members of finite sets; ValueError for any other set."""
    if isinstance(found, sympy.Union):
        return [end for part in found.args for end in _ends(part)]
    if isinstance(found, sympy.FiniteSet):
        return list(found.args)
    if isinstance(found, sympy.Interval):
        return [end for end in (found.start, found.end) if end.is_finite]
    raise ValueError(found)


def _members(found: Any) -> list[Any]:
    """The single numbers that a set names."""
    if isinstance(found, sympy.Union):
        return [member for part in found.args for member in _members(part)]
    return list(found.args) if isinstance(found, sympy.FiniteSet) else []


# The first use loads grammars and tables; a worker pays for that before it says that it is ready.
look("(-1, \\frac{1}{2})", "-1 < x < 2")
look("x^2 + \\sqrt{2}", "x^2 + \\sin 2")
look("x^2 + y^2 = 1", "y^2 = 2 - x^2")
