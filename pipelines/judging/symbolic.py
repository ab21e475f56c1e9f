r"""Maths that our own rules leave open, asked of math-verify: what may be asked, and what its answer is worth.

Only answers that are plain formulas on both sides and cheap by their looks (`task`) go to the killable workers
(`workers.py`, `algebra.py`). "Equal" is correct. "Not equal" is wrong only where both sides are one clear expression
that differs at points where both have a value: math-verify alone also says "not equal" for what it could not read.
"""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pipelines.judging.normalise import unwrap
from pipelines.judging.workers import Task

_MAX_TEXT: Final = 200
_MAX_DIGITS: Final = 50
_MAX_DEPTH: Final = 12
_MAX_POWER: Final = 1000
_MAX_FACTORIAL: Final = 1000

_NESTED_POWER: Final = re.compile(
    r"(?:\^|\*\*)\s*(?:\{[^}]*(?:\^|\*\*)|\([^)]*(?:\^|\*\*)|-?\\?\w+\s*(?:\^|\*\*))|!\s*[!^]|\^\s*[{(]?\s*\w+!"
)
_POWER: Final = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*-?\s*(\d+)")
_FACTORIAL: Final = re.compile(r"(\d+)\s*!|\)\s*!|\}\s*!")
_LONG_SUM: Final = re.compile(r"\\(?:sum|prod|int|lim|bigcup|bigcap|binom|iint|oint)\b")

