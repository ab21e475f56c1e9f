"""Near text for scanned documents (ANLS): 1 - edit distance / length, right side up; correct from 0.5.

Used only where a row or the caller says `anls`. A number that differs is another answer however near it looks, and
between 0.3 and 0.5 the similarity says nothing, so that stays undecided.
"""

from typing import Final

from pipelines.judging.normalise import plain, similarity
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import Decision

_CORRECT: Final = 0.5
_WRONG: Final = 0.3


def judge(text: str, gold: str) -> Decision:
    """Compare by edit distance."""
    mine, theirs = plain(text), plain(gold)
    if mine == theirs:
        return Decision("correct", "anls", mine[:200])
    a, b = quantity(text), quantity(gold)
    if a is not None and b is not None:
        return Decision(
            "correct" if a.value == b.value and a.percent == b.percent else "wrong", "anls-number", mine[:200]
        )
    near = similarity(mine, theirs)
    if near >= _CORRECT:
        return Decision("correct", "anls", mine[:200])
    if near < _WRONG:
        return Decision("wrong", "anls", mine[:200])
    return Decision("undecided", "anls", mine[:200], reason="near")
