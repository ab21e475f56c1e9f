"""Where a good answer is cut: the prefix that DropoutNTP keeps, byte for byte.

A cut falls on the end of an *atom* - a word, a number, one CJK character, a punctuation mark, and as a whole a
formula, a code fence, bold or italic text, a link, a tag - so a prefix never ends inside one. White space behind the
cut belongs to the continuation: tokenizers begin a word with its blank, and a model goes on unnaturally behind one.
The decision to question: the unit (`token`, `word`, `sentence`) only says *about* where to cut; the nearest end of an
atom decides. `char` alone cuts where it says, between whole characters.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

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
_SENTENCE_END = re.compile(r"""[.!?]+["'”’)\]]*(?=\s|\Z)|[。！？]+[”’」』）]*|\n+""")  # fmt: skip
_JOINERS = {"\u200d", "\ufe0f"}


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
        pattern = _ATOM if unit == "word" else _SENTENCE_END
        stops = [match.end() for match in pattern.finditer(text) if unit == "sentence" or _is_word(match[0])]
        if unit == "sentence" and text[stops[-1] if stops else 0 :].strip():
            stops.append(len(text))
        count = int(len(stops) * ratio)
        place = stops[count - 1] if count else 0
    if place <= 0:
        return ""
    last = len(text.rstrip())
    ends = [
        match.end()
        for match in _ATOM.finditer(text)
        if match.end() < last and not _joined(text, match.end()) and not _opens(match[0])
    ]
    return text[: min(ends, key=lambda end: (abs(end - place), end), default=0)]


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


def _opens(atom: str) -> bool:
    """Whether it belongs to what follows: an opening bracket or quotation mark."""
    return unicodedata.category(atom[-1]) in ("Ps", "Pi")


def _joined(text: str, place: int) -> bool:
    """Whether the characters on both sides make one: accents, emoji sequences."""
    if place >= len(text):
        return False
    after, before = text[place], text[place - 1]
    return unicodedata.category(after).startswith("M") or after in _JOINERS or before == "\u200d"
