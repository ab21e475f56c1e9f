"""Fast conversion: rows of a known shape are copied value by value, without being decoded or encoded.

What a row becomes depends, for most rows, on its keys alone: the values only move. So the first row of every shape is
converted with marks in place of its values, and where the marks come out is the *template* of that shape; `_splice.c`
then fills templates with the bytes of other rows. The decision to question: the ordinary conversion stays the only
description of every format, and what is copied is limited to values that it surely treats as it treated the marks
(see `_splice.c`). Marks of several sorts must agree on the template, so a writer that looks into its texts has none.
Without the compiled part every row takes the ordinary way, with the same result.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import msgspec

from prefdata.spelling import MEDIA_KEYS

try:
    _compiled: Any = import_module("prefdata._splice")
except ImportError:
    _compiled = None

# Limits of `_splice.c`.
_MAX_TEMPLATES, _MAX_KEYS, _MAX_GAPS = 16, 32, 64
# Shapes looked at; a file of ever new keys would be learned for ever.
_MAX_TRIED = 256
_NONE = 255
_PLACED = "<image>\n"

Value = str | float | bool | None | dict[str, str] | list[str]
# keys, their kinds, the literal pieces around the gaps, the number of the key whose value stands in each gap
Template = tuple[tuple[bytes, ...], str, tuple[bytes, ...], bytes]


class Spliced(msgspec.Struct, frozen=True):
    """Consecutive lines that were copied: the first and where it begins in the block, the rows they became, and the
    template of each."""

    first: int
    start: int
    rows: bytes
    templates: bytes


class Left(msgspec.Struct, frozen=True):
    """A line for the ordinary conversion, and where it stands in the block."""

    line: int
    start: int
    stop: int


class Splicer:
    """Learns templates from a conversion and fills them. `end` is what follows each row that is written."""

    def __init__(self, convert: Callable[[dict[str, Any]], list[dict[str, Any]]], end: bytes) -> None:
        self._convert, self._end = convert, end
        self._tried: set[tuple[tuple[str, ...], str]] = set()
        self._templates: tuple[Template, ...] = ()

    def learn(self, row: dict[str, Any]) -> bool:
        """Look at a row that was converted the ordinary way; returns whether there is a new template."""
        if len(self._templates) == _MAX_TEMPLATES or len(self._tried) == _MAX_TRIED or len(row) > _MAX_KEYS:
            return False
        shape = tuple(row), "".join(_kind(key, value) for key, value in row.items())
        if shape in self._tried:
            return False
        self._tried.add(shape)
        found = [self._template(*shape, sort) for sort in _SORTS]
        if found[0] is None or any(other != found[0] for other in found):
            return False
        self._templates = (*self._templates, found[0])
        return True

    def _template(self, keys: tuple[str, ...], kinds: str, sort: "Sort") -> Template | None:
        """The template by marks of one sort; None where the row is not written as exactly one row with every mark."""
        marks = [sort(kind, number) for number, kind in enumerate(kinds)]
        given = {
            key: _PLACED + str(mark) if kind == "i" else mark
            for key, kind, mark in zip(keys, kinds, marks, strict=True)
        }
        written = self._convert(given)
        if len(written) != 1:
            return None
        line = msgspec.json.encode(written[0]) + self._end
        places: list[tuple[int, int, int]] = []
        for number, (kind, mark) in enumerate(zip(kinds, marks, strict=True)):
            if kind in "TFN":
                continue
            data = msgspec.json.encode(mark)
            data = data[1:-1] if isinstance(mark, str) else data
            at = line.find(data)
            if at < 0:
                return None
            while at >= 0:
                places.append((at, at + len(data), number))
                at = line.find(data, at + len(data))
        places.sort()
        if len(places) > _MAX_GAPS:
            return None
        edges = [0, *(edge for start, stop, _ in places for edge in (start, stop)), len(line)]
        literals = tuple(line[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True))
        names = tuple(msgspec.json.encode(key)[1:-1] for key in keys)
        return names, kinds, literals, bytes(number for *_, number in places)

    def __call__(self, block: bytes) -> Iterator[Spliced | Left]:
        """The lines of a block, in order."""
        used, items = _compiled.splice(block, self._templates)
        line = start = 0
        for item in items:
            if isinstance(item, bytes):
                stop = used.find(_NONE, line)
                stop = len(used) if stop < 0 else stop
                yield Spliced(line, start, item, used[line:stop])
                line = stop
            else:
                yield Left(*item)
                line, start = item[0] + 1, item[2]


def available() -> bool:
    """Whether the compiled part was built."""
    return _compiled is not None


def _kind(key: str, value: object) -> str:
    """The kind of a value, a letter of `_splice.c`."""
    if isinstance(value, str):
        return "r" if key in MEDIA_KEYS else "i" if value.startswith(_PLACED) else "t"
    if isinstance(value, bool) or value is None:
        return "N" if value is None else "T" if value else "F"
    return "o" if isinstance(value, dict) else "a" if isinstance(value, list) else "n"


Sort = Callable[[str, int], Value]


def _marks(text: str, size: float) -> Sort:
    """Marks of one sort: `text` and `size` hold what is common to all of them."""

    def mark(kind: str, number: int) -> Value:
        said = text.format(number=f"{number:02}")
        name = f"zq{number:02}k"
        named: dict[str, Value] = {
            "o": {name: name},
            "a": [name],
            "n": size + number,
            "r": f"{name}/{name}.p",
        }
        return {"T": True, "F": False, "N": None}.get(kind, named.get(kind, said))

    return mark


# Texts that begin and end alike and that do not, of several lines, of signs alone, that could be numbers.
_SORTS = (
    _marks("{number}wj", 7340912.25),
    _marks('The zq{number}\n\n\\frac "k" 中文 {number}: end.', 6120934.0),
    _marks("9870{number}1234", -43109),
)
