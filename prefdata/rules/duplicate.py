"""PD5xx: rows that repeat or contradict each other, anywhere in the whole input.

A row is a 64-bit key (`rowscan.key`) and its line: 16 bytes. Ranges are merged by joining their arrays. A false match
has a chance of about n²/2⁶⁴ (one in two million at 3 million rows).
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from prefdata.findings import Hit
from prefdata.formats.base import Signature
from prefdata.rowscan import key, repeated


class Duplicates:
    """Keys and lines of the rows seen, in the order of files and nearly in that of lines."""

    def __init__(self) -> None:
        self.keys, self.lines = array("Q"), array("Q")
        # (index of the first row, file, lines before the range) of each range.
        self._ranges: list[tuple[int, int, int]] = [(0, 0, 0)]

    def add(self, signature: Signature, line: int) -> None:
        """Remember a row."""
        self.keys.append(key(signature))
        self.lines.append(line)

    def add_packed(self, keys: bytes, lines: bytes) -> None:
        """Remember rows whose keys and lines come as 64-bit numbers."""
        self.keys.frombytes(keys)
        self.lines.frombytes(lines)

    def merge(self, other: "Duplicates", file: int, before: int) -> None:
        """Take the rows of a range of `file` that begins after so many lines, itself of one range or more."""
        self._ranges += [(len(self.keys) + index, file, before + lines) for index, _, lines in other._ranges]
        self.keys.extend(other.keys)
        self.lines.extend(other.lines)

    def hits(self, names: list[str]) -> Iterator[tuple[int, int, Hit]]:
        """(file, line, hit) of every row that repeats or contradicts an earlier one."""
        wanted = repeated(self.keys)
        if not wanted:
            return
        rows = sorted(
            (*self._place(index), number) for index, number in enumerate(self.keys) if number >> 1 in wanted
        )
        first: dict[int, tuple[int, int]] = {}
        for file, line, number in rows:
            code = "PD501" if number in first else "PD502"
            earlier = first.get(number) or first.get(number ^ 1)
            if earlier is None:
                first[number] = (file, line)
                continue
            other, place = earlier
            yield file, line, Hit(code, "", f"line {place}" if other == file else f"{names[other]}:{place}")

    def _place(self, index: int) -> tuple[int, int]:
        _, file, before = self._ranges[bisect_right(self._ranges, index, key=lambda each: each[0]) - 1]
        return file, before + self.lines[index]
