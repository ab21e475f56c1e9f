"""Bringing two spellings of the same answer to one form, without losing what makes answers differ.

Signs, operators, decimal points and brackets are never dropped here: stripping punctuation is how `-5` becomes `5`.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN: Final = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_CHARACTERS: Final = str.maketrans(
    dict.fromkeys("−‐‑–—", "-")
    | dict.fromkeys("“”", '"')
    | dict.fromkeys("‘’´", "'")
    | dict.fromkeys("\u00a0\u202f\u2009", " ")
)
_WRAPPERS: Final = (("**", "**"), ("__", "__"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("`", "`"),
                    ('"', '"'), ("'", "'"), ("*", "*"), ("_", "_"), ("“", "”"), ("「", "」"))  # fmt: skip
_WRAPPERS_BY_SIGN: Final = {
    sign: tuple(pair for pair in _WRAPPERS if pair[0][0] == sign)
    for sign in {pair[0][0] for pair in _WRAPPERS}
}
_LAST: Final = frozenset("。;；.}").union(closing[-1] for _, closing in _WRAPPERS)
_COMMAND: Final = re.compile(
    r"\\(?:boxed|fbox|text|textbf|mathbf|mathrm|textit|mbox|bm|boldsymbol|mathit)\s*\{([^{}]*)\}"
)
_WORD: Final = re.compile(r"(?<!\w)[-+]?[$€£¥]?\d+(?:\.\d+)?(?!\w)%?|[^\W_]+(?:(?<=\d)\.\d\w*)?")
_DIGIT: Final = re.compile(r"\d")
# Tables as texts, not dicts: a letter that a dict lacks costs an exception.
_NO_WORDS: Final = "".join(
    " " if chr(code) in '"#()*,/:;<=>?@[]^`{|}~!' else chr(code) for code in range(128)
)
_ASCII_WORDS: Final = "".join(chr(code) if chr(code).isalnum() else " " for code in range(128))
_MAY_OPERATE: Final = re.compile(r"[-+*/^=<>≤≥!]")
_OPERATOR: Final = re.compile(r"[+*/^=<>≤≥]|(?<=\d)!|(?<=[\w)])-(?=\d)")
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LONG: Final = 4096

_ONES: Final = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
UNITS: Final = {word: number for number, word in enumerate(_ONES)}
_DECADES: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
TENS: Final = {word: number for number, word in zip(range(20, 100, 10), _DECADES, strict=True)}
_SPELLING: Final = (
    dict.fromkeys(("a", "an", "the"), "")
    | {word: str(number) for word, number in (UNITS | TENS).items()}
    | {
        "gray": "grey",
        "color": "colour",
        "center": "centre",
        "meter": "metre",
        "liter": "litre",
        "theater": "theatre",
    }
)


def unwrap(text: str) -> str:
    """Take off what only presents an answer: blanks, Markdown, maths delimiters, quotes, a full stop at the end."""
    text = text.strip()
    for _ in range(8):
        if not text or (text[-1] not in _LAST and "**" not in text):
            break
        before = text
        text = text.rstrip("。;；").strip()
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        for opening, closing in _WRAPPERS_BY_SIGN.get(text[:1], ()):
            if (
                text.endswith(closing)
                and text.startswith(opening)
                and len(text) > len(opening) + len(closing)
                and opening not in (inner := text[len(opening) : -len(closing)])
            ):
                text = inner
        if text.count("**") == 1:
            text = text.replace("**", "")
        if text and text[0] == "\\" and (match := _COMMAND.fullmatch(text)):
            text = match[1]
        if text == before:
            break
        text = text.strip()
    return text


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """One spelling for text that is the same but for case, width, dashes and blanks. Signs and operators stay."""
    if not text.isascii():
        text = _folded(text)
    return " ".join(unwrap(text).split()).casefold()


def _folded(text: str) -> str:
    """Mend UTF-8 that was read as Latin-1 somewhere upstream, write exponents with `^`, widths and dashes one way."""
    text = text.replace("Â\u00a0", " ").replace("â€“", "-").replace("â€™", "'")
    head = _SUPERSCRIPT_RUN.sub(lambda run: "^" + run[0].translate(_SUPERSCRIPTS), text[:_LONG])
    return unicodedata.normalize("NFKC", head + text[_LONG:]).translate(_CHARACTERS)


def without_accents(text: str) -> str:
    """Drop combining marks: `café` and `cafe` are one answer."""
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """The words of a text answer: no case, accents, articles or punctuation; small number words as digits.

    A minus, a decimal point, a percent or currency sign belongs to its number and stays.
    """
    text = without_accents(plain(text)).replace("&", " and ").replace("'", "")
    if text.isascii() and not _DIGIT.search(text):
        found = text.translate(_ASCII_WORDS).split()
    else:
        found = []
        for part in (_THOUSANDS.sub("", text) if "," in text else text).translate(_NO_WORDS).split():
            if part.isalnum():
                found.append(part)
            elif part[-1] == "." and (bare := part[:-1]).isalnum():
                found.append(bare)
            else:
                found += _WORD.findall(part)
    return tuple(filter(None, map(_SPELLING.get, found, found)))


@lru_cache(maxsize=65536)
def spaced(text: str) -> str:
    """The words with a blank before, between and after: one text says another where its `spaced` holds the other's."""
    return f" {' '.join(words(text))} "


@lru_cache(maxsize=65536)
def operators(text: str) -> str:
    """The operators of a text in order: two answers with other operators are never the same text."""
    text = plain(text)
    return "".join(_OPERATOR.findall(text.replace(" ", ""))) if _MAY_OPERATE.search(text) else ""


def contains(haystack: tuple[str, ...], needle: tuple[str, ...]) -> bool:
    """Whether the words of `needle` stand in `haystack` next to one another, on word boundaries."""
    size = len(needle)
    if not size or needle[0] not in haystack:
        return False
    return any(haystack[i : i + size] == needle for i in range(len(haystack) - size + 1))


def similarity(a: str, b: str) -> float:
    """1 - edit distance / longer length (the ANLS similarity), between 0 and 1. Long texts are compared by equality."""
    if a == b:
        return 1.0
    if not a or not b or len(a) * len(b) > 250_000:
        return 0.0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return 1.0 - row[-1] / max(len(a), len(b))
