r"""Multiple choice: `B`, `b.`, `(B)`, `B) text`, `Option B`, the text of an option, or its value.

Letters belong to the list that the question shows; a row's own `options` are used where the question shows none.
An answer that is no option at all is undecided, unless every option is a number or formula with another value, or a
bare letter while the answer is one as well.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from string import ascii_uppercase
from typing import Final

from pipelines.judging import expression, maths, number, yesno
from pipelines.judging.normalise import contains, operators, plain, unwrap, words
from pipelines.judging.quantity import Quantity, in_base_units, quantity
from pipelines.judging.rounding import is_range, is_rounding
from pipelines.judging.verdict import Decision

_ALONE: Final = re.compile(
    r"(?:(?:option|choice|answer|选项)\s*)?[(\[（【]?\s*([A-Za-z])\s*[)\]）】]?\s*[.:：、。]?", re.IGNORECASE
)
_LEADING: Final = re.compile(
    r"(?:(?:option|choice|选项)\s*)?"
    r"(?:[(\[（【]\s*([A-Za-z])\s*[)\]）】]|([A-Z])\s*[.):：、）]|((?<=option )[A-Z]|(?<=choice )[A-Z])\b)"
    r"\s*[.:：]?(.*)",
    re.IGNORECASE | re.DOTALL,
)
_TEXT_LETTER: Final = re.compile(
    r"^\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{\s*(\([A-Za-z]\)|[A-Za-z][.):])\s*\}(?:\\[ ,;:!]|~|\\q?quad\b)?"
)
_INLINE: Final = re.compile(r"[(（]([A-Za-z])[)）]")
_NAMED: Final = re.compile(r"\b(?:option|choice)\s+\(?([A-Z])\)?(?![\w'])", re.IGNORECASE)
_FIRST_LISTED: Final = re.compile(r"A[).:：、）]")
_MOST_BLANKS: Final = 40
_BLANKS: Final = re.compile(
    rf"[^\S\n]{{{_MOST_BLANKS},}}"
)  # what follows would look through them again and again
_LISTED: Final = re.compile(
    r"(?<!\S)(?:[(（]([A-Z])[)）]|([A-Z])[.):：、])[ \t]*"
    r"(.*?)(?=\s*(?:\n|$)|\s+[(（][A-Z][)）]|\s+[A-Z][.):：、]\s)"
)
_MAX_SENTENCE: Final = 600
_MAX_TEXT: Final = 1000  # runs of blanks are looked through again and again
_FORMULA: Final = re.compile(r"[\d\\^+=<>]")
_PROSE: Final = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


@lru_cache(maxsize=4096)
def options_in(question: str) -> tuple[str, ...]:
    """The options that a question lists as (A)... (B)... or A. ... B. ..., in order; () where it lists none."""
    if not _FIRST_LISTED.search(question):
        return ()
    best: list[str] = []
    run: list[str] = []
    for match in _LISTED.finditer(_BLANKS.sub(" " * _MOST_BLANKS, question[:20_000])):
        letter = match[1] or match[2]
        if letter == "A":
            run = [match[3].strip()]
        elif run and len(run) < 26 and letter == ascii_uppercase[len(run)]:
            run.append(match[3].strip())
        if len(run) >= 2 and len(run) >= len(best):
            best = list(run)
    return tuple(best)


def letters_of(text: str, options: Sequence[str]) -> frozenset[str]:
    """The option letters whose text is `text` (several when two options read the same)."""
    found = _lettered([o.strip() == text.strip() for o in options]) or _lettered(
        [_same_text(o, text) for o in options]
    )
    value = None if found else quantity(text)
    return found if value is None else _of_value(value, options)


def _of_value(value: Quantity, options: Sequence[str]) -> frozenset[str]:
    """The options that are this number exactly; else those it may be a rounding of, where it is surely one of them."""
    values = [quantity(option) for option in options]
    equal = [v is not None and number.compare(value, v).outcome == "correct" for v in values]
    exact = _lettered(
        [
            v is not None and is_equal and _is_exact(value, v)
            for v, is_equal in zip(values, equal, strict=True)
        ]
    )
    if exact or not any(equal):
        return exact
    return _lettered(
        [is_equal or _may_be(value, option) for is_equal, option in zip(equal, options, strict=True)]
    )


def _lettered(which: Sequence[bool]) -> frozenset[str]:
    return frozenset(letter for letter, chosen in zip(ascii_uppercase, which, strict=False) if chosen)


def _is_exact(value: Quantity, option: Quantity) -> bool:
    mine, theirs = in_base_units(value), in_base_units(option)
    return value.value == option.value or bool(mine and theirs and mine[1].value == theirs[1].value)


def _may_be(value: Quantity, option: str) -> bool:
    """Whether a number may be an option, number or formula, that was rounded."""
    known = quantity(option)
    return any(
        is_rounding(value, theirs)
        for theirs in ((known.value,) if known else expression.values(maths.formula(option)))
    )


def judge(text: str, gold: str, options: Sequence[str] = ()) -> Decision:
    """Compare a choice with the reference letter or option text."""
    golds = gold_letters(gold, options)
    if not golds:
        return Decision("undecided", "choice", reason="gold")
    chosen = pick(text, options)
    if chosen is None:
        if options and not golds.isdisjoint(ascii_uppercase[: len(options)]):
            return _no_option(text, options)
        return Decision("undecided", "choice", plain(text)[:80], reason="nomatch")
    if len(chosen) > 1 and not chosen <= golds:
        return Decision("undecided", "choice", "/".join(sorted(chosen)), reason="conflict")
    shown = "/".join(sorted(chosen))
    if chosen & golds:
        return Decision("correct", "choice", shown)
    return Decision("wrong", "choice", shown)


def gold_letters(gold: str, options: Sequence[str]) -> frozenset[str]:
    """The letters a reference stands for: its option text where it is one, else the letter it is."""
    by_text = letters_of(gold, options)
    if by_text:
        return by_text
    gold = unwrap(gold[:_MAX_TEXT])
    alone = _ALONE.fullmatch(gold)
    if alone:
        return frozenset(alone[1].upper())
    leading = _LEADING.fullmatch(gold)
    letter = next((g for g in leading.groups()[:3] if g), None) if leading else None
    return frozenset(letter.upper()) if letter else frozenset()


def pick(text: str, options: Sequence[str]) -> frozenset[str] | None:
    """The option letters an answer stands for; more than one when it is ambiguous, None when it is no option."""
    text = _TEXT_LETTER.sub(r"\1 ", unwrap(text[:_MAX_TEXT]))
    if text in options and len(text) > 1:
        return letters_of(text, options)
    alone = _ALONE.fullmatch(text)
    if alone and _known(alone[1], options):
        return frozenset(alone[1].upper())
    leading = _LEADING.fullmatch(text)
    if leading:
        letter = next(g for g in leading.groups()[:3] if g).upper()
        rest = unwrap(leading[4])
        named = letters_of(rest, options) if rest and options else frozenset()
        if _known(letter, options):
            return frozenset(letter) if not named or letter in named else named | {letter}
    by_text = letters_of(text, options) if options else frozenset()
    if by_text:
        return by_text
    said = yesno.polarity(text) if len(options) == 2 else None
    if said is not None and {yesno.polarity(option) for option in options} == {True, False}:
        return frozenset(
            ascii_uppercase[i] for i, option in enumerate(options) if yesno.polarity(option) == said
        )
    formula = maths.formula(text)
    if options and _is_formula(formula):
        # Not by its words: `a^2 + b^2` says neither `a^2` nor `b^2`, nor does `8\\pi` say `\\pi`.
        equal = [not is_range(o) and maths.judge(formula, o).outcome == "correct" for o in options]
        value = quantity(formula) if any(equal) else None
        if value is not None:
            equal = [is_equal or _may_be(value, o) for is_equal, o in zip(equal, options, strict=True)]
        return _lettered(equal) or None
    return _in_sentence(text, options) if len(text) > 1 else None


def _in_sentence(text: str, options: Sequence[str]) -> frozenset[str] | None:
    """The one letter in brackets, or the one option whose words stand in a short sentence."""
    if len(text) > _MAX_SENTENCE:
        return None
    letters = frozenset(
        m.upper() for m in (*_INLINE.findall(text), *_NAMED.findall(text)) if _known(m, options)
    )
    if letters:
        return letters
    said = words(text)
    hits = [
        i
        for i, option in enumerate(options[:26])
        if len(option.strip()) > 1 and "\\" not in option and contains(said, words(option))
    ]
    # `red wine` also contains `red`: an option inside a longer one that was said does not count.
    hits = [
        i
        for i in hits
        if not any(
            j != i
            and words(options[i]) != words(options[j])
            and contains(words(options[j]), words(options[i]))
            for j in hits
        )
    ]
    if not hits or _denies(said):
        return None
    return frozenset(ascii_uppercase[i] for i in hits)


def _denies(said: tuple[str, ...]) -> bool:
    return any(word in ("not", "isnt", "cannot", "neither", "nor", "except") for word in said)


def _known(letter: str, options: Sequence[str]) -> bool:
    return not options or letter.upper() in ascii_uppercase[: len(options)]


def _same_text(option: str, text: str) -> bool:
    if plain(option) == plain(text):
        return True
    mine, theirs = words(option), words(text)
    return bool(mine) and mine == theirs and operators(option) == operators(text)


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.search(text)) and not _PROSE.search(text)


def _no_option(text: str, options: Sequence[str]) -> Decision:
    """Wrong where the answer is a letter or value, every option is one, too, and it plainly differs from them all."""
    shown = plain(text)[:80]
    open_ = Decision("undecided", "choice", shown, reason="nomatch")
    wrong = Decision("wrong", "choice-value", shown)
    alone = _ALONE.fullmatch(unwrap(text[:_MAX_TEXT]))
    if alone:
        return wrong if all(_ALONE.fullmatch(unwrap(option)) for option in options) else open_
    is_number = quantity(text) is not None or bool(expression.values(text))
    if not (is_number or _is_formula(text)) or any(map(is_range, (text, *options))):
        return open_
    said = [
        (number if is_number and quantity(unwrap(option)) is not None else maths).judge(text, option)
        for option in options
    ]
    if all(decision.outcome == "wrong" for decision in said):
        return wrong
    near = any(decision.reason == "near" for decision in said)
    return Decision("undecided", "choice", shown, reason="near") if near else open_
