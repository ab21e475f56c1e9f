"""Declining to answer: `I cannot see the image`. Against a definite reference that is not the right answer."""

import re
from typing import Final

from pipelines.judging.normalise import plain

_ABLE: Final = (
    r"(?:can(?:not|'t| not)|couldn't|unable to|impossible to|not possible to|difficult to"
    r"|don't have the ability to)"
)
_TO_ANSWER: Final = (
    r"(?:determine|see|view|provide|answer|help|identify|interpret|tell|analy[sz]e|calculate|perceive|assist|give"
    r"|process|access|be determined|be answered)"
)
_LACKING: Final = (
    r"(?:does not|doesn't|do not|don't|did not|didn't|no)\s+(?:\w+\s+){0,3}?"
    r"(?:provide|enough information|contain|give|specify|mention|include|have (?:any |enough )?(?:information|access))"
)
_REFUSAL: Final = re.compile(
    rf"\b(?:{_ABLE}\s+(?:\w+\s+){{0,4}}?{_TO_ANSWER}|{_LACKING}|not enough information|insufficient information"
    r"|(?:question|text|image) is (?:not clear|unclear|incomplete)|please provide|as an ai)\b"
)


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer. Only its beginning is read."""
    return bool(_REFUSAL.search(plain(text[:1000])))
