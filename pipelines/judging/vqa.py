"""The consensus of ten people (VQA): an answer is as right as many of them gave it.

The accuracy is the mean, over the ten ways to leave one person out, of min(1, matches among the others / 3), which is
0, 0.3, 0.6, 0.9 and 1 for 0, 1, 2, 3 and 4 or more matches of ten. Correct from 0.9 on: three people agree. Between is
undecided, and nought is wrong only where every person's answer is contradicted by the rules of its own kind: an
answer that nobody happened to write may still be right.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from pipelines.judging import number, text, yesno
from pipelines.judging.kind import kind_of
from pipelines.judging.normalise import operators, plain, words
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import Decision

CORRECT: Final = Fraction(9, 10)
_FULL: Final = 3
_FEWEST: Final = 4  # of fewer, no answer can reach the threshold when one is left out


def accuracy(answer: str, golds: Sequence[str]) -> Fraction:
    """The accuracy of an answer against the answers of people, one person left out at a time."""
    mine = _normal(answer)
    matches = sum(_normal(gold) == mine for gold in golds)
    people = len(golds)
    without_match = min(Fraction(1), Fraction(max(matches - 1, 0), _FULL))
    with_all = min(Fraction(1), Fraction(matches, _FULL))
    return (matches * without_match + (people - matches) * with_all) / people


def judge(answer: str, golds: Sequence[str], question: str = "") -> Decision:
    """Compare with all people's answers; equal answers stand as often as they were given."""
    if len(golds) < _FEWEST:
        return Decision("undecided", "vqa", plain(answer)[:80], reason="gold")
    share = accuracy(answer, golds)
    shown = f"{plain(answer)[:80]} ({float(share):.2g})"
    if share >= CORRECT:
        return Decision("correct", "vqa", shown)
    if share == 0 and all(_contradicts(answer, gold, question) for gold in set(golds)):
        return Decision("wrong", "vqa", shown)
    return Decision("undecided", "vqa", shown, reason="nomatch" if share == 0 else "near")


def _normal(said: str) -> object:
    value = quantity(said)
    if value is not None and not value.unit:
        return value.value, value.percent
    return words(said) or plain(said), operators(said)


def _contradicts(answer: str, gold: str, question: str) -> bool:
    kind = kind_of(gold)
    if kind == "yesno":
        return yesno.judge(answer, gold).outcome == "wrong"
    if kind == "number":
        return number.judge(answer, gold).outcome == "wrong"
    return text.judge(answer, gold, question).outcome == "wrong"
