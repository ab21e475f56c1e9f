"""Fast conversion: rows of a known shape are copied value by value, without being decoded or encoded.

What a row becomes depends, for most rows, on its shape alone - keys, roles, how often the prompt is repeated - and the
values only move. So the first row of every shape is converted with marks in place of its values, and where the marks
come out is the *template* of that shape; `_splice.c` then fills templates with the bytes of other rows. The decision to
question: the ordinary conversion stays the only description of every format, and what is copied is limited to values
that it surely treats as it treated the marks (see `_splice.c`). Marks of several sorts must agree on the template, so a
format that looks into its texts has none. Without the compiled part every row takes the ordinary way, with the same
values as its result. How a value is written (`\\u00e9` or `é`, `0.50` or `0.5`) is left as it was where it is copied.
"""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import msgspec

from prefdata.outcome import Outcome
from prefdata.spelling import MEDIA_KEYS

try:
    _compiled: Any = import_module("prefdata._splice")
except ImportError:
    _compiled = None

# Limits of `_splice.c`.
_MAX_TEMPLATES, _MAX_VALUES, _MAX_GAPS = 16, 32, 64
# Rows looked at and shapes tried; a file of ever new keys would be learned for ever.
_MAX_LOOKS, _MAX_TRIED = 2000, 256
_NONE = 255
# Keys whose texts name a role or a kind, and more keys than those of rows whose texts are references.
_NAMING = frozenset({"from", "role", "type"})
_REFERENCES = MEDIA_KEYS | {"url", "path", "image_url", "video_url"}
# Placeholders and blanks at the beginning of a text belong to the shape.
_PLACED = re.compile(r"(?:(?:Image [0-9] )?<ImageHere>;?|<image>|<video>|<audio>|[ \n])+")
_HOLE = "zq~hole~{:02}"
_HOLES = re.compile(rb'"?zq~hole~\d\d"')

Mark = str | float | dict[str, str] | list[str]
Sort = Callable[[str, int], Mark]
# The literals around the values, the kinds of the values, for each the first that is the same text; the literals of the
# row that is written, and the number of the value in each of its gaps.
Template = tuple[tuple[bytes, ...], bytes, bytes, tuple[bytes, ...], bytes]


class Spliced(msgspec.Struct, frozen=True):
    """Consecutive rows that were copied: the number of the first and where it begins in the block, what they became,
    and the template of each."""

    first: int
    start: int
    rows: bytes
    templates: bytes


class Left(msgspec.Struct, frozen=True):
    """A row for the ordinary conversion: its number, and where it stands in the block."""

    row: int
    start: int
    stop: int


class Shape:
    """What is left of a row when its values are taken out."""

    def __init__(self, row: dict[str, Any], content: frozenset[str]) -> None:
        self._row, self._content = row, content
        self.kinds = ""
        self._values: list[Any] = []
        whole = msgspec.json.encode(self._fill(self._hole))
        self.before = tuple(_HOLES.split(whole))
        firsts = ((kind, self._values[number]) for number, kind in enumerate(self.kinds))
        self.same = bytes(self._first(kind, value) for kind, value in firsts) if self.small else b""

    @property
    def small(self) -> bool:
        """Whether the shape fits into a template, and none of its keys needs an escape or looks like a hole."""
        whole = len(self.before) == len(self.kinds) + 1
        return whole and len(self.kinds) <= _MAX_VALUES and not any(b'\\"' in part for part in self.before)

    def filled(self, marks: Sort) -> dict[str, Any]:
        """The row with marks in place of its values."""
        numbers = iter(range(len(self.kinds)))

        def mark(kind: str, value: Any) -> Any:
            number = next(numbers)
            return marks(kind, self.same[number])

        filled: dict[str, Any] = self._fill(mark)
        return filled

    def _first(self, kind: str, value: Any) -> int:
        return next(n for n, other in enumerate(self._values) if self.kinds[n] == kind and other == value)

    def _hole(self, kind: str, value: Any) -> str:
        number = len(self.kinds)
        self.kinds += kind
        # What is only carried is not compared by any format: each is its own first.
        self._values.append(value if kind in "tirw" else number)
        return _HOLE.format(number)

    def _fill(self, give: Callable[[str, Any], Any]) -> Any:
        def fill(value: Any, key: str, nested: bool) -> Any:
            if value is None or isinstance(value, bool) or (nested and key in _NAMING):
                return value
            if isinstance(value, str):
                if key in _REFERENCES:
                    return give("r", value)
                placed = _PLACED.match(value)
                return placed[0] + give("i", value) if placed else give("t", value)
            if isinstance(value, int | float):
                return give("w" if nested else "n", value)
            if not nested and key not in self._content:
                return give("o" if isinstance(value, dict) else "a", value)
            if isinstance(value, dict):
                return {name: fill(item, name, True) for name, item in value.items()}
            return [fill(item, key, True) for item in value]

        return {key: fill(value, key, False) for key, value in self._row.items()}


