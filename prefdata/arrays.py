"""Rows of one JSON array, streamed: each element's own bytes with the line it starts on.

The elements are only delimited here, with the standard library's scanner, and judged later as any other row is. The
buffer holds one element and a little more, so the size of the file does not matter.
"""

import io
import json
from collections.abc import Iterator
from typing import BinaryIO

# Numbers are left as text: only the element's end is wanted, and a number of a million digits must not be computed.
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_CHUNK = 1024 * 1024
_SPACE = " \t\r\n"


class BrokenArray(ValueError):
    """The array cannot be followed any further."""

    def __init__(self, line: int, problem: str, *, harmless: bool = False) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem
        # Nothing was lost: all elements had been read.
        self.harmless = harmless


class _Window:
    """A sliding piece of the file's text."""

    def __init__(self, stream: BinaryIO) -> None:
        # Bytes that are not UTF-8 travel through as surrogates and are reported with their row.
        self.stream = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self.text, self.at, self.line, self.ended = "", 0, 1, False

    def more(self) -> bool:
        """Forget what lies behind and read on; False at the end of the file."""
        self.text = self.text[self.at :]
        self.at = 0
        chunk = self.stream.read(max(_CHUNK, len(self.text)))
        self.text += chunk
        self.ended = not chunk
        return bool(chunk)

    def to(self, position: int) -> None:
        """Move forward, counting lines."""
        self.line += self.text.count("\n", self.at, position)
        self.at = position

    def next(self) -> str:
        """The next character that is not space, "" at the end of the file."""
        while True:
            position = self.at
            while position < len(self.text) and self.text[position] in _SPACE:
                position += 1
            self.to(position)
            if position < len(self.text):
                return self.text[position]
            if not self.more():
                return ""


def iter_array(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield (line, bytes) of each element; a single object counts as an array of one. Raises BrokenArray."""
    window = _Window(stream)
    with window.stream:
        if window.next() != "[":
            yield _element(window, limit)
            if window.next():
                what = "this is none, but an object with more text after it (JSON lines need each row on one line)"
                raise BrokenArray(window.line, what)
            return
        window.to(window.at + 1)
        mark = window.next()
        while mark != "]":
            yield _element(window, limit)
            mark = window.next()
            if mark == ",":
                window.to(window.at + 1)
                mark = window.next()
                if mark == "]":
                    raise BrokenArray(window.line, "a comma before the closing bracket", harmless=True)
            elif mark != "]":
                what = f"{mark!r} where a comma is needed" if mark else "the file ends inside the array"
                raise BrokenArray(window.line, what)
        window.to(window.at + 1)
        if window.next() == ",":
            window.to(window.at + 1)
            if not window.next():
                raise BrokenArray(window.line, "a comma after the array", harmless=True)
        if window.next():
            raise BrokenArray(window.line, "more text after the array")


def _element(window: _Window, limit: int) -> tuple[int, bytes]:
    while True:
        try:
            _, end = _SCANNER.raw_decode(window.text, window.at)
            if end < len(window.text) or window.ended:
                break
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(window.text) - 16
            if not unfinished or window.ended:
                line = window.line + window.text.count("\n", window.at, error.pos)
                what = (
                    "the file ends inside the array"
                    if unfinished
                    else f"{error.msg.lower()} (row begins on line {window.line})"
                )
                raise BrokenArray(line, what) from None
        except RecursionError:
            raise BrokenArray(window.line, "a row nested too deeply") from None
        if len(window.text) - window.at > limit:
            raise BrokenArray(window.line, f"a row of more than {limit} bytes") from None
        window.more()
    line, data = window.line, window.text[window.at : end]
    window.to(end)
    return line, data.encode("utf-8", "surrogateescape")
