r"""Maths answers by rules that cannot be fooled cheaply: one spelling, plain numbers, short expressions, lists.

`\frac{1}{2}`, `0.5` and `\dfrac12` are one answer; `x+1` and `x-1` are two; `(3, 4)` and `p=3, q=4` agree item by item.
What these rules do not understand (matrices, functions as answers, words in formulas) is undecided.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Final

from pipelines.judging import expression, normalise
from pipelines.judging.extract import extract
from pipelines.judging.normalise import plain
from pipelines.judging.number import compare, computed, stated
from pipelines.judging.quantity import Quantity, quantity, tidy
from pipelines.judging.refusal import is_refusal
from pipelines.judging.rounding import is_other_angle, is_range, is_rounding, is_sure_rounding
from pipelines.judging.verdict import EXACT, Decision, Tolerance

unwrap = lru_cache(maxsize=65536)(normalise.unwrap)
_RELATION: Final = re.compile(r"<=|>=|!=|[<>=≤≥≠]")
_ASCII: Final = {
    r"\leqslant": "<=",
    r"\geqslant": ">=",
    r"\leq": "<=",
    r"\geq": ">=",
    r"\le ": "<=",
    r"\ge ": ">=",
    r"\lt": "<",
    r"\gt": ">",
    r"\neq": "!=",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    r"\{": "{",
    r"\}": "}",
    "\\ ": " ",
}
_NOT_ASCII: Final = re.compile("|".join(map(re.escape, _ASCII)))
_FLIPPED: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_LABEL: Final = re.compile(r"^\\?[A-Za-z](?:_\{?\w+\}?|\([A-Za-z]\)|'+)?\s*(?:=|\\in\b|∈)\s*(?![=<>])")
_LABELS: Final = re.compile(r"^\([A-Za-z](?:,\s*[A-Za-z])*\)\s*=\s*")
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))(?!\s)")
_SPACES: Final = re.compile(r"\s+|\\(?:displaystyle|limits|quad|qquad)\b")
_SPACED_NUMBERS: Final = re.compile(r"-?\d+(?: +-?\d+)+")
_BRACKETS: Final = str.maketrans("（）【】，", "()[],")
_FUNCTION: Final = re.compile(r"^[A-Za-z]\(([A-Za-z])\)\s*=")
_MATRIX: Final = re.compile(
    r"\\(begin|end)\{[pbvV]?(?:small)?matrix\}|\\(?:left|right)[\[\]()](?=\\|$)|\\(begin|end)\{array\}(?:\{[clr|]*\})?"
)
_AND: Final = re.compile(
    r"\\quad|\\text\s*\{\s*(?:and|or)\s*\}|\\(?:text|mathrm)\s*\{\s*,?\s*\}|\b(?:and|or)\b|;|、|，"
)
_BOX: Final = re.compile(r"\\(?:boxed|fbox)\b")
_SPAN: Final = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORDS: Final = re.compile(r"[A-Za-z]{2,}")
_NUMBER: Final = re.compile(r"\d|\\")
_DECIMAL: Final = re.compile(r"\.\d")
_ROUGH: Final = 0.05
"""So far apart may be formulas of which one holds rounded numbers."""
_MAX_SENTENCE: Final = 2000
_MAX_ITEMS: Final = 40
_MAX_TEXT: Final = 400


def judge(text: str, gold: str, tolerance: Tolerance = EXACT) -> Decision:
    """Compare a maths answer with a reference."""
    text, gold = formula(text), formula(gold)
    mine, theirs = canonical(text), canonical(gold)
    shown = mine[:200]
    if mine == theirs and mine:
        return Decision("correct", "maths-equal", shown)
    if _unlabelled(mine) == _unlabelled(theirs) and mine:
        return Decision("correct", "maths-equal", shown)
    if max(len(text), len(gold)) > _MAX_TEXT:
        return Decision("undecided", "maths", shown, reason="guard")
    first, second = _items(text), _items(gold)
    if len(first[1]) > 1 or len(second[1]) > 1:
        return _lists(first, second, shown, tolerance)
    return _single(unwrap(text), unwrap(gold), shown, tolerance)


@lru_cache(maxsize=65536)
def formula(text: str) -> str:
    """The formula of a sentence that holds just one: what is in its only box, else its only maths between dollars."""
    if len(text) > _MAX_SENTENCE:
        return text
    boxes = _BOX.findall(text)
    if len(boxes) == 1 and (found := extract(text)) is not None and found.how == "box":
        return found.text
    spans = _SPAN.findall(text)
    if (
        boxes
        or len(spans) != 1
        or not _WORDS.search(_SPAN.sub(" ", text))
        or _NUMBER.search(_SPAN.sub(" ", text))
    ):
        return text
    return next(str(part) for part in spans[0] if part)


def _single(text: str, gold: str, shown: str, tolerance: Tolerance) -> Decision:
    left, right = _relation(text), _relation(gold)
    if left and right:
        return _relations(left, right, shown)
    text, gold = _body(_ascii(text).strip(), _ascii(gold).strip())
    a, b = quantity(text), quantity(gold)
    if a is not None and b is not None and not (a.unit != b.unit and len(a.unit + b.unit) == 1):
        found = compare(a, b, tolerance)
        return Decision(found.outcome, "maths-" + found.rule, shown, found.reason)
    if _RELATION.search(text) or _RELATION.search(gold):
        return Decision("undecided", "maths", shown, reason="nomatch")
    if b is not None and not b.unit and not b.percent:
        value = computed(text, b, tolerance)
        if value is not None:
            return Decision(value.outcome, "maths-value", shown, value.reason)
        said = stated(text) if a is None and "\\" not in text and not is_refusal(text) else None
        if said is not None:
            found = compare(said, b, tolerance)
            return Decision(found.outcome, "maths-" + found.rule, shown, found.reason)
    equal = expression.same(text, gold, tolerance)
    if equal is None:
        return Decision("undecided", "maths", shown, reason="nomatch")
    return Decision("correct", "maths-value", shown) if equal else _other_value(text, gold, a, shown)


def _other_value(text: str, gold: str, answer: Quantity | None, shown: str) -> Decision:
    """What another value means: wrong, unless it is the reference's rounded, in another unit of angle, or a range."""
    if is_range(gold):
        return Decision("undecided", "maths", shown, reason="conflict")
    near = Decision("undecided", "maths-value", shown, reason="near")
    if (answer is None or answer.unit) and _roughly(text, gold):
        return near
    if len(mine := expression.values(text)) == len(theirs := expression.values(gold)) == 1:
        if answer is not None and is_rounding(answer, theirs[0]):
            if is_sure_rounding(answer, theirs[0]) and not _DECIMAL.search(gold):
                return Decision("correct", "maths-rounded", shown)
            return near
        left, right = (Quantity(Fraction(value[0]), scale=Fraction(0)) for value in (mine, theirs))
        if is_other_angle(answer or left, right):
            return Decision("undecided", "maths-value", shown, reason="conflict")
    return Decision("wrong", "maths-value", shown)


