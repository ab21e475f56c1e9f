"""Short free text: equal after normalisation, or the reference said inside a short statement, else mostly undecided.

"Wrong" needs a contradiction that a person would see without looking anything up: another member of a closed class
(colours, weekdays, directions, ...) or another number. Other words that differ are left undecided: `sofa` and `couch`
share no more letters than `sofa` and `hippopotamus`, and two names may both be right.
"""

import re
from typing import Final

from pipelines.judging.dates import says
from pipelines.judging.normalise import contains, operators, plain, similarity, words
from pipelines.judging.number import compare
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import Decision

_CLASSES: Final = tuple(
    {word: index for index, same in enumerate(line.split()) for word in same.split("/")}
    for line in (
        "red blue green yellow orange purple/violet pink brown black white gray/grey gold/golden silver beige cyan",
        "monday tuesday wednesday thursday friday saturday sunday",
        "january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sept/sep october/oct "
        "november/nov december/dec",
        "left right",
        "up down",
        "top bottom",
        "above below",
        "north south east west northeast northwest southeast southwest",
        "male/man/men/boy female/woman/women/girl",
        "circle/circular square triangle/triangular rectangle/rectangular pentagon hexagon octagon star",
        "increase/increases/increased/increasing decrease/decreases/decreased/decreasing",
        "higher/larger/bigger/greater/more lower/smaller/less/fewer",
        "hot cold",
        "day night",
        "indoors/indoor/inside outdoors/outdoor/outside",
        "metal rubber wood/wooden plastic glass",
        "spring summer autumn/fall winter",
        "open closed",
        "empty full",
        "solid liquid gas",
    )
)
_DENIAL: Final = re.compile(
    r"\b(?:not|never|neither|nor|isn't|wasn't|aren't|weren't|doesn't|didn't|cannot|can't|unlike"
    r"|rather than|instead of)\b"
)
_FULL_NAME: Final = 3
_ATTACHING: Final = frozenset(
    ("in", "at", "on", "from", "to", "about", "around", "approximately", "circa", "its", "his", "their")
)
_STATEMENT_WORDS: Final = 80
_NEAR: Final = 0.85
_PLURAL: Final = 4  # `gas` is not the singular of `gass`, nor `as` of `ass`


def judge(text: str, gold: str, question: str = "") -> Decision:
    """Compare a text answer with one reference form."""
    mine, theirs = words(text), words(gold)
    shown = " ".join(mine)[:200]
    if not theirs or (operators(gold) and operators(text) != operators(gold)):
        equal = plain(text) == plain(gold)
        return (
            Decision("correct", "text-equal", shown)
            if equal
            else Decision("undecided", "text", shown, "nomatch")
        )
    if mine == theirs or "".join(mine) == "".join(theirs):
        return Decision("correct", "text-equal", shown)
    found = _numbers(text, gold)
    if found is not None:
        return found
    if len(mine) <= _STATEMENT_WORDS and (
        contains(mine, theirs) or contains(_singular(mine), _singular(theirs))
    ):
        if _asked(theirs, question):
            return Decision("undecided", "text-contains", shown, reason="nomatch")
        if _DENIAL.search(plain(text)) and len(mine) > len(theirs) + 2:
            return Decision("undecided", "text-contains", shown, reason="conflict")
        return Decision("correct", "text-contains", shown)
    if _nearly(mine, theirs):
        return Decision("correct", "text-near", shown)
    if len(mine) <= _STATEMENT_WORDS and not _DENIAL.search(plain(text)) and not _asked(theirs, question):
        if says(text, gold):
            return Decision("correct", "text-date", shown)
        if contains(mine, _core(theirs)) and len(_core(theirs)) < len(theirs):
            return Decision("correct", "text-core", shown)
        if _is_name(gold) and len(theirs) >= _FULL_NAME and contains(mine, (theirs[0], theirs[-1])):
            return Decision("correct", "text-name", shown)
    return _contradiction(mine, theirs, shown)


def _numbers(text: str, gold: str) -> Decision | None:
    """Both sides are numbers as a whole: the number judge knows more about them."""
    a, b = quantity(text), quantity(gold)
    if a is None or b is None:
        return None
    found = compare(a, b)
    return Decision(found.outcome, "text-" + found.rule, found.normalised, found.reason)


def _singular(found: tuple[str, ...]) -> tuple[str, ...]:
    """Words without the ending of a plural: the `Uralic language` family are `Uralic languages`."""
    return tuple(
        word[:-1] if len(word) > _PLURAL and word.endswith("s") and not word.endswith("ss") else word
        for word in found
    )


def _core(found: tuple[str, ...]) -> tuple[str, ...]:
    """Without leading words that only attach the answer to its question: `in`, `at`, `about`, ..."""
    start = next((i for i, word in enumerate(found) if word not in _ATTACHING), 0)
    return found[start:]


def _is_name(gold: str) -> bool:
    """A name of capitalised words, such as `Wilhelm Conrad Röntgen`; its first and last word are the name as well."""
    return all(word[:1].isupper() and word.replace(".", "").isalpha() for word in gold.split())


def _asked(theirs: tuple[str, ...], question: str) -> bool:
    """Whether the question already says the reference (`Michigan or Ohio State?`): saying it again proves nothing."""
    return bool(question) and contains(words(question), theirs)


def _nearly(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """A plural or a slip of one letter in a long word; digits must agree."""
    a, b = " ".join(mine), " ".join(theirs)
    if any(c.isdigit() for c in a + b):
        return False
    short, long = sorted((a, b), key=len)
    if len(short) >= _PLURAL and long in (short + "s", short + "es", short[:-1] + "ies"):
        return True
    return (
        len(mine) == len(theirs) and len(b) >= 8 and a[:1] == b[:1] and similarity(a[:200], b[:200]) >= _NEAR
    )


def _contradiction(mine: tuple[str, ...], theirs: tuple[str, ...], shown: str) -> Decision:
    if mine and len(mine) <= 3 and len(theirs) <= 3 and not any(word[0].isdigit() for word in mine + theirs):
        for known in _CLASSES:
            a, b = {known[w] for w in mine if w in known}, {known[w] for w in theirs if w in known}
            if len(a) == len(b) == 1 and a != b and len(mine) == len(theirs):
                rest = [w for w in mine if w not in known], [w for w in theirs if w not in known]
                if rest[0] == rest[1]:
                    return Decision("wrong", "text-class", shown)
    return Decision("undecided", "text", shown, reason="nomatch")
