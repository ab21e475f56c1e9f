"""The checks, one file per group of codes; see `findings.py` for the groups.

A rule is a generator of `Hit`s over a `View` (or, for syntax, over the raw row). Rules know no files, no order of rows
and no other rows, so they can run in any process; what needs the whole input (duplicates, length bias) collects
mergeable counts instead.
"""

from collections.abc import Iterator
from typing import Any

from prefdata.findings import Hit
from prefdata.formats.base import Format, View
from prefdata.rules import length, pair, placeholder, repetition, turns


def row_hits(view: View, fmt: Format, row: dict[str, Any]) -> Iterator[Hit]:
    """All findings of one row that need nothing but the row."""
    yield from turns.check(view, fmt)
    yield from pair.check(view)
    yield from pair.unread_side(view, fmt, row)
    yield from repetition.check(view)
    yield from placeholder.check(view, fmt)
    yield from length.check(row)