def _roughly(text: str, gold: str) -> bool:
    """Whether one of two formulas holds decimals, which may be rounded, and they are no further apart than that."""
    return bool(_DECIMAL.search(text + " " + gold)) and expression.same(text, gold, within=_ROUGH) is True


def _body(text: str, gold: str) -> tuple[str, str]:
    """Both without their labels; `f(m) = 2m` is written in the reference's letter when that is `f(n) = 2n`."""
    mine, theirs = _FUNCTION.match(text), _FUNCTION.match(gold)
    if mine and theirs and mine[1] != theirs[1]:
        text = re.sub(rf"(?<![A-Za-z\\]){mine[1]}(?![A-Za-z])", theirs[1], text)
    return _LABEL.sub("", text), _LABEL.sub("", gold)


def _relations(mine: tuple[str, str, str], theirs: tuple[str, str, str], shown: str) -> Decision:
    """Equations and inequalities side by side, also turned round (`5 >= x` is `x <= 5`)."""
    for turned in (mine, (mine[2], _FLIPPED[mine[1]], mine[0])):
        sides = expression.same(turned[0], theirs[0]), expression.same(turned[2], theirs[2])
        if sides == (True, True):
            return Decision("correct" if turned[1] == theirs[1] else "wrong", "maths-relation", shown)
        if sides == (True, False) and turned[1] == theirs[1] and len(theirs[0].strip()) == 1:
            if _roughly(turned[2], theirs[2]):
                return Decision("undecided", "maths-relation", shown, reason="near")
            return Decision("wrong", "maths-relation", shown)
    moved = expression.same(f"({mine[0]})-({mine[2]})", f"({theirs[0]})-({theirs[2]})")
    if moved and mine[1] == theirs[1]:
        return Decision("correct", "maths-relation", shown)
    return Decision("undecided", "maths-relation", shown, reason="nomatch")


