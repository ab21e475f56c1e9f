"""Commas before a closing bracket, which people write and JSON forbids; rows and `meta.json` are read without them."""

import re
from collections.abc import Iterable

# A string, or a comma before a closing bracket: only the second is one, never a comma inside a text.
_TRAILING = re.compile(rb'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])')


def trailing_commas(data: bytes) -> list[int]:
    """The places of the commas, in bytes."""
    return [match.start() for match in _TRAILING.finditer(data) if match[0] == b","]


def without(data: bytes, places: Iterable[int]) -> bytes:
    """The text with the bytes at these places left out."""
    pieces, start = [], 0
    for place in places:
        pieces.append(data[start:place])
        start = place + 1
    return b"".join((*pieces, data[start:]))
