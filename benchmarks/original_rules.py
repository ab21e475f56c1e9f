"""The original pipeline's judge as its description gives it: an oracle to compare with, mistakes included.

The default scorers in their order, by maximum: equality without case, VQA normalisation (which drops signs and
operators), numbers within 0.1 %, letters as `A.` and `(A)`, math-verify. Not used by the package.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

_ARTICLES: Final = frozenset(("a", "an", "the"))
_NAMES: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS: Final = {name: str(value) for value, name in enumerate(_NAMES)}
_STRIPPED: Final = re.compile(r"degrees?|°|%|percent|\bcm\b", re.IGNORECASE)
_LETTER: Final = re.compile(r"^(?:([A-Z])\.|\(([A-Z])\))", re.IGNORECASE)


def parsed(response: str) -> str:
    """The answer of an `en_v2` response: the last box, else the whole response."""
    start = response.rfind("\\boxed{")
    if start < 0:
        return response
    depth, at = 1, start + len("\\boxed{")
    begin = at
    while at < len(response) and depth:
        depth += (response[at] == "{") - (response[at] == "}")
        at += 1
    return response[begin : at - 1] if depth == 0 else response


def is_correct(answer: str, golds: Sequence[str], verify: Callable[[str, str], bool]) -> bool:
    """Right or wrong, never undecided; right where one form is."""
    return any(_one(answer, gold, verify) for gold in golds)


def _one(answer: str, gold: str, verify: Callable[[str, str], bool]) -> bool:
    if answer.lower() == gold.lower():
        return True
    mine, theirs = _vqa(answer), _vqa(gold)
    if not mine or not theirs:
        return False  # an empty side wipes every score, math-verify's too
    return mine == theirs or _number(answer, gold) or _letter(answer, gold) or verify(answer, gold)


def _vqa(text: str) -> str:
    bare = re.sub(r"[^\w\s]", "", text.lower().replace("\n", " "))
    return " ".join(_WORDS.get(word, word) for word in bare.split() if word not in _ARTICLES)


def _number(answer: str, gold: str) -> bool:
    try:
        mine, theirs = (float(_STRIPPED.sub("", text).strip()) for text in (answer, gold))
    except ValueError:
        return False
    return theirs != 0 and abs(mine - theirs) <= abs(theirs) * 1e-3


def _letter(answer: str, gold: str) -> bool:
    found = _LETTER.match(answer.strip())
    return found is not None and (found[1] or found[2]).lower() == gold.strip().lower()
