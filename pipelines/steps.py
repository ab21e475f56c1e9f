"""A response cut into its steps: the pieces between blank lines, joined to groups where there are too many.

Steps are places in the response, so that what stands before a step's end can be continued byte for byte: the prefix up
to a step holds the blank line behind it too, and a continuation begins where the next step began.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

_BLANK_LINES: Final = re.compile(r"\n[^\S\n]*\n\s*")


class Step(msgspec.Struct, frozen=True):
    """Where a step stands: its text is [start, stop); the next one begins at `follows`."""

    start: int
    stop: int
    follows: int


def steps_of(response: str, most: int) -> list[Step]:
    """The steps of a response, at most `most`: neighbours are joined in groups of equal size, as the original does."""
    start = len(response) - len(response.lstrip())
    end = len(response.rstrip())
    pieces = []
    for gap in _BLANK_LINES.finditer(response, start, end):
        stop = start + len(response[start : gap.start()].rstrip())
        pieces.append(Step(start, stop, gap.end()))
        start = gap.end()
    if start < end:
        pieces.append(Step(start, end, len(response)))
    size = -(-len(pieces) // most)
    return [_joined(pieces[at : at + size]) for at in range(0, len(pieces), max(1, size))]


def _joined(pieces: Sequence[Step]) -> Step:
    return Step(pieces[0].start, pieces[-1].stop, pieces[-1].follows)
