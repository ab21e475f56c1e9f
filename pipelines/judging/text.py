"""Short free text: equal after normalisation, or the reference said inside a short statement, else mostly undecided.

"Wrong" needs a contradiction that a person would see without looking anything up: another member of a closed class
(colours, weekdays, directions, ...) or another number. Other words that differ are left undecided: `sofa` and `couch`
share no more letters than `sofa` and `hippopotamus`, and two names may both be right.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from pipelines.judging.dates import Date, date_of, names
from pipelines.judging.normalise import operators, plain, similarity, spaced, words
from pipelines.judging.number import compare
from pipelines.judging.quantity import Quantity, quantity
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
_CLASSED: Final = frozenset(word for known in _CLASSES for word in known)
_DENIAL_PARTS: Final = ("not", "n't", "never", "neither", "nor", "unlike", "rather than", "instead of")
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
_PLURALS: Final = re.compile(r"(?<=[^ ]{3}[^ s])s(?= )")
"""The endings of plurals: the `Uralic language` family are `Uralic languages`."""


class _Reference(msgspec.Struct, frozen=True, gc=False):
    """What is asked of a reference form, worked out once for the many answers that it is compared with."""

    words: tuple[str, ...]
    said: str
    operators: str
    number: Quantity | None
    date: Date | None
    singular: str
    """Without the endings of plurals, and how its first word may stand where that is said."""
    starts: tuple[str, str]
    core: str
    """Without what only attaches the answer to its question (`in`, `at`, `about`), where it begins with such a word."""
    ends: str
    """First and last word of a name of three words or more."""


@lru_cache(maxsize=65536)
def _reference(gold: str) -> _Reference:
    found, said = words(gold), spaced(gold)
    singular = _PLURALS.sub("", said)
    first = singular[: singular.find(" ", 1)]
    start = next((i for i, word in enumerate(found) if word not in _ATTACHING), 0)
    name = len(found) >= _FULL_NAME and _is_name(gold)
    return _Reference(
        words=found,
        said=said,
        operators=operators(gold),
        number=quantity(gold),
        date=date_of(gold),
        singular=singular,
        starts=(first + " ", first + "s "),
        core=f" {' '.join(found[start:])} " if start else "",
        ends=f" {found[0]} {found[-1]} " if name else "",
    )


def judge(text: str, gold: str, question: str = "") -> Decision:
    """Compare a text answer with one reference form."""
    wanted, mine, said = _reference(gold), words(text), spaced(text)
    theirs, meant = wanted.words, wanted.said
    shown = said[1:-1][:200]
    if not theirs or (wanted.operators and operators(text) != wanted.operators):
        equal = plain(text) == plain(gold)
        return (
            Decision("correct", "text-equal", shown)
            if equal
            else Decision("undecided", "text", shown, "nomatch")
        )
    letters_alike = len(said) - len(mine) == len(meant) - len(theirs)
    if letters_alike and said.replace(" ", "") == meant.replace(" ", ""):
        return Decision("correct", "text-equal", shown)
    if wanted.number is not None and (number := quantity(text)) is not None:
        # The number judge knows more about them.
        found = compare(number, wanted.number)
        return Decision(found.outcome, "text-" + found.rule, found.normalised, found.reason)
    short = len(mine) <= _STATEMENT_WORDS
    if short and (meant in said or _says_singular(said, wanted)):
        if _asked(meant, question):
            return Decision("undecided", "text-contains", shown, reason="nomatch")
        if len(mine) > len(theirs) + 2 and _denies(text):
            return Decision("undecided", "text-contains", shown, reason="conflict")
        return Decision("correct", "text-contains", shown)
    if len(mine) == len(theirs) and _nearly(said[1:-1], meant[1:-1]):
        return Decision("correct", "text-near", shown)
    rule = _part_said(text, said, wanted) if short else None
    if rule and not _denies(text) and not _asked(meant, question):
        return Decision("correct", rule, shown)
    return _contradiction(mine, theirs, shown)


def _says_singular(said: str, wanted: _Reference) -> bool:
    """Whether the reference is said, one plural being as good as its singular."""
    one, several = wanted.starts
    return (one in said or several in said) and wanted.singular in _PLURALS.sub("", said)


def _part_said(text: str, said: str, wanted: _Reference) -> str | None:
    """The rule by which a statement says the reference though not word by word."""
    if wanted.date is not None and names(text, wanted.date):
        return "text-date"
    if wanted.core and wanted.core in said:
        return "text-core"
    if wanted.ends and wanted.ends in said:
        return "text-name"
    return None


def _is_name(gold: str) -> bool:
    """A name of capitalised words, such as `Wilhelm Conrad Röntgen`; its first and last word are the name as well."""
    return all(word[:1].isupper() and word.replace(".", "").isalpha() for word in gold.split())


def _denies(text: str) -> bool:
    said = plain(text)
    return any(part in said for part in _DENIAL_PARTS) and bool(_DENIAL.search(said))


def _asked(meant: str, question: str) -> bool:
    """Whether the question already says the reference (`Michigan or Ohio State?`): saying it again proves nothing."""
    return bool(question) and meant in spaced(question)


def _nearly(a: str, b: str) -> bool:
    """A plural or a slip of one letter in a long word; digits must agree."""
    if any(map(str.isdigit, a + b)):
        return False
    short, long = sorted((a, b), key=len)
    if len(short) >= _PLURAL and long in (short + "s", short + "es", short[:-1] + "ies"):
        return True
    return len(b) >= 8 and a[:1] == b[:1] and similarity(a[:200], b[:200]) >= _NEAR


def _contradiction(mine: tuple[str, ...], theirs: tuple[str, ...], shown: str) -> Decision:
    if (
        len(mine) <= 3
        and len(theirs) <= 3
        and not (_CLASSED.isdisjoint(mine) or _CLASSED.isdisjoint(theirs))
        and not any(word[0].isdigit() for word in mine + theirs)
    ):
        for known in _CLASSES:
            a, b = {known[w] for w in mine if w in known}, {known[w] for w in theirs if w in known}
            if len(a) == len(b) == 1 and a != b and len(mine) == len(theirs):
                rest = [w for w in mine if w not in known], [w for w in theirs if w not in known]
                if rest[0] == rest[1]:
                    return Decision("wrong", "text-class", shown)
    return Decision("undecided", "text", shown, reason="nomatch")
