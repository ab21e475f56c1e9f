r"""Values of short maths expressions, to tell whether two of them are the same without computer algebra.

Two expressions in the same letters are compared at fixed sample points: different at one point means different,
equal at all of them means equal (two short expressions do not agree at three irrational points by accident). The
parser knows + - * / ^ ! and the usual functions and constants, refuses everything else, and bounds depth and size
before it computes, so a hostile answer costs microseconds. Nothing is ever handed to an interpreter.

Where a text does not say what it means - `\log 100` with base e or 10, `\sin 30` in radians or degrees - each reading
is tried: one that fits is enough, and none that fits proves nothing.
"""

import cmath
import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pipelines.judging.quantity import tidy
from pipelines.judging.verdict import EXACT, Tolerance

_MAX_TEXT: Final = 200
_MAX_DEPTH: Final = 30
_MAX_SIZE: Final = 1e30
_MAX_FACTORIAL: Final = 20
_POINTS: Final = (0.7391, 1.3179, 2.2361)
_RELATIVE: Final = 1e-9

_FUNCTIONS: Final[dict[str, Callable[[complex], complex]]] = {
    "sqrt": cmath.sqrt,
    "exp": cmath.exp,
    "ln": cmath.log,
    "log": cmath.log,
    "abs": abs,
}
_OF_ANGLES: Final[dict[str, Callable[[complex], complex]]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
}
_TO_ANGLES: Final[dict[str, Callable[[complex], complex]]] = {
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
}
_NAMES: Final = frozenset((*_FUNCTIONS, *_OF_ANGLES, *_TO_ANGLES))
_DEGREE: Final = math.pi / 180
_ROUNDING: Final = 1e-12
_CONSTANTS: Final = {"pi": math.pi, "π": math.pi, "e": math.e}
_TOKEN: Final = re.compile(
    r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|\\?([^\W\d_]+)|(\*\*|[-+*/^!(){}\[\],|])|(_\{?\w+\}?))"
)
_COMMANDS: Final = (
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\frac\s*(\w)\s*(\w)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\sqrt\s*(\d)"), r"\\sqrt{\1}"),
)
_BRACES: Final = (
    (re.compile(r"\\sqrt\s*\[(\d{1,2})\]\s*\{([^{}]*)\}"), r"((\2)^(1/\1))"),
    (re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\sqrt\s*\{([^{}]*)\}"), r"(sqrt(\1))"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
)
_ROOT: Final = re.compile(r"√\s*(\d+|\([^()]*\))")
_INDEX: Final = re.compile(r"\\sqrt\s*\[")
_BRANCHES: Final = frozenset(("sqrt", "ln", "log", "abs", "arcsin", "arccos", "arctan", "!"))
_POWER_OF_TEN: Final = re.compile(r"\d[eE][-+]?\d")
_END: Final = "end"  # no token of a text: words of three letters are split
_ENDS_A_PRODUCT: Final = frozenset(("+", "-", ")", ",", "|", _END))
_GREEK: Final = frozenset(
    ["alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "sigma", "phi", "omega", "rho"]
)


class _Refused(Exception):
    """The text is not an expression that is understood, or is too large to compute."""


class _Reading(NamedTuple):
    """What is assumed where the text does not say: the base of a logarithm, the unit of an angle without letters."""

    common_log: bool = False
    degrees: bool = False


_READINGS: Final = (_Reading(), _Reading(True), _Reading(degrees=True), _Reading(True, True))


def same(first: str, second: str, tolerance: Tolerance = EXACT, within: float = 0.0) -> bool | None:
    """Whether two expressions are equal: True, False, or None where one of them is not understood.

    tolerance: how far values of expressions without letters may be apart. within: how far any may be, relatively.
    """
    try:
        a, b = _Parser(first), _Parser(second)
        for reading in _READINGS:
            equal = _agree(a, b, reading, tolerance, within)
            if equal or not (a.unsure or b.unsure):
                return equal
    except (_Refused, ArithmeticError, ValueError, RecursionError):
        return None
    return None


def _agree(a: "_Parser", b: "_Parser", reading: _Reading, tolerance: Tolerance, within: float) -> bool | None:
    letters = sorted(a.letters | b.letters)
    for shift in range(len(_POINTS) if letters else 1):
        env = {
            name: complex(_POINTS[(i + shift) % 3] + 0.31 * (i // 3) + 0.017 * i)
            for i, name in enumerate(letters)
        }
        x, y = a.value(env, reading), b.value(env, reading)
        slack = 0.0 if letters else max(tolerance.absolute, tolerance.relative * abs(y))
        if abs(x - y) > max(slack, max(within, _RELATIVE) * max(abs(x), abs(y), 1e-9)):
            # Other letters may be other names; roots and logarithms of letters have branches.
            return None if a.letters != b.letters or (letters and (a.branches or b.branches)) else False
    return True


def values(text: str) -> tuple[float, ...]:
    """The real values of an expression without letters, one for each reading that differs; none where it has none."""
    found: dict[float, None] = {}
    try:
        parsed = _Parser(text)
        for reading in _READINGS if not parsed.letters else ():
            value = parsed.value({}, reading)
            if math.isnan(value.real) or abs(value.imag) > _RELATIVE * max(1.0, abs(value.real)):
                return ()
            found[value.real] = None
            if not parsed.unsure:
                break
    except (_Refused, ArithmeticError, ValueError, RecursionError):
        return ()
    return tuple(found)


class _Parser:
    """Recursive descent over one expression. Parsed once to learn its letters, then walked again for each point."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_TEXT or _POWER_OF_TEN.search(text):
            raise _Refused
        text = _roots(text)
        if _INDEX.search(text):
            raise _Refused  # a root of any other kind would be read as a product
        self.tokens = self._split(tidy(text))
        self.letters = {t[1:] for t in self.tokens if t[0] == "$"}
        self.branches = not _BRANCHES.isdisjoint(self.tokens)
        self.tokens.append(_END)
        self.unsure = False
        """Whether the last value rests on the reading."""

    @staticmethod
    def _split(text: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        text = text.strip()
        adjacent_number = False
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _Refused
            number, name, sign, index = match.groups()
            if number:
                if adjacent_number:
                    raise _Refused  # `1 2` is two numbers, not a product
                tokens.append(number)
            elif name:
                tokens += _names(name)
            elif sign:
                tokens.append({"**": "^", "[": "(", "]": ")", "{": "(", "}": ")"}.get(sign, sign))
            elif tokens and tokens[-1].startswith("$"):
                tokens[-1] += index.replace("{", "").replace("}", "")
            else:
                raise _Refused
            adjacent_number = bool(number)
            at = match.end()
        return tokens

    def value(self, env: dict[str, complex], reading: _Reading) -> complex:
        self.at, self.depth, self.env, self.reading, self.unsure = 0, 0, env, reading, False
        result = self._sum()
        if self.tokens[self.at] is not _END:
            raise _Refused
        return result

    def _take(self) -> str:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def _sum(self) -> complex:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _Refused
        total = self._product()
        while self.tokens[self.at] in ("+", "-"):
            total = total + self._product() if self._take() == "+" else total - self._product()
        self.depth -= 1
        return _bounded(total)

    def _product(self) -> complex:
        result = self._signed()
        while (token := self.tokens[self.at]) not in _ENDS_A_PRODUCT:
            if token in ("*", "/"):
                self.at += 1
                other = self._signed()
                result = result * other if token == "*" else result / other
            else:
                result *= self._power()
        return _bounded(result)

    def _signed(self) -> complex:
        sign = 1
        while self.tokens[self.at] in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power()

    def _power(self) -> complex:
        base = self._atom()
        while self.tokens[self.at] == "!":
            self.at += 1
            if base.imag or base.real != int(base.real) or not 0 <= base.real <= _MAX_FACTORIAL:
                raise _Refused
            base = complex(math.factorial(int(base.real)))
        if self.tokens[self.at] == "^":
            self.at += 1
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise _Refused
            exponent = self._signed()
            if abs(exponent) > 64 or abs(base) > _MAX_SIZE:
                raise _Refused
            base = base**exponent
        return _bounded(base)

    def _atom(self) -> complex:
        token = self._take()
        if token == "(":
            inside = self._sum()
            if self._take() != ")":
                raise _Refused
            return inside
        if token in _NAMES:
            return self._call(token)
        if token in _CONSTANTS:
            return complex(_CONSTANTS[token])
        if token.startswith("$"):
            return self.env[token[1:]]
        if token[0].isdigit() or token[0] == ".":
            return complex(float(token))
        raise _Refused

    def _call(self, name: str) -> complex:
        start = self.at
        argument = self._power()
        if name in _FUNCTIONS:
            common = name == "log" and self.reading.common_log
            self.unsure |= name == "log"
            return complex(cmath.log10(argument) if common else _FUNCTIONS[name](argument))
        # An angle with a letter or pi in it is in radians.
        plain = not any(token[0] in "$πp" for token in self.tokens[start : self.at])
        unit = _DEGREE if plain and self.reading.degrees else 1.0
        self.unsure |= plain
        if name in _TO_ANGLES:
            return complex(_TO_ANGLES[name](argument) / unit)
        result = complex(_OF_ANGLES[name](argument * unit))
        return result if abs(result) > _ROUNDING else complex(0)  # the sine of pi as computed is 1e-16


def _names(name: str) -> list[str]:
    """A word as a function, a constant, a Greek letter, or a product of at most three letters."""
    if name in _NAMES or name in _CONSTANTS:
        return [name]
    if name in _GREEK:
        return ["$" + name]
    if len(name) <= 3 and not any(
        name == word for word in ("or", "and", "cm", "mm", "km", "kg", "to", "no", "yes")
    ):
        return [letter if letter in _CONSTANTS else "$" + letter for letter in name]
    raise _Refused


def _roots(text: str) -> str:
    r"""`\sqrt[3]{x}` as a power, nested `\frac` as a quotient, so that the grammar stays small."""
    if "\\" in text:
        for pattern, spelling in _COMMANDS:
            text = pattern.sub(spelling, text)
    for _ in range(6 if "{" in text else 0):
        before = text
        for pattern, spelling in _BRACES:
            text = pattern.sub(spelling, text)
        if text == before:
            break
    return _ROOT.sub(r"(sqrt(\1))", text) if "√" in text else text


def _bounded(value: complex) -> complex:
    if not cmath.isfinite(value) or abs(value) > _MAX_SIZE:
        raise _Refused
    return value
