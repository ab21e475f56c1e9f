"""Which writing an answer is in: a language mix by script, without a language model.

The decision to question: scripts instead of languages. Telling English from French needs a model and is wrong on
short answers; telling Latin from Chinese letters needs none and finds what matters in preference data (answers in the
wrong language for the question).
"""

import unicodedata
from collections import Counter
from functools import lru_cache

# Letters looked at per answer: enough to tell, and long answers cost no more than short ones.
_LETTERS = 400
_NAMES = {
    "CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean", "LATIN": "Latin",
    "CYRILLIC": "Cyrillic", "GREEK": "Greek", "ARABIC": "Arabic", "HEBREW": "Hebrew", "DEVANAGARI": "Devanagari",
    "THAI": "Thai",
}  # fmt: skip


def script_of(text: str) -> str:
    """The script of most letters; Japanese wherever kana are a fifth or more; `none` without letters."""
    head = text[:_LETTERS]
    if head.isascii():
        return "Latin" if any(map(str.isalpha, head)) else "none"
    counts = letters_by_script(head)
    if not counts:
        return "none"
    if counts["Japanese"] * 5 >= counts["Japanese"] + counts["Chinese"] > 0:
        return "Japanese"
    return counts.most_common(1)[0][0]


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script a text holds. Kana count as `Japanese`, Han characters as `Chinese`."""
    return Counter(_script(letter) for letter in text if letter.isalpha())


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    return _NAMES.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "other")
