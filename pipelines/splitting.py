"""Where a good answer is cut: the prefix that DropoutNTP keeps, byte for byte.

A cut falls on the end of an *atom* - a word, a number, one CJK character, a punctuation mark, and as a whole a
formula, a code fence, bold or italic text, a link, a tag - so a prefix never ends inside one. White space behind the
cut belongs to the continuation: tokenizers begin a word with its blank, and a model goes on unnaturally behind one.
The decision to question: the unit (`token`, `word`, `sentence`) only says *about* where to cut; the nearest end of an
atom decides. `char` alone cuts where it says, between whole characters (as a reader counts them: an emoji, a flag).
Scripts that put no blanks between words (Thai, Lao, Khmer, Burmese) are cut at the blanks between their clauses.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from pipelines.choices import SplitUnit

_CJK = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
# What means something only as a whole, and is no prose. (Verbose, dot matches all.)
SPAN = rf"""
    (?P<fence>`{{3,}}|~{{3,}}).*?(?:(?P=fence)|\Z)   # code fence; an open one reaches the end
    | \\begin\{{(?P<environment>\w+\*?)\}}.*?\\end\{{(?P=environment)\}}
    | \$\$.+?\$\$ | \\\[.+?\\\] | \\\(.+?\\\)
    | \$[^$\n]+?\$                    # inline formula
    | `[^`\n]+`
    | https?://[^\s{_CJK}\u3000-\u303f\uff00-\uffef<>"“”]+
    | </?[A-Za-z][^<>\n]{{0,80}}>      # a tag, such as <think>
"""
_ATOM = re.compile(
    rf"""
    {SPAN}
    | \*\*\*[^*\n]+\*\*\*
    | \*\*(?=\S)[^\n]+?(?<=\S)\*\*(?!\*)
    | \*(?=[^\s*])[^*\n]+?(?<=\S)\*
    | __[^_\n]+__
    | !?\[[^\]\n]*\]\([^)\n]*\)       # Markdown link or image
    | [{_CJK}]
    | (?:(?<![\w)])[-+−])?\d+(?:[.,:/-]\d+)*(?:[eE][-+]?\d+)?%?   # 3.14, -1,000, 12:30, 1/2, 50%, 1.5e-3, 2024-05-01
    | \\[A-Za-z]+(?:\{{(?:[^{{}}\n]|\{{[^{{}}\n]*\}})*\}})*          # a LaTeX command outside of a formula
    | [^\W\d_{_CJK}](?:[^\W{_CJK}]|['’\-](?=[^\W{_CJK}]))*
    | \S
    """,
    re.VERBOSE | re.DOTALL,
)
# With the marks of Hindi, Arabic, Urdu, Armenian, Khmer and Burmese.
_SENTENCE_END = re.compile(r"""[.!?؟।॥۔։។။]+["'”’)\]]*(?=\s|\Z)|[。！？]+[”’」』）]*|\n+""")  # fmt: skip
_CJK_LETTER = re.compile(f"[{_CJK}]")
# Zero-width: the joiner makes one emoji of two, the non-joiner stands inside words of Persian and Hindi.
_JOINER, _NON_JOINER = "\u200d", "\u200c"
_SKIN_TONES, _FLAG_TAGS = range(0x1F3FB, 0x1F400), range(0xE0020, 0xE0080)
# A flag of a country is two of these letters.
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


def prefix_of(
    text: str,
    ratio: float,
    unit: SplitUnit,
    encode: Callable[[str], Sequence[int]],
    decode: Callable[[Sequence[int]], str],
) -> str:
    """The first `ratio` of `text`, counted in `unit`s; empty where there is no place to cut.

    encode, decode: the model's tokenizer, used for `token` alone.
    """
    if ratio <= 0:
        return ""
    if unit == "char":
        ends = [end for end in range(1, len(text)) if not _joined(text, end)]
        place = int(len(text) * ratio)
        return text[: max((end for end in ends if end <= place), default=0)]
    if unit == "token":
        place = _token_place(text, ratio, encode, decode)
    else:
        if unit == "word":
            stops = [end for start, end in _atoms(text) if _is_word(text[start:end])]
        else:
            stops = [match.end() for match in _SENTENCE_END.finditer(text)]
        if unit == "sentence" and text[stops[-1] if stops else 0 :].strip():
            stops.append(len(text))
        count = int(len(stops) * ratio)
        place = stops[count - 1] if count else 0
    if place <= 0:
        return ""
    last = len(text.rstrip())
    ends = [end for _, end in _atoms(text) if end < last and not _opens(text[end - 1])]
    return text[: min(ends, key=lambda end: (abs(end - place), end), default=0)]


def _atoms(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each atom; what `_ATOM` takes apart at marks and joiners (no part of `\\w`) is put together."""
    start = -1
    for match in _ATOM.finditer(text):
        start = match.start() if start < 0 else start
        if not _inside(text, match.end()):
            yield start, match.end()
            start = -1


def _token_place(
    text: str, ratio: float, encode: Callable[[str], Sequence[int]], decode: Callable[[Sequence[int]], str]
) -> int:
    """Characters that the first `ratio` of the tokens spell."""
    ids = encode(text)
    kept = int(len(ids) * ratio)
    spelt = decode(ids[:kept]).rstrip("\ufffd")  # half a character's bytes
    if text.startswith(spelt):
        return len(spelt)
    # A tokenizer that rewrites text (case, unknown words, a blank in front): in proportion.
    return round(len(text) * kept / len(ids)) if ids else 0


def _is_word(atom: str) -> bool:
    return any(character.isalnum() for character in atom)


def _opens(character: str) -> bool:
    """Whether it belongs to what follows: an opening bracket or quotation mark."""
    return unicodedata.category(character) in ("Ps", "Pi")


def _inside(text: str, place: int) -> bool:
    """Whether a place lies inside a character, or inside a word behind the mark of one of its letters."""
    if place >= len(text):
        return False
    if _joined(text, place):
        return True
    before, after = place - 1, text[place]
    if not _is_mark(text[before]) and _NON_JOINER not in (text[before], after):
        return False
    while before > 0 and (_is_mark(text[before]) or text[before] == _NON_JOINER):
        before -= 1
    return (
        text[before].isalpha() and (after.isalpha() or after == _NON_JOINER) and not _CJK_LETTER.match(after)
    )


def _joined(text: str, place: int) -> bool:
    """Whether what stands on both sides makes one character: accents, emoji sequences, flags, ends of lines."""
    if place >= len(text):
        return False
    after, before = text[place], text[place - 1]
    code = ord(after)
    if code in _FLAG_LETTERS:
        return _flag_letters_before(text, place) % 2 == 1
    return (
        _is_mark(after)
        or _JOINER in (before, after)
        or code in _SKIN_TONES
        or code in _FLAG_TAGS
        or (before == "\r" and after == "\n")
    )


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _flag_letters_before(text: str, place: int) -> int:
    first = place
    while first > 0 and ord(text[first - 1]) in _FLAG_LETTERS:
        first -= 1
    return place - first