def _lists(
    mine: tuple[str, tuple[str, ...]], theirs: tuple[str, tuple[str, ...]], shown: str, tolerance: Tolerance
) -> Decision:
    """Item by item; in any order unless both are in round or square brackets, where the order and the ends count."""
    (ends, items), (gold_ends, golds) = mine, theirs
    interval = "[" in ends + gold_ends or "]" in ends + gold_ends
    if interval and ends != gold_ends:
        return Decision("undecided", "maths-list", shown, reason="nomatch")
    ordered = gold_ends == "()" or interval
    if len(items) != len(golds):
        numbers = all(quantity(_LABEL.sub("", item)) is not None for item in items + golds)
        return (
            Decision("wrong", "maths-list", shown)
            if numbers
            else Decision("undecided", "maths-list", shown, reason="nomatch")
        )
    if ordered:
        said = [judge(a, b, tolerance) for a, b in zip(items, golds, strict=True)]
    else:
        said = _any_order(items, golds, tolerance)
    outcomes = [decision.outcome for decision in said]
    if all(outcome == "correct" for outcome in outcomes):
        return Decision("correct", "maths-list", shown)
    if "wrong" in outcomes and (ordered or "undecided" not in outcomes):
        return Decision("wrong", "maths-list", shown)
    near = any(decision.reason == "near" for decision in said)
    return Decision("undecided", "maths-list", shown, reason="near" if near else "nomatch")


def _any_order(items: Sequence[str], golds: Sequence[str], tolerance: Tolerance) -> list[Decision]:
    left = list(golds)
    best: list[Decision] = []
    for item in items:
        said: list[Decision] = []
        for gold in left:
            said.append(judge(item, gold, tolerance))
            if said[-1].outcome == "correct":
                left.remove(gold)
                break
        best.append(min(said, key=_kindness, default=Decision("wrong", "maths-list")))
    return best


def _kindness(decision: Decision) -> int:
    """Lowest for what may be said first about an item: correct, near, undecided, wrong."""
    return {"correct": 0, "undecided": 1 + (decision.reason != "near"), "wrong": 3}[decision.outcome]


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """One spelling without blanks: fractions, brackets, relations and text commands written one way."""
    return _SPACES.sub("", tidy(_ascii(unwrap(text)))).rstrip(".,")


def _unlabelled(text: str) -> str:
    return _LABEL.sub("", text, count=1)


def _ascii(text: str) -> str:
    if text.isascii() and "\\" not in text:
        return text
    return _NOT_ASCII.sub(lambda found: _ASCII[found[0]], text)


@lru_cache(maxsize=65536)
def _relation(text: str) -> tuple[str, str, str] | None:
    """(left, sign, right) of a single relation that is more than a label such as `x = 5`."""
    text = _ascii(text)
    signs = list(_RELATION.finditer(text))
    if len(signs) != 1 or (signs[0][0] == "=" and _LABEL.match(text.strip())):
        return None
    sign = signs[0][0]
    return text[: signs[0].start()], sign, text[signs[0].end() :]


@lru_cache(maxsize=65536)
def _items(text: str) -> tuple[str, tuple[str, ...]]:
    """(outer brackets, items) of a list, tuple, set or interval; one item for anything else."""
    text = _ascii(unwrap(text)).replace("\\left", "").replace("\\right", "").replace("$", " ")
    text = _LABEL.sub("", plain_brackets(text))
    text = _LABELS.sub("", text)
    ends = ""
    while len(text) > 2 and text[0] in "([{" and text[-1] in ")]}" and _spans(text):
        ends, text = (text[0] + text[-1], text[1:-1].strip())
        if "," in text or ends != "()":
            break
    if "\\pm" in text and text.count("\\pm") == 1 and "," not in text:
        return "{}", (text.replace("\\pm", "+").lstrip("+ "), text.replace("\\pm", "-"))
    parts = _split(_THOUSANDS.sub("", text) if quantity(text) else _AND.sub(",", text))
    if len(parts) > _MAX_ITEMS:
        return ends, (text,)
    if len(parts) == 1 and _SPACED_NUMBERS.fullmatch(parts[0]):
        parts = parts[0].split()
    return ("{}" if ends == "{}" or not ends else ends), tuple(parts)


def plain_brackets(text: str) -> str:
    """Full-width brackets and commas as ASCII."""
    text = text.strip()
    return text if text.isascii() else text.translate(_BRACKETS)


def _spans(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


def _split(text: str) -> list[str]:
    """Split at commas outside brackets; a thousands comma does not split."""
    if quantity(text) is not None:
        return [text]
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part] or [plain(text)]