class Splicer:
    """Learns templates from a conversion and fills them; `outcomes` holds what each template's row was noted for.

    `content` are the keys of a row that its format reads; what others hold is carried as it is. `end` is what follows
    each row that is written, `separator` the byte between rows that are read.
    """

    def __init__(
        self,
        convert: Callable[[dict[str, Any]], tuple[list[dict[str, Any]], Outcome]],
        content: frozenset[str],
        end: bytes,
        separator: bytes = b"\n",
    ) -> None:
        self._convert, self._content, self._end, self._separator = convert, content, end, separator[0]
        self._looks = 0
        self._tried: set[tuple[tuple[bytes, ...], str, bytes]] = set()
        self._templates: tuple[Template, ...] = ()
        self.outcomes: list[Outcome] = []

    def learn(self, row: dict[str, Any]) -> None:
        """Look at a row that was converted the ordinary way: does its shape have a template?"""
        self._looks += 1
        full = len(self._templates) == _MAX_TEMPLATES or len(self._tried) == _MAX_TRIED
        if full or self._looks > _MAX_LOOKS:
            return
        shape = Shape(row, self._content)
        key = shape.before, shape.kinds, shape.same
        if not shape.small or key in self._tried:
            return
        self._tried.add(key)
        found = [self._template(shape, marks) for marks in _SORTS]
        if found[0] is not None and all(other == found[0] for other in found):
            template, outcome = found[0]
            self._templates = (*self._templates, template)
            self.outcomes.append(outcome)

    def _template(self, shape: Shape, marks: Sort) -> tuple[Template, Outcome] | None:
        """The template by marks of one sort; None where the row is not written as exactly one row with every mark."""
        written, outcome = self._convert(shape.filled(marks))
        if len(written) != 1:
            return None
        line = msgspec.json.encode(written[0]) + self._end
        places: list[tuple[int, int, int]] = []
        for number, kind in enumerate(shape.kinds):
            if shape.same[number] != number:
                continue
            mark = marks(kind, number)
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
        gaps = bytes(number for *_, number in places)
        return (shape.before, shape.kinds.encode(), shape.same, literals, gaps), outcome

    def __call__(self, block: bytes) -> Iterator[Spliced | Left]:
        """The rows of a block, in order."""
        used, items = _compiled.splice(block, self._templates, self._separator)
        row = start = 0
        for item in items:
            if isinstance(item, bytes):
                stop = used.find(_NONE, row)
                stop = len(used) if stop < 0 else stop
                yield Spliced(row, start, item, used[row:stop])
                row = stop
            else:
                yield Left(*item)
                row, start = item[0] + 1, item[2]


def available() -> bool:
    """Whether the compiled part was built."""
    return _compiled is not None


def _marks(text: str, size: float) -> Sort:
    """Marks of one sort: `text` and `size` hold what is common to all of them."""

    def mark(kind: str, number: int) -> Mark:
        name = f"zq{number:02}k"
        said = text.format(number=f"{number:02}")
        marks: dict[str, Mark] = {
            "t": said,
            "i": said,
            "o": {name: name},
            "a": [name],
            "n": size + number,
            "w": size + number,
            "r": f"{name}/{name}.p",
        }
        return marks[kind]

    return mark


# Texts that begin and end alike and that do not, of several lines, of signs alone, that could be numbers.
_SORTS = (
    _marks("{number}wj", 7340912.25),
    _marks('The zq{number}\n\n\\frac "k" 中文 {number}: end.', 6120934.0),
    _marks("9870{number}1234", -43109),
)