_SPELT: Final = (
    (re.compile("\x0c(?=rac)"), r"\\f"),
    (re.compile(r"\\(?:left|right|bigg?[lr]?|Bigg?[lr]?|displaystyle|limits)\b|(?<!\\)\\[!,;: ]|\\q?quad\b|~"), " "),
    (re.compile(r"\[?\s*\\begin\{array\}\{[clr| ]*\}"), r"\\begin{pmatrix}"),
    (re.compile(r"\\end\{array\}\s*\]?"), r"\\end{pmatrix}"),
    (re.compile(r"\\cupdot\b|∪"), r" \\cup "),
    (re.compile(r"\\(?:leqslant|leq|le)\b|≤|<="), r" \\leq "),
    (re.compile(r"\\(?:geqslant|geq|ge)\b|≥|>="), r" \\geq "),
    (re.compile(r"\\lt\b|＜"), " < "),
    (re.compile(r"\\gt\b|＞"), " > "),
    (re.compile(r"\s+(?=[)\]}])|(?<=[a-z])\s+(?=\()"), ""),
    (re.compile("∞"), r" \\infty "),
    (re.compile(r"\+\s*\\infty"), r"\\infty"),
    (re.compile("π"), r" \\pi "),
    (re.compile("[×·]"), r" \\cdot "),
    (re.compile(r"√\s*(\d+|\([^()]*\))"), r"\\sqrt{\1}"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|[°º]"), r"°"),
    (re.compile(r"(\\[dt]?frac\s*\{[^{}]*\})\s*(\w)"), r"\1{\2}"),
    (re.compile(r"\\text\s*\{\s*(sin|cos|tan|ln|log)\s*\}"), r"\\\1"),
    (re.compile(r"\\(?:text|mathrm|mbox)\s*\{\s*(or|and)\s*\}"), r" \1 "),
    (re.compile(r"\\(?:approx|simeq)\b.*$|≈.*$"), ""),
    (re.compile(r"^\s*\\?\{\s*[a-zA-Z]\s*(?:\\mid|\\vert|[|:])(.*?)\\?\}\s*$"), r"\1"),
    (re.compile(r"^\s*\\?[a-zA-Z]+\s*(?:\\in\b|∈)"), ""),
    (re.compile(r"^\s*\([A-Za-z](?:\([a-z]\))?(?:\s*,\s*[A-Za-z](?:\([a-z]\))?)*\)\s*="), ""),
)  # fmt: skip
_LABEL: Final = re.compile(
    r"^\s*(?:\\[A-Za-z]+|[A-Za-z](?:\([A-Za-z]\))?)(?:_(?:\{[^{}=]*\}|\w|\\[a-z]+))?'*\s*=\s*(?=[^=]+$)"
)
_MATRIX: Final = re.compile(r"\\(?:begin|end)\s*\{[pbvBV]?(?:small)?matrix\}|(?<=[\w}])\s*&")
_DECIMALS: Final = re.compile(r"[\d\s.,%+\-(){}\[\]:/\\]*\.[\d\s.,%+\-(){}\[\]:/\\]*")
_COMMANDS: Final = re.compile(r"\\[A-Za-z]+")
_UNCLEAR: Final = re.compile(
    r"\\(?:text|mathrm|mbox|textbf|l?dots|cdots|vdots|ddots|forall|exists|mathbb|mathcal|cases|quad|pm|mp|equiv|pmod"
    r"|bmod|subset\w*|notin|angle|triangle|overline|vec|hat|%|mho|boxed|fbox|begin)\b|[A-Za-z]{4,}|\bcm\b|\bkm\b|\bthe\b|[^\x00-\x7f°]|\.\.\.|[?;_]\s*$|&"
)
_DEGREES: Final = re.compile(r"^\s*(-?\d+(?:\.\d+)?)\s*°\s*$")


@lru_cache(maxsize=1)
def installed() -> str:
    """The version of math-verify in this environment, or nothing."""
    try:
        return version("math-verify")
    except PackageNotFoundError:
        return ""


def task(answer: str, gold: str) -> Task | None:
    """The question for a worker; None where one side is no plain formula or too large to be worth computing."""
    if dangerous(answer) or dangerous(gold):
        return None
    mine, theirs = _prepared(answer), _prepared(gold)
    if "=" not in mine or "=" not in theirs:
        mine, theirs = _LABEL.sub("", mine), _LABEL.sub("", theirs)
    mine, theirs = _angles(mine, theirs)
    if not (_clear(mine) and _clear(theirs)):
        return None
    if _DECIMALS.fullmatch(mine) and _DECIMALS.fullmatch(theirs):
        return None  # measured or rounded numbers: what is near is for the rules of numbers to say
    return Task("symbolic", mine, theirs)


def dangerous(text: str) -> bool:
    """Whether computing this could take long: long texts, many digits, towers of powers, large factorials, sums."""
    if len(text) > _MAX_TEXT or sum(map(str.isdigit, text)) > _MAX_DIGITS:
        return True
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return bool(
        deepest > _MAX_DEPTH
        or _NESTED_POWER.search(text)
        or _LONG_SUM.search(text)
        or any(int(power) > _MAX_POWER for power in _POWER.findall(text))
        or any(int(number or _MAX_FACTORIAL + 1) > _MAX_FACTORIAL for number in _FACTORIAL.findall(text))
    )


def _prepared(text: str) -> str:
    text = unwrap(text).replace("$", " ")
    for pattern, spelling in _SPELT:
        text = pattern.sub(spelling, text)
    return text.strip().rstrip(".,").strip()


def _angles(mine: str, theirs: str) -> tuple[str, str]:
    """`120°` against a multiple of pi is turned into one; otherwise the sign is only a unit."""
    turned = []
    for text, other in ((mine, theirs), (theirs, mine)):
        degrees = _DEGREES.match(text)
        if degrees and "\\pi" in other:
            text = rf"\frac{{{degrees[1]}}}{{180}} \pi"
        turned.append(text.replace("°", " ") if degrees else text)
    return turned[0], turned[1]


def _clear(text: str) -> bool:
    """Whether a text is a formula and nothing else: no words, no dots that stand for more, no unknown signs."""
    if not text or _UNCLEAR.search(_COMMANDS.sub(_kept, _MATRIX.sub("", text))):
        return False
    return text.count("{") == text.count("}")


def _kept(command: re.Match[str]) -> str:
    """Known commands are no words; unclear ones stay to be seen."""
    return command[0] if _UNCLEAR.match(command[0] + " ") else " "
