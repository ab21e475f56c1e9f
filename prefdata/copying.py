"""Conversion of JSON lines in blocks: what `splice.py` has a template for is copied, the rest goes the ordinary way.

Order is kept, and what is counted is the same on both ways: every template carries the notes that the ordinary
conversion made of the row it was learned from. With `--verify` each copied row is also converted the ordinary way, and
it is that record which the file must give back.
"""

from itertools import islice
from pathlib import Path
from typing import Any

from prefdata.blocks import blocks, lines_of
from prefdata.containers import Raw, reading
from prefdata.outcome import FIRST_LINES, Outcome
from prefdata.progress import Progress
from prefdata.rowwork import RowWork
from prefdata.sinks import Sink
from prefdata.splice import Left, Spliced, Splicer


def copy_lines(source: Path, work: RowWork, out: Sink, outcome: Outcome, bar: Progress) -> None:
    """Convert a file of JSON lines."""
    copying = _Copying(work, out, outcome)
    with reading(source) as stream:
        for block in blocks(stream):
            before = outcome.written
            if block.cut:
                copying.ordinary(Raw(copying.lines + 1, block.data, cut=True))
                copying.lines += 1
            else:
                copying.block(block.data)
            bar.advance(outcome.written - before)


class _Copying:
    def __init__(self, work: RowWork, out: Sink, outcome: Outcome) -> None:
        self._work, self._out, self._outcome = work, out, outcome
        self._splicer = Splicer(self._trial, out.end or b"")
        # What came of the row of the last trial, and of the row of each template.
        self._last = outcome
        self._of_template: list[Outcome] = []
        self.lines = 0

    def block(self, data: bytes) -> None:
        """Convert some whole lines."""
        lines = self.lines
        for item in self._splicer(data):
            if isinstance(item, Left):
                line = data[item.start : item.stop]
                self.ordinary(Raw(lines + item.line + 1, line, ended=line.endswith(b"\n")))
                self.lines = lines + item.line + 1
            else:
                self._copied(data, lines + item.first + 1, item)
                self.lines = lines + item.first + len(item.templates)

    def ordinary(self, raw: Raw) -> None:
        """Convert one line by its record."""
        row = self._work.decoded(raw)
        if row is None:
            return
        for written in self._work.written(raw.line, row):
            self._out.add(written)
            self._outcome.written += 1
        if self._splicer.learn(row):
            self._of_template.append(self._last)

    def _trial(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        rows, self._last = self._work.trial(row)
        return rows

    def _copied(self, data: bytes, first: int, item: Spliced) -> None:
        self._out.copy(item.rows)
        if self._work.verifier is not None:
            self._expect(data, first, item)
            return
        for number in set(item.templates):
            lines = (first + index for index, other in enumerate(item.templates) if other == number)
            rows = item.templates.count(number)
            self._outcome.merge(self._of_template[number], tuple(islice(lines, FIRST_LINES)), rows)

    def _expect(self, data: bytes, first: int, item: Spliced) -> None:
        for number, line in enumerate(islice(lines_of(data[item.start :]), len(item.templates)), start=first):
            row = self._work.decoded(Raw(number, line))
            if row is not None:
                self._outcome.written += len(list(self._work.written(number, row)))
