"""Conversion in blocks of rows: what `splice.py` has a template for is copied, the rest goes the ordinary way.

Order is kept, and what is counted is the same on both ways: every template carries the notes that the ordinary
conversion made of the row it was learned from. With `--verify` each copied row is also converted the ordinary way, and
it is that record which the file must give back.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from prefdata.blocks import blocks
from prefdata.containers import Raw, reading
from prefdata.formats import Format
from prefdata.outcome import FIRST_LINES, Outcome
from prefdata.progress import Progress
from prefdata.rowwork import RowWork
from prefdata.sinks import Lines
from prefdata.splice import Left, Spliced, Splicer

# Stands between rows of an array, which may hold newlines; a row that holds it is not JSON.
_BETWEEN = b"\x1e"
_BLOCK_BYTES = 128 * 1024


def copy_lines(
    source: Path, reader: Format, work: RowWork, out: Lines, outcome: Outcome, bar: Progress
) -> None:
    """Convert a file of JSON lines."""
    copying = _Copying(reader, work, out, outcome, b"\n")
    line = 1
    with reading(source) as stream:
        for block in blocks(stream):
            before = outcome.written
            if block.cut:
                copying.ordinary(Raw(line, block.data, cut=True))
                line += 1
            else:
                line += copying.block(block.data, range(line, sys.maxsize))
            bar.advance(outcome.written - before)


def copy_elements(
    rows: Iterable[Raw], reader: Format, work: RowWork, out: Lines, outcome: Outcome, bar: Progress
) -> None:
    """Convert the elements of an array."""
    copying = _Copying(reader, work, out, outcome, _BETWEEN)
    for some in _gathered(rows):
        before = outcome.written
        if any(_BETWEEN in raw.data for raw in some):
            for raw in some:
                copying.ordinary(raw)
        else:
            data = b"".join(raw.data + _BETWEEN for raw in some)
            copying.block(data, [raw.line for raw in some])
        bar.advance(outcome.written - before)


def _gathered(rows: Iterable[Raw]) -> Iterator[list[Raw]]:
    """Rows of about a block each."""
    some: list[Raw] = []
    size = 0
    for raw in rows:
        some.append(raw)
        size += len(raw.data)
        if size >= _BLOCK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


class _Copying:
    def __init__(self, reader: Format, work: RowWork, out: Lines, outcome: Outcome, separator: bytes) -> None:
        self._work, self._out, self._outcome, self._separator = work, out, outcome, separator
        self._splicer = Splicer(work.trial, reader.content_keys, out.end, separator)

    def block(self, data: bytes, lines: Sequence[int]) -> int:
        """Convert some whole rows, of which each begins on one of `lines`; returns how many rows there were."""
        count = 0
        for item in self._splicer(data):
            if isinstance(item, Left):
                row = data[item.start : item.stop]
                ended = row.endswith(self._separator)
                self.ordinary(Raw(lines[item.row], row.removesuffix(_BETWEEN), ended=ended))
                count = item.row + 1
            else:
                count = item.first + len(item.templates)
                self._copied(data, lines[item.first : count], item)
        return count

    def ordinary(self, raw: Raw) -> None:
        """Convert one row by its record."""
        row = self._work.decoded(raw)
        if row is None:
            return
        if self._work.write(raw.line, row, self._out):
            self._splicer.learn(row)

    def _copied(self, data: bytes, lines: Sequence[int], item: Spliced) -> None:
        self._out.copy(item.rows)
        if self._work.verifier is not None:
            self._expect(data, lines, item)
            return
        for number in set(item.templates):
            of_it = (line for line, other in zip(lines, item.templates, strict=True) if other == number)
            rows = item.templates.count(number)
            self._outcome.merge(self._splicer.outcomes[number], tuple(islice(of_it, FIRST_LINES)), rows)

    def _expect(self, data: bytes, lines: Sequence[int], item: Spliced) -> None:
        start = item.start
        for line in lines:
            stop = data.index(self._separator, start)
            row = self._work.decoded(Raw(line, data[start:stop]))
            if row is not None:
                self._outcome.written += len(list(self._work.written(line, row)))
            start = stop + 1
