"""What the bytes of a row tell and its decoded value does not: a key that is there twice, and how deep it is nested.

Asked by `rules/syntax.py` and by everything that reads rows without it, so that all of them refuse the same rows. The
decision to question: a limit of depth of our own. Decoders, encoders and walkers give up at depths that differ by
library and by the depth of the stack, so a row could pass one reading and break the next.
"""

import json
import re
from typing import Any

import msgspec

# No format nests deeper than a dozen levels; arguments of tools are the deepest met.
MAX_DEPTH = 100
# So many searches for a key cost as much as decoding the row once more.
_MANY_KEYS = 64
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def too_deep(data: bytes) -> bool:
    """Whether a row is nested deeper than any format; what is deeper is refused in every reading alike."""
    # Rows of fewer brackets, which are nearly all, are not looked through.
    if data.count(b"]") + data.count(b"}") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _BRACKETS.finditer(data):
        if match[0] in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif match[0] in b"]}":
            depth -= 1
    return False


def repeated_key(data: bytes, row: dict[str, Any]) -> str | None:
    """A key that a row has twice: readers keep the last one's value and never see the first."""
    if len(row) > _MANY_KEYS:
        return _repeated(data)
    for key in row:
        # A text that ends with the same word is told from a key by the second look.
        if data.count(msgspec.json.encode(key)) > 1 and (found := _repeated(data)) is not None:
            return found
    return None


def _repeated(data: bytes) -> str | None:
    last: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> None:
        last[:] = [key for key, _ in items]

    try:
        # The outermost object is the last to be complete.
        json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    return next((key for number, key in enumerate(last) if key in last[:number]), None)
