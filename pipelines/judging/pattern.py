"""The worker's side of the `regex` judge: a pattern can take for ever, so it is tried only in a killable process."""

import re

from pipelines.judging.normalise import unwrap
from pipelines.judging.workers import Found


def look(answer: str, gold: str) -> Found:
    """Whether the whole answer is what the pattern describes, or holds it, or neither."""
    try:
        pattern = re.compile(gold)
    except (re.error, OverflowError, RecursionError):
        return Found("gold")
    for text in (answer.strip(), unwrap(answer)):
        if pattern.fullmatch(text):
            return Found("equal", text[:200])
    return Found("open" if pattern.search(answer) else "different", unwrap(answer)[:200])
