"""Yes or no, in words: yes/no, true/false, correct/incorrect, 是/否, 对/错.

Only how the answer opens counts. `Yes, but no` opens with yes and says no later: a conflict, hence undecided.
"""

import re
from typing import Final

from pipelines.judging.normalise import plain
from pipelines.judging.verdict import Decision

_YES: Final = frozenset(
    (
        "yes",
        "true",
        "correct",
        "right",
        "yeah",
        "yep",
        "yup",
        "是",
        "是的",
        "对",
        "对的",
        "正确",
        "有",
        "可以",
        "√",
    )
)
_NO: Final = frozenset(
    (
        "no",
        "false",
        "incorrect",
        "nope",
        "not",
        "否",
        "不",
        "不是",
        "不对",
        "错",
        "错误",
        "没有",
        "不可以",
        "×",
    )
)
_FIRST: Final = re.compile(r"[^\W_]+|[√×]")
_AGAIN: Final = re.compile(r"\b(?:yes|no|true|false)\b")


def polarity(text: str) -> bool | None:
    """True for yes, False for no, None for anything else or for both at once."""
    text = plain(text)
    first = _FIRST.search(text)
    if first is None or first.start() > 3:
        return None
    word = first[0]
    if word not in _YES and word not in _NO:
        return None
    if word == "not" and not re.match(r"not (?:true|correct|right)\b", text):
        return None
    answer = word in _YES
    others = {found in _YES for found in _AGAIN.findall(text[first.end() :])}
    return None if (not answer) in others else answer


def judge(text: str, gold: str) -> Decision:
    """Compare the polarity of an answer with the reference's."""
    reference, answer = polarity(gold), polarity(text)
    if reference is None:
        return Decision("undecided", "yesno", reason="gold")
    if answer is None:
        both = bool(_AGAIN.search(plain(text)[:400]))
        return Decision("undecided", "yesno", plain(text)[:80], reason="conflict" if both else "nomatch")
    return Decision("correct" if answer == reference else "wrong", "yesno", "yes" if answer else "no")
